"""Write and read ``summary.json``, the summary of a finished run."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from textwrap import shorten
from typing import Any, TypedDict, get_type_hints

from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from celeba_lab.files import naming_file, unusable, write_atomically

SUMMARY = "summary.json"
VERSION = 1


class SummaryFields(TypedDict, total=False):
    """Fields of a summary that only some tasks set; see :class:`Summary`."""

    majority_accuracy: dict[str, float] | None
    data: dict[str, Any] | None
    best_epoch: int | None
    initial_weights: str | None
    generator_weights: str | None
    details: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The summary of a finished run, with the same fields for every task.

    The summary is the last file that a run writes, so an unfinished run does not have a summary. Undefined numbers are
    stored as null.

    Attributes:
        version: Version of the file format. Version 0 refers to files without a version number.
        experiment: Name of the experiment, which is also the name of the folder that contains its runs.
        task: Name of the task.
        seed: Seed of the run.
        metrics: Metric values by name, with NaN for undefined metrics. Most names have the form ``split/metric`` or
            ``split/metric/attribute``.
        majority_accuracy: For each split, the accuracy of always predicting the majority class.
        data: Name and folder of the data and the number of images in each split, or None for a task without data.
        checkpoint: Path to the checkpoint for which the metrics were computed.
        best_epoch: Epoch of the best checkpoint, counted from 1.
        initial_weights: Origin of the weights at the start of training.
        generator_weights: ``ema`` if the generator used its averaged weights, or ``raw`` if it used its last weights.
        device: Name of the CPU or GPU, which can affect the last digits of the metrics.
        seconds: Wall-clock time of each part of the run, in seconds.
        versions: Versions of Python and the libraries.
        git: Git commit of the code, with the suffix ``-dirty`` for uncommitted changes, or None outside a git checkout.
        details: Task-specific information.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> summary = Summary(experiment="smile", task="train", metrics={"test/accuracy": 0.9})
        >>> with TemporaryDirectory() as folder:
        ...     path = summary.write(Path(folder))
        ...     Summary.read(path.parent) == summary
        True
    """

    version: int = VERSION
    experiment: str
    task: str
    seed: int | None = None
    metrics: dict[str, float]
    majority_accuracy: dict[str, float] | None = None
    data: dict[str, Any] | None = None
    checkpoint: str | None = None
    best_epoch: int | None = None
    initial_weights: str | None = None
    generator_weights: str | None = None
    device: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    git: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name)
            try:
                check_type(value, hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
            except TypeCheckError as error:
                raise TypeError(f"the field {name} has the wrong type: {shorten(repr(value), 200)}") from error

    def write(self, folder: Path) -> Path:
        """Write ``summary.json`` into a run folder and return its path."""
        text = json.dumps(_without_nan(asdict(self)), indent=2, allow_nan=False) + "\n"
        path = folder / SUMMARY
        write_atomically(path, lambda file: file.write(text.encode()))
        return path

    @classmethod
    def read(cls, folder: Path) -> "Summary":
        """Read the summary from a run folder. Summaries in an older format are converted.

        Raises:
            UserError: The file is missing or damaged, or was written by a newer version of celeba_lab.
        """
        path = folder / SUMMARY
        with naming_file(path):
            content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise unusable(path, "it is not a run summary")
        version = content.get("version", 0)
        if not isinstance(version, int) or version > VERSION:
            newer = f"it has version {version}, but this version of celeba_lab only supports versions up to {VERSION}"
            raise unusable(path, newer, "Update celeba_lab, or exclude this run.")
        if version == 0:
            content = _upgrade(content)
        missing = [name for name in (each.name for each in fields(cls)) if name not in content]
        if missing:
            raise unusable(path, f"the field {missing[0]} is missing")
        try:
            return cls(**{each.name: _with_nan(each.name, content[each.name]) for each in fields(cls)})
        except TypeError as error:
            raise unusable(path, str(error)) from error


def _upgrade(content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a summary without a version number to the current format.

    In the old format, every task had its own fields, and ``weights`` was either the origin of the initial weights or
    the kind of generator weights.
    """
    names = [each.name for each in fields(Summary)]
    upgraded: dict[str, Any] = {name: content.get(name) for name in names}
    for name in ("seconds", "versions"):
        upgraded[name] = content.get(name) or {}
    weights = content.get("weights")
    upgraded["generator_weights" if weights in ("ema", "raw") else "initial_weights"] = weights
    details = {name: value for name, value in content.items() if name not in names and name != "weights"}
    return upgraded | {"version": 0, "details": details}


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_nan(name: str, value: Any) -> Any:
    if name not in ("metrics", "majority_accuracy") or not isinstance(value, dict):
        return value
    return {key: math.nan if item is None else item for key, item in value.items()}
