"""Read finished runs from their folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from celeba_lab.config import flatten
from celeba_lab.console import progress
from celeba_lab.errors import UserError
from celeba_lab.files import naming_file, unusable
from celeba_lab.runs.find import distinct_names
from celeba_lab.runs.summary import SUMMARY, Summary

ONE_DATA = "Compare runs on the same images, for example by evaluating both checkpoints on them."

# Settings that contain the path to the run folder, which is different for every run.
_OWN_FOLDER = {"dirpath", "save_dir", "default_root_dir"}


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, read from its folder. Runs that did not use any data are not supported.

    Attributes:
        name: Shortest suffix of the folder's path that distinguishes the run from the other runs.
        folder: Absolute path to the folder.
        summary: Content of ``summary.json``.
        settings: Settings from ``config.yaml``, by dotted name.
        history: Table of metrics with one row per epoch, or None for a run without training.
    """

    name: str
    folder: Path
    summary: Summary
    settings: dict[str, Any]
    history: pd.DataFrame | None

    @classmethod
    def read(cls, folder: Path, name: str) -> "FinishedRun":
        """Read a finished run from its folder.

        Raises:
            UserError: A file in the folder is missing or damaged, or the run did not use any data.
        """
        summary = Summary.read(folder)
        if summary.data is None or not {"name", "images"} <= summary.data.keys():
            raise unusable(folder / SUMMARY, "it does not specify which data the run used")
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
        """Metric values by name (``split/metric``). Undefined metrics are NaN."""
        return self.summary.metrics

    @property
    def data(self) -> dict[str, Any]:
        """Name and folder of the data, and the number of images in each split."""
        assert self.summary.data is not None, "read() checks this"
        return self.summary.data

    @property
    def seed(self) -> int | None:
        """Seed of the run. If an old summary does not contain the seed, the value is taken from the settings."""
        return self.settings.get("seed") if self.summary.seed is None else self.summary.seed

    @property
    def threshold(self) -> float:
        """Probability at or above which the run's classifier predicts that an attribute is present."""
        value = self.settings.get("model.threshold")
        return 0.5 if value is None else float(value)

    @property
    def training_seconds(self) -> float | None:
        """Training time in seconds, or None for a run without training.

        If training was not timed separately, this value includes validation.
        """
        seconds = self.summary.seconds
        return seconds.get("training", seconds.get("fit"))

    def images(self, split: str) -> int | None:
        """Return the number of images in a split, or None if the run did not use the split."""
        images: int | None = self.data["images"].get(split)
        return images

    def predictions(self, split: str) -> Path:
        """Return the path to the run's prediction table for a split."""
        return self.folder / "tables" / f"predictions_{split}.csv"


def read_runs(folders: Sequence[Path], split: str) -> tuple[list[FinishedRun], list[Path]]:
    """Read the runs that contain predictions for a split, and return them with the folders of the other runs.

    Raises:
        UserError: A file in a run folder is missing or damaged, or a run did not use any data.
    """
    table = Path("tables") / f"predictions_{split}.csv"
    comparable = [folder for folder in folders if (folder / table).is_file()]
    names = distinct_names(comparable)
    named = progress(zip(comparable, names, strict=True), "reading the runs", len(comparable), "runs")
    runs = [FinishedRun.read(folder, name) for folder, name in named]
    return runs, [folder for folder in folders if folder not in comparable]


def _read_settings(path: Path) -> dict[str, Any]:
    with naming_file(path):
        settings = flatten(OmegaConf.to_container(OmegaConf.load(path)))
    return {name: value for name, value in settings.items() if name.rpartition(".")[2] not in _OWN_FOLDER}


def read_table(path: Path, needed: Sequence[str], **options: Any) -> pd.DataFrame:
    """Read a CSV table of a run.

    Args:
        path: Path to the table.
        needed: Names of the required columns.
        **options: Keyword arguments for ``pandas.read_csv``.

    Raises:
        UserError: The table is missing or damaged, or lacks a required column.
    """
    with naming_file(path):
        table: pd.DataFrame = pd.read_csv(path, **options)
    if missing := [name for name in needed if name not in table]:
        raise unusable(path, f"it has no column {missing[0]}")
    return table


def check_same_data(runs: Sequence[FinishedRun], split: str) -> None:
    """Check that runs used the same data, according to their summaries.

    The name and origin of the data and the number of images in the split must be the same. The folder and the number of
    training images may differ, so that runs with different amounts of training data can be compared.

    Raises:
        UserError: Two runs used different data.
    """
    first = runs[0]
    for run in runs[1:]:
        one, other = _identity(first, split), _identity(run, split)
        for key in one.keys() & other.keys():
            if one[key] != other[key]:
                raise UserError(
                    f"{first.name} and {run.name} used different data: {key} is {one[key]} in the first run and"
                    f" {other[key]} in the second. {ONE_DATA}"
                )


def _identity(run: FinishedRun, split: str) -> dict[str, Any]:
    """Return the properties of the data that must be the same in all compared runs, by dotted name."""
    data = flatten({"data": run.data})
    images = {key: value for key, value in data.items() if key == f"data.images.{split}"}
    return images | {key: value for key, value in data.items() if not key.startswith(("data.root", "data.images"))}
