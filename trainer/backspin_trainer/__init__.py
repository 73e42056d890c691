"""The subprocesses of a gpu worker of backspin: training, scoring, embedding, and the embedded model server."""

__version__ = "0.1.0"
