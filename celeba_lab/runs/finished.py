"""Read finished runs from their folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from celeba_lab.config import flatten
from celeba_lab.console import progress
from celeba_lab.errors import UserError
from celeba_lab.files import read_csv, unusable
from celeba_lab.runs.find import distinct_names
from celeba_lab.runs.job import Job
from celeba_lab.runs.settings import SETTINGS, RunSettings
from celeba_lab.runs.summary import LARGEST_EPOCH, LARGEST_METRIC, LARGEST_SEED, SUMMARY, Summary

ONE_DATA = "Compare runs on the same images, for example by evaluating both checkpoints on them."

_MAX_HISTORY_BYTES = 2**26  # 10,000 epochs of 200 metrics take about 40 MB.


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, read from its folder. Runs that did not use any data are not supported.

    Attributes:
        name: Shortest suffix of the folder's path that distinguishes the run from the other runs.
        folder: Absolute path to the folder.
        summary: Content of ``summary.json``.
        stored: Settings from ``config.yaml``; see :class:`~celeba_lab.runs.settings.RunSettings`.
        varied: Settings that the sweep of the run varies, or None if the run is not part of a sweep.
        history: Table of metrics with one row per epoch, or None for a run without training.
    """

    name: str
    folder: Path
    summary: Summary
    stored: RunSettings
    varied: dict[str, Any] | None
    history: pd.DataFrame | None

    @classmethod
    def read(cls, folder: Path, name: str, with_history: bool = True) -> "FinishedRun":
        """Read a finished run from its folder.

        Args:
            folder: Folder of the run.
            name: Name of the run.
            with_history: If false, the table of metrics with one row per epoch is not read.

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
            stored=_read_settings(folder),
            varied=Job.read(folder).values if (folder / Job.FILE).is_file() else None,
            history=read_history(history) if with_history and os.path.lexists(history) else None,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Settings by dotted name, without those that name the run or its folder."""
        return self.stored.values

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
    comparable = [folder for folder in folders if os.path.lexists(folder / table)]
    names = distinct_names(comparable)
    named = progress(zip(comparable, names, strict=True), "reading the runs", len(comparable), "runs")
    runs = [FinishedRun.read(folder, name) for folder, name in named]
    return runs, [folder for folder in folders if folder not in comparable]


def _read_settings(folder: Path) -> RunSettings:
    """Read the settings of a run, and check those that the comparison uses.

    Raises:
        UserError: A file is missing or damaged, or a setting has an invalid value.
    """
    stored = RunSettings.read(folder)
    for name, kind, types, largest in (
        ("model.threshold", "a number", (int, float), 1),
        ("seed", "an integer", (int,), LARGEST_SEED),
    ):
        for key, value in stored.values.items():
            # If the value is a dictionary, the flat settings contain only its entries.
            is_wrong = isinstance(value, bool) or not isinstance(value, types) or not 0 <= value <= largest
            if key.startswith(f"{name}.") or (key == name and value is not None and is_wrong):
                reason = f"{name} is {value!r}, but must be {kind} between 0 and {largest}"
                raise unusable(folder / SETTINGS, reason)
    return stored


def read_history(path: Path) -> pd.DataFrame:
    """Read the table of metrics of a run, with one row per epoch.

    Raises:
        UserError: The table is missing or damaged, or contains impossible epochs or values.
    """
    table = read_csv(path, _MAX_HISTORY_BYTES, dtype=np.float64)
    if "epoch" not in table:
        raise unusable(path, "it has no column epoch")
    # Comparisons with NaN are false.
    if not ((table["epoch"] >= 0) & (table["epoch"] <= LARGEST_EPOCH) & (table["epoch"] % 1 == 0)).all():
        raise unusable(path, f"an epoch is not a whole number between 0 and {LARGEST_EPOCH:,}")
    if (table.where(np.isfinite(table), 0.0).abs() > LARGEST_METRIC).any(axis=None):
        raise unusable(path, f"a value is larger than {LARGEST_METRIC:g}")
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
        one, other = identify_data(first, split), identify_data(run, split)
        for key in one.keys() & other.keys():
            if one[key] != other[key]:
                raise UserError(
                    f"{first.name} and {run.name} used different data: {key} is {one[key]} in the first run and"
                    f" {other[key]} in the second. {ONE_DATA}"
                )


def identify_data(run: FinishedRun, split: str | None = None) -> dict[str, Any]:
    """Return the properties of the data that must be the same in all compared runs, by dotted name.

    Args:
        run: The run.
        split: Split whose number of images must be the same. By default, all splits except the training split.
    """
    data = flatten({"data": run.data})
    splits = ("val", "test") if split is None else (split,)
    images = {key: value for key, value in data.items() if key in [f"data.images.{name}" for name in splits]}
    return images | {key: value for key, value in data.items() if not key.startswith(("data.root", "data.images"))}
