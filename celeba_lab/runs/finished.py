"""Reading a finished run back from its folder."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from celeba_lab.config import flatten
from celeba_lab.console import display_path
from celeba_lab.errors import UserError
from celeba_lab.runs.find import distinct_names
from celeba_lab.runs.summary import SUMMARY

T = TypeVar("T")

ONE_DATA = "Name runs of the same images in task.runs; task=evaluate measures a checkpoint on other ones."

# Settings that hold the run's own folder, and so differ whatever was asked for.
_OWN_FOLDER = {"dirpath", "save_dir", "default_root_dir"}

# What is read of a summary: its type, and whether every run has it.
_PARTS = [("metrics", dict, True), ("data", dict, True), ("seconds", dict, False), ("best_epoch", int, False)]


@dataclass(frozen=True)
class FinishedRun:
    """What a run left in its folder.

    Attributes:
        name: the shortest end of its path that tells it from the others.
        folder: absolute.
        summary: of ``summary.json``.
        settings: dotted name to value, of ``config.yaml``.
        history: one row per epoch; None for a run that trained nothing.
    """

    name: str
    folder: Path
    summary: dict[str, Any]
    settings: dict[str, Any]
    history: pd.DataFrame | None

    @classmethod
    def read(cls, folder: Path, name: str) -> "FinishedRun":
        """Read a folder.

        Raises:
            UserError: a file in it is missing or broken.
        """
        history = folder / "tables" / "history.csv"
        return cls(
            name=name,
            folder=folder,
            summary=_read_summary(folder / SUMMARY),
            settings=_read_settings(folder / "config.yaml"),
            history=read_table(history, ["epoch"], dtype=np.float64) if history.exists() else None,
        )

    @property
    def metrics(self) -> dict[str, float]:
        """``split/metric`` to value; NaN where it is undefined."""
        return {name: float("nan") if value is None else value for name, value in self.summary["metrics"].items()}

    @property
    def threshold(self) -> float:
        """The probability from which on the run's classifier says that an attribute is there."""
        value = self.settings.get("model.threshold")
        return 0.5 if value is None else float(value)

    def predictions(self, split: str) -> Path:
        """Return where the run keeps what it said of a split, if it did."""
        return self.folder / "tables" / f"predictions_{split}.csv"


def read_runs(folders: Sequence[Path], split: str) -> tuple[list[FinishedRun], list[Path]]:
    """Read the folders that hold a classifier's predictions of a split; return those runs, and the other folders.

    Raises:
        UserError: a file of a run is missing or broken.
    """
    table = Path("tables") / f"predictions_{split}.csv"
    comparable = [folder for folder in folders if (folder / table).is_file()]
    names = distinct_names(comparable)
    runs = [FinishedRun.read(folder, name) for folder, name in zip(comparable, names, strict=True)]
    return runs, [folder for folder in folders if folder not in comparable]


def _read_summary(path: Path) -> dict[str, Any]:
    summary = _refuse_broken(path, lambda: json.loads(path.read_text(encoding="utf-8")))
    if not isinstance(summary, dict):
        raise UserError(broken(path, "it is no summary of a run"))
    for name, kind, needed in _PARTS:
        part = summary.get(name)
        if not isinstance(part, kind) and (needed or part is not None):
            raise UserError(broken(path, f"its {name} is {part!r}"))
    if not all(value is None or isinstance(value, int | float) for value in summary["metrics"].values()):
        raise UserError(broken(path, "a metric is no number"))
    return summary


def _read_settings(path: Path) -> dict[str, Any]:
    settings = _refuse_broken(path, lambda: flatten(OmegaConf.to_container(OmegaConf.load(path))))
    return {name: value for name, value in settings.items() if name.rpartition(".")[2] not in _OWN_FOLDER}


def read_table(path: Path, needed: Sequence[str], **options: Any) -> pd.DataFrame:
    """Read a CSV table of a run.

    Args:
        path: of the table.
        needed: columns that it must have.
        **options: of ``pandas.read_csv``.

    Raises:
        UserError: the table is missing or broken, or lacks a column.
    """
    table = _refuse_broken(path, lambda: pd.read_csv(path, **options))
    if missing := [name for name in needed if name not in table]:
        raise UserError(broken(path, f"it has no column {missing[0]}"))
    return table


def _refuse_broken(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except OSError as error:
        raise UserError(broken(path, error.strerror or str(error))) from error
    # JSON, pandas and Unicode errors are ValueErrors; too large a label overflows.
    except (ValueError, OverflowError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(broken(path, " ".join(str(error).split()).rstrip("."))) from error


def broken(path: Path, why: str) -> str:
    """Say why a file of a run cannot be used."""
    return f"{display_path(path)} cannot be used: {why}. Leave this run out of task.runs, or run it again."


def check_same_data(runs: Sequence[FinishedRun], split: str) -> None:
    """Check what the summaries say of the data: its name, what it was made of, and the images of the split.

    The folder may be another one, and so may the number of images to train on, which is a thing to compare.

    Raises:
        UserError: two runs are about different data.
    """
    first = runs[0]
    for run in runs[1:]:
        one, other = _identity(first, split), _identity(run, split)
        for key in one.keys() & other.keys():
            if one[key] != other[key]:
                raise UserError(
                    f"{first.name} and {run.name} are about different data: {key} is {one[key]} in the one and"
                    f" {other[key]} in the other. {ONE_DATA}"
                )


def _identity(run: FinishedRun, split: str) -> dict[str, Any]:
    """Return what must be the same in two runs: dotted name to value."""
    data = flatten({"data": run.summary["data"]})
    images = {key: value for key, value in data.items() if key == f"data.images.{split}"}
    return images | {key: value for key, value in data.items() if not key.startswith(("data.root", "data.images"))}
