"""Reads the experiments of backspin from the store on disk, without workers and without a Temporal server.

    import backspin

    experiment = backspin.open("humpback")
    experiment.step("r1/judge").to_pandas()
    experiment.step("r1/judge").dropped("no-score")
    experiment.metrics()
    experiment.step("r2/forward").model

Every shard is verified by its digest. Nothing is ever written.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow

if TYPE_CHECKING:
    import datasets
    import pandas

__all__ = ["Damaged", "Experiment", "Model", "NotFound", "Record", "Records", "Step", "experiments", "open"]


class NotFound(LookupError):
    """An experiment, a step or an artifact is not in the store."""


class Damaged(ValueError):
    """A file of the store holds other bytes than its name says."""


@dataclass(frozen=True)
class Record:
    """A record of a step. `sources` are the ids of the records that it was made of."""

    id: str
    sources: tuple[str, ...]
    value: Any


def experiments(home: str | os.PathLike | None = None) -> list[str]:
    """Names of the experiments in a home. Default: BACKSPIN_HOME, or else `.backspin` in the working folder."""
    return sorted(path.stem for path in (_store_of(home) / "experiments").glob("*.json"))


def open(name: str, home: str | os.PathLike | None = None) -> Experiment:
    """Opens an experiment by its name, as it is now. Throws NotFound."""
    store = _store_of(home)
    path = store / "experiments" / f"{name}.json"
    if not path.is_file():
        raise NotFound(f'There is no experiment "{name}" in {store}{_suggestion(name, experiments(home))}')
    return Experiment(store, json.loads(path.read_text()), _notes(path.with_suffix(".steps")))


class Experiment:
    """An experiment. `config` is its configuration as it was launched, `state` one of running, paused, attention, completed,
    failed and cancelled, and `round` the round that it has reached."""

    def __init__(self, store: Path, record: dict[str, Any], notes: list[dict[str, Any]]):
        self._store = store
        self.name: str = record["name"]
        self.recipe: str = record["recipe"]
        self.state: str = record["state"]
        self.round: int | None = record["round"]
        self.config: dict[str, Any] = record["config"]
        self.notices: list[str] = record["notices"]
        newer = [note["step"] for note in notes if note["configDigest"] == record["configDigest"]]
        self._steps = {step["path"]: step for step in [*record["steps"], *newer]}

    def __repr__(self) -> str:
        return f"<backspin experiment {self.name}: {self.recipe}, {self.state}, round {self.round}, {len(self._steps)} steps>"

    @property
    def steps(self) -> list[str]:
        """Paths of the steps, such as `r1/judge`, in the order of their start."""
        return list(self._steps)

    def step(self, path: str) -> Step:
        """A step by its path. Throws NotFound."""
        if path not in self._steps:
            raise NotFound(f'{self.name} has no step "{path}"{_suggestion(path, self.steps)}')
        return Step(self._store, self._steps[path])

    def metrics(self) -> list[dict[str, Any]]:
        """What the suites measured: a row for each metric of each step, with `step`, `round`, `arm`, `metric` and `value`."""
        return [
            {"step": step["path"], "round": step["round"], "arm": step["arm"], "metric": metric, "value": value}
            for step in self._steps.values()
            for result in _results(step["result"]).values()
            if result["kind"] == "report"
            for metric, value in result["metrics"].items()
        ]


class Step:
    """A step. `kind` is map, reduce, train or evaluate; `arm` is the control arm that it belongs to, `round` its round."""

    def __init__(self, store: Path, step: dict[str, Any]):
        self._store, self._step = store, step
        self.path: str = step["path"]
        self.kind: str = step["kind"]
        self.operation: str = step["operation"]
        self.state: str = step["state"]
        self.round: int | None = step["round"]
        self.arm: str | None = step["arm"]

    def __repr__(self) -> str:
        return f"<backspin step {self.path}: {self.operation}, {self.state}>"

    @cached_property
    def output(self) -> dict[str, Any]:
        """Counts and cost of the step, as `backspin show NAME STEP --json` has them. Throws NotFound before its end."""
        key = self._step["stepKey"]
        if key is None:
            raise NotFound(f"{self.path} has no output yet: it is {self.state}.")
        path = self._store / "outputs" / key[:2] / f"{key}.json"
        if not path.is_file():
            raise NotFound(f"The output of {self.path} is not in {self._store}{_again(self.state)}.")
        return json.loads(path.read_text())

    def records(self, part: str | None = None) -> Records:
        """What the step kept. `part` names one of several results. Throws NotFound."""
        return Records(self._store, self._result("dataset", part))

    def dropped(self, reason: str | None = None) -> Records:
        """What the step dropped, with the fields `id`, `reason`, `evidence` and `value`."""
        return Records(self._store, self.output["droppedRecords"], reason)

    def curve(self) -> Records:
        """What a training measured at each of its steps."""
        if "curve" not in self.output:
            raise NotFound(f"{self.path} has no curve: it is no training of backspin.")
        return Records(self._store, self.output["curve"]["records"])

    def to_pandas(self) -> pandas.DataFrame:
        """Its records as a table (see `Records.to_pandas`)."""
        return self.records().to_pandas()

    def to_datasets(self) -> datasets.Dataset:
        """Its records as a dataset of Hugging Face."""
        return self.records().to_datasets()

    @property
    def model(self) -> Model:
        """The model that it trained or imported."""
        return Model(self._store, self._result("model", None)["digest"])

    def _result(self, kind: str, part: str | None) -> dict[str, Any]:
        if self._step["result"] is None:
            raise NotFound(f"{self.path} has no result yet: it is {self.state}.")
        of_kind = {name: result for name, result in _results(self._step["result"]).items() if result["kind"] == kind}
        if part is None and len(of_kind) == 1:
            return next(iter(of_kind.values()))
        if part not in of_kind:
            named = ", ".join(filter(None, of_kind))
            raise NotFound(f"{self.path} has {f'the {kind}s {named}: name one' if named else f'no {kind}'}.")
        return of_kind[part]


class Records:
    """Records in their order. They are read shard by shard, each time that you go through them."""

    def __init__(self, store: Path, ref: Mapping[str, Any] | None, reason: str | None = None):
        self._store, self._ref, self._reason = store, ref, reason

    def __len__(self) -> int:
        if self._reason is not None:
            return sum(1 for _ in self)
        return 0 if self._ref is None else self._ref["rows"]

    def __iter__(self) -> Iterator[Record]:
        if self._ref is None:
            return
        path = self._store / "datasets" / f"{self._ref['digest']}.json"
        if not path.is_file():
            raise NotFound(f"{path} is not there{_again('completed')}.")
        for shard in json.loads(path.read_text())["shards"]:
            for line in self._lines(shard):
                record = json.loads(line)
                if self._reason is None or record["value"]["reason"] == self._reason:
                    yield Record(record["id"], tuple(record["from"]), record["value"])

    def _lines(self, shard: Mapping[str, Any]) -> list[bytes]:
        path = self._store / "blobs" / shard["digest"][:2] / f"{shard['digest']}.jsonl.zst"
        if not path.is_file():
            raise NotFound(f"{path} is not there{_again('completed')}.")
        try:
            data = pyarrow.decompress(path.read_bytes(), decompressed_size=shard["bytes"], codec="zstd", asbytes=True)
        except OSError as error:
            raise Damaged(f"{path} cannot be unpacked ({error}).") from error
        if hashlib.sha256(data).hexdigest() != shard["digest"]:
            raise Damaged(f"{path} holds other bytes than its name says.")
        return data.splitlines()

    def to_pandas(self) -> pandas.DataFrame:
        """A table with a column for each field of the values (or one column `value`), and `id` unless they have such a field."""
        import pandas

        return pandas.DataFrame([_row(record) for record in self])

    def to_datasets(self) -> datasets.Dataset:
        """A dataset of Hugging Face with the same columns."""
        import datasets

        return datasets.Dataset.from_list([_row(record) for record in self])


class Model:
    """A model in the store. `path` is a folder that `transformers` loads; of an adapter, one that PEFT loads onto `base`."""

    def __init__(self, store: Path, digest: str):
        self._store, self.digest = store, digest
        folder = store / "models" / digest
        if not folder.is_dir():
            raise NotFound(f"The model {digest} is not in {store}{_again('completed')}.")
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        self.path = folder / "files"

    @property
    def base(self) -> Model | None:
        """The base of an adapter."""
        return Model(self._store, self.manifest["base"]) if self.manifest["base"] else None


def _row(record: Record) -> dict[str, Any]:
    value = record.value if isinstance(record.value, dict) else {"value": record.value}
    return {"id": record.id, **value}


def _results(result: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """A step's results by name; a step with one result has it under the empty name."""
    if result is None:
        return {}
    return {"": result} if isinstance(result.get("kind"), str) else result


def _store_of(home: str | os.PathLike | None) -> Path:
    folder = Path(home or os.environ.get("BACKSPIN_HOME") or ".backspin")
    if (folder / "store.url").is_file():
        address = (folder / "store.url").read_text().strip()
        raise NotFound(f"The store of {folder} is in S3: copy it with `backspin store copy {address} FOLDER/store` and give FOLDER.")
    store = folder / "store"
    if not (store / "id").is_file():
        raise NotFound(f"{folder} is no home of backspin: give the folder that BACKSPIN_HOME names, or the .backspin of a run.")
    return store


def _notes(folder: Path) -> list[dict[str, Any]]:
    """States of steps since the last write of the record, which may write it anew at any time."""
    notes = []
    for path in sorted(folder.glob("*.json")):
        try:
            notes.append(json.loads(path.read_text()))
        except FileNotFoundError:
            continue
    return notes


def _suggestion(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f'. Did you mean "{close[0]}"?' if close else f": there is {', '.join(names[:20]) or 'none'}."


def _again(state: str) -> str:
    return ": launch the experiment again, and what is missing is made again" if state == "completed" else f": it is {state}"
