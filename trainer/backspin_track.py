"""Writes what backspin measured into an experiment tracker: python backspin_track.py TRACKER --project NAME --group NAME --folder DIR

Reads points from stdin, a JSON line each: {"run", "step", "time", "metrics"}, the time in seconds since 1970. After an empty
line, and at the end, it writes what it has read, and prints how many numbers were new. A number whose run, step and
metric the tracker has is not written again. It runs under the user's Python, which has the package of the tracker.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Point:
    """Metrics of a run at a step, and when they were measured."""

    run: str
    step: int
    time: float
    metrics: dict[str, float]


class Tracker:
    """Where points go. `project` and `group` name what contains the runs, in trackers that have such."""

    def __init__(self, project: str, group: str, folder: str):
        self.project, self.group, self.folder = project, group, folder
        self._known: dict[str, set[tuple[int, str]]] = {}

    def write(self, points: list[Point]) -> int:
        """Writes what the tracker does not have yet. Returns the count of numbers."""
        written = 0
        for run in dict.fromkeys(point.run for point in points):
            known = self._known[run] if run in self._known else self._known.setdefault(run, self.known(run))
            fresh = []
            for point in points:
                metrics = {name: value for name, value in point.metrics.items() if (point.step, name) not in known}
                if point.run == run and metrics:
                    fresh.append(Point(run, point.step, point.time, metrics))
                    known.update((point.step, name) for name in metrics)
            if fresh:
                self.log(run, fresh)
            written += sum(len(point.metrics) for point in fresh)
        return written

    def known(self, run: str) -> set[tuple[int, str]]:
        """Steps and metrics of a run that the tracker has."""
        raise NotImplementedError

    def log(self, run: str, points: list[Point]) -> None:
        """Adds points to a run. When it returns, they are written."""
        raise NotImplementedError

    def close(self) -> None:
        pass


class TensorBoard(Tracker):
    """Event files in a folder for each run, below `folder`."""

    def __init__(self, *where: str):
        from tensorboard.backend.event_processing import event_file_loader
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer import event_file_writer

        super().__init__(*where)
        self._load, self._event, self._summary = event_file_loader.LegacyEventFileLoader, event_pb2.Event, summary_pb2.Summary
        self._writer = cache(lambda run: event_file_writer.EventFileWriter(str(Path(self.folder, run))))

    def known(self, run: str) -> set[tuple[int, str]]:
        files = Path(self.folder, run).glob("events.out.tfevents.*")
        return {(event.step, value.tag) for file in files for event in self._load(str(file)).Load() for value in event.summary.value}

    def log(self, run: str, points: list[Point]) -> None:
        writer = self._writer(run)
        for point in points:
            values = [self._summary.Value(tag=name, simple_value=value) for name, value in point.metrics.items()]
            writer.add_event(self._event(wall_time=point.time, step=point.step, summary=self._summary(value=values)))
        writer.flush()


class Trackio(Tracker):
    """Trackio's own folder on this machine (TRACKIO_DIR)."""

    def __init__(self, *where: str):
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        super().__init__(*where)
        self._trackio, self._storage = trackio, SQLiteStorage

    def known(self, run: str) -> set[tuple[int, str]]:
        return {(row["step"], name) for row in self._storage.get_logs(self.project, run) for name in row}

    def log(self, run: str, points: list[Point]) -> None:
        settings = {"resume": "allow", "embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
        opened = self._trackio.init(self.project, name=run, group=self.group, **settings)
        for point in points:
            opened.log(point.metrics, step=point.step)
        opened.finish()


class Wandb(Tracker):
    """A run of W&B with an id made of its name, so that W&B goes on with it. It ignores steps before the last that it has.
    Offline, the run's folder on this machine is written anew."""

    def __init__(self, *where: str):
        import wandb

        super().__init__(*where)
        self._wandb = wandb
        self._run = cache(self._open)

    def _open(self, run: str):
        settings = self._wandb.Settings(console="off", silent=True)
        names = {"project": self.project, "group": self.group, "name": run, "dir": self.folder}
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        return self._wandb.init(**names, id=_id(run), resume="allow", reinit="create_new", settings=settings)

    def known(self, run: str) -> set[tuple[int, str]]:
        if self._wandb.setup().settings._offline:
            for folder in Path(self.folder, "wandb").glob(f"offline-run-*-{_id(run)}"):
                shutil.rmtree(folder)
        return set()

    def log(self, run: str, points: list[Point]) -> None:
        for point in points:
            self._run(run).log(point.metrics, step=point.step)

    def close(self) -> None:
        for run in self._known:
            self._run(run).finish()


class Mlflow(Tracker):
    """Runs of an experiment of MLflow, found by their names (MLFLOW_TRACKING_URI)."""

    def __init__(self, *where: str):
        import mlflow

        super().__init__(*where)
        self._client, self._metric = mlflow.MlflowClient(), mlflow.entities.Metric
        self._run = cache(self._find)

    def _find(self, run: str) -> str:
        experiment = self._client.get_experiment_by_name(self.project)
        id = experiment.experiment_id if experiment else self._client.create_experiment(self.project)
        tag = "backspin.run"
        found = self._client.search_runs([id], f"tags.`{tag}` = '{run}'")
        opened = found[0] if found else self._client.create_run(id, run_name=run, tags={tag: run, "backspin.group": self.group})
        return opened.info.run_id

    def known(self, run: str) -> set[tuple[int, str]]:
        id = self._run(run)
        names = self._client.get_run(id).data.metrics
        return {(metric.step, name) for name in names for metric in self._client.get_metric_history(id, name)}

    def log(self, run: str, points: list[Point]) -> None:
        metrics = [
            self._metric(name, value, round(1000 * point.time), point.step)
            for point in points
            for name, value in point.metrics.items()
        ]
        for start in range(0, len(metrics), 1000):  # the most that a server takes
            self._client.log_batch(self._run(run), metrics[start : start + 1000])

    def close(self) -> None:
        for run in self._known:
            self._client.set_terminated(self._run(run))


TRACKERS = {"tensorboard": TensorBoard, "trackio": Trackio, "wandb": Wandb, "mlflow": Mlflow}
_NO_PACKAGE = 69  # of sysexits.h, as in backspin_trainer.exits


def _id(run: str) -> str:
    return hashlib.sha256(run.encode()).hexdigest()[:16]


def batches(lines: Iterable[str]) -> Iterable[list[Point]]:
    """Points up to each empty line, and to the end."""
    points: list[Point] = []
    for line in lines:
        if line.strip():
            points.append(Point(**json.loads(line)))
            continue
        yield points
        points = []
    yield points


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tracker", choices=TRACKERS)
    for name in ("project", "group", "folder"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # where trackers greet their user
        try:
            tracker = TRACKERS[given.tracker](given.project, given.group, given.folder)
        except ImportError as error:
            print(f"{error.name or given.tracker}: {error}", file=sys.stderr)
            return _NO_PACKAGE
        for points in batches(sys.stdin):
            print(tracker.write(points), file=answers, flush=True)
        tracker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
