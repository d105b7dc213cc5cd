"""Reading a finished run back from its folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from celeba_lab.config import flatten
from celeba_lab.errors import UserError
from celeba_lab.runs.find import distinct_names
from celeba_lab.runs.summary import SUMMARY, Summary, naming_file, unusable

ONE_DATA = "Compare runs of the same images; task=evaluate measures a checkpoint on other images."

# Settings that hold the run's own folder, which is different in every run.
_OWN_FOLDER = {"dirpath", "save_dir", "default_root_dir"}


@dataclass(frozen=True)
class FinishedRun:
    """A finished run with data, as it is read from its folder.

    Attributes:
        name: The shortest end of its path that distinguishes it from the other runs.
        folder: Absolute path of the folder.
        summary: Content of ``summary.json``.
        settings: Dotted name of each setting to its value, from ``config.yaml``.
        history: Metrics of every epoch, one row each; None for a run without training.
    """

    name: str
    folder: Path
    summary: Summary
    settings: dict[str, Any]
    history: pd.DataFrame | None

    @classmethod
    def read(cls, folder: Path, name: str) -> "FinishedRun":
        """Read a folder.

        Raises:
            UserError: A file in it is missing or damaged, or the run had no data.
        """
        summary = Summary.read(folder)
        if summary.data is None or not {"name", "images"} <= summary.data.keys():
            raise unusable(folder / SUMMARY, "it does not say which data the run used")
        history = folder / "tables" / "history.csv"
        return cls(
            name=name,
            folder=folder,
            summary=summary,
            settings=_read_settings(folder / "config.yaml"),
            history=read_table(history, ["epoch"], dtype=np.float64) if history.exists() else None,
        )

    @property
    def metrics(self) -> dict[str, float]:
        """Value of each metric, ``split/metric``; NaN where it is undefined."""
        return self.summary.metrics

    @property
    def data(self) -> dict[str, Any]:
        """Name and folder of the data, and the number of images in each split."""
        assert self.summary.data is not None  # See read().
        return self.summary.data

    @property
    def seed(self) -> int | None:
        """Seed of the run. Summaries without a version do not have it for every task, but the settings do."""
        return self.settings.get("seed") if self.summary.seed is None else self.summary.seed

    @property
    def threshold(self) -> float:
        """The probability at which the run's classifier starts to predict that an attribute is present."""
        value = self.settings.get("model.threshold")
        return 0.5 if value is None else float(value)

    @property
    def training_seconds(self) -> float | None:
        """Seconds spent in training steps, or in the fit if those were not measured; None without training."""
        seconds = self.summary.seconds
        return seconds.get("training", seconds.get("fit"))

    def images(self, split: str) -> int | None:
        """Return the number of images of a split; None if the run did not use it."""
        images: int | None = self.data["images"].get(split)
        return images

    def predictions(self, split: str) -> Path:
        """Return the path of the run's predictions of a split."""
        return self.folder / "tables" / f"predictions_{split}.csv"


def read_runs(folders: Sequence[Path], split: str) -> tuple[list[FinishedRun], list[Path]]:
    """Read the folders that hold a classifier's predictions of a split; return those runs, and the other folders.

    Raises:
        UserError: A file of a run is missing or damaged.
    """
    table = Path("tables") / f"predictions_{split}.csv"
    comparable = [folder for folder in folders if (folder / table).is_file()]
    names = distinct_names(comparable)
    runs = [FinishedRun.read(folder, name) for folder, name in zip(comparable, names, strict=True)]
    return runs, [folder for folder in folders if folder not in comparable]


def _read_settings(path: Path) -> dict[str, Any]:
    with naming_file(path):
        settings = flatten(OmegaConf.to_container(OmegaConf.load(path)))
    return {name: value for name, value in settings.items() if name.rpartition(".")[2] not in _OWN_FOLDER}


def read_table(path: Path, needed: Sequence[str], **options: Any) -> pd.DataFrame:
    """Read a CSV table of a run.

    Args:
        path: Path of the table.
        needed: Names of the columns that it must have.
        **options: Arguments of ``pandas.read_csv``.

    Raises:
        UserError: The table is missing or damaged, or lacks a column.
    """
    with naming_file(path):
        table: pd.DataFrame = pd.read_csv(path, **options)
    if missing := [name for name in needed if name not in table]:
        raise unusable(path, f"it has no column {missing[0]}")
    return table


def check_same_data(runs: Sequence[FinishedRun], split: str) -> None:
    """Check that runs used the same data, according to their summaries.

    The name, the provenance and the number of images of the split must be the same. The folder may be different, and so
    may the number of training images, whose effect may be what is compared.

    Raises:
        UserError: Two runs used different data.
    """
    first = runs[0]
    for run in runs[1:]:
        one, other = _identity(first, split), _identity(run, split)
        for key in one.keys() & other.keys():
            if one[key] != other[key]:
                raise UserError(
                    f"{first.name} and {run.name} are about different data: {key} is {one[key]} in the first and"
                    f" {other[key]} in the second. {ONE_DATA}"
                )


def _identity(run: FinishedRun, split: str) -> dict[str, Any]:
    """Return the facts that must be the same in two runs: dotted name to value."""
    data = flatten({"data": run.data})
    images = {key: value for key, value in data.items() if key == f"data.images.{split}"}
    return images | {key: value for key, value in data.items() if not key.startswith(("data.root", "data.images"))}
