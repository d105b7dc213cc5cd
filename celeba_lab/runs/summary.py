"""Write and read ``summary.json``, the summary of a finished run."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from textwrap import shorten
from typing import Any, TypedDict, get_type_hints

from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from celeba_lab.files import read_json, unusable, write_atomically

SUMMARY = "summary.json"
VERSION = 1

LARGEST_SEED = 2**32 - 1
"""Largest seed of a run, which is the largest that NumPy accepts."""
LARGEST_EPOCH = 10**9
LARGEST_METRIC = 1e39
"""Largest absolute value of a metric, just above the largest float32."""
_MAX_BYTES = 2**22  # A summary with the metrics of 40 attributes takes about 50 KB.
_LARGEST_COUNT = 10**12
_LONGEST_TIME = 1e10  # seconds
_MOST_ENTRIES = 10_000
_LONGEST_TEXT = 10_000
# Times that are parts of another time.
_PARTS = {"training": "fit", "validation": "fit", "distances": "fit", "tsne": "report"}


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
        content = read_json(path, _MAX_BYTES)
        if not isinstance(content, dict):
            raise unusable(path, "it is not a run summary")
        version = content.get("version", 0)
        if not _is_integer(version, VERSION):
            newer = f"it has version {version}, but this version of celeba_lab only supports versions up to {VERSION}"
            raise unusable(path, newer, "Update celeba_lab, or exclude this run.")
        if version == 0:
            content = _upgrade(content)
        missing = [name for name in (each.name for each in fields(cls)) if name not in content]
        if missing:
            raise unusable(path, f"the field {missing[0]} is missing")
        try:
            summary = cls(**{each.name: _with_nan(each.name, content[each.name]) for each in fields(cls)})
        except TypeError as error:
            raise unusable(path, str(error)) from error
        for name, value in summary._find_invalid():
            shown = shorten(repr(value), 200, placeholder=" ...")
            raise unusable(path, f"the field {name} has an invalid value: {shown}")
        return summary

    @property
    def total_seconds(self) -> float:
        """Sum of the times in ``seconds``, in which parts of other times are not counted twice."""
        return sum(value for name, value in self.seconds.items() if _PARTS.get(name) not in self.seconds)

    def _find_invalid(self) -> Iterator[tuple[str, object]]:
        """Yield the names and values of fields, or entries of fields, that no run can have written."""
        for name in _TEXTS:
            if not _is_text(value := getattr(self, name)):
                yield name, value
        for name, largest in (("seed", LARGEST_SEED), ("best_epoch", LARGEST_EPOCH)):
            if (value := getattr(self, name)) is not None and not _is_integer(value, largest):
                yield name, value
        for name, (least, most) in _RANGES.items():
            numbers: Mapping[str, float] = getattr(self, name) or {}
            if len(numbers) > _MOST_ENTRIES:
                yield name, f"{len(numbers):,} entries"
            for entry, number in numbers.items():
                # Metrics that are not a number are undefined, but a time cannot be undefined.
                is_undefined = name != "seconds" and math.isnan(number)
                if not _is_text(entry) or isinstance(number, bool) or not (is_undefined or least <= number <= most):
                    yield f"{name}.{entry}", number
        for entry, value in {} if self.data is None else self.data.items():
            if entry in ("name", "root") and not (value is not None and _is_text(value)):
                yield f"data.{entry}", value
            if entry == "images" and not _are_counts(value):
                yield f"data.{entry}", value


_TEXTS = ("experiment", "task", "checkpoint", "initial_weights", "generator_weights", "device", "git")
# Smallest and largest number in each field that is a dictionary of numbers.
_RANGES = {"metrics": (-LARGEST_METRIC, LARGEST_METRIC), "majority_accuracy": (0, 1), "seconds": (0, _LONGEST_TIME)}


def _is_integer(value: object, largest: int) -> bool:
    """Return whether a value is an integer between 0 and ``largest``. Python's bool is also an int."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest


def _is_text(value: object) -> bool:
    """Return whether a value is a text of moderate length, or None."""
    return value is None or (isinstance(value, str) and len(value) <= _LONGEST_TEXT)


def _are_counts(images: object) -> bool:
    return isinstance(images, dict) and all(_is_integer(count, _LARGEST_COUNT) for count in images.values())


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
