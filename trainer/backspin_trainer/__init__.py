"""What a GPU worker of backspin starts as child processes: training, and the embedded model server."""

__version__ = "0.1.0"
