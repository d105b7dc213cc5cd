"""Read finished runs from their folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from celeba_lab.config import flatten
from celeba_lab.console import progress
from celeba_lab.errors import UserError
from celeba_lab.files import load_yaml, read_csv, unusable
from celeba_lab.runs.find import distinct_names
from celeba_lab.runs.settings import SETTINGS
from celeba_lab.runs.summary import LARGEST_EPOCH, LARGEST_METRIC, LARGEST_SEED, SUMMARY, Summary

ONE_DATA = "Compare runs on the same images, for example by evaluating both checkpoints on them."

# Settings that contain the path to the run folder, which is different for every run.
_OWN_FOLDER = {"dirpath", "save_dir", "default_root_dir"}
_MAX_HISTORY_BYTES = 2**26  # 10,000 epochs of 200 metrics take about 40 MB.


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
            settings=_read_settings(folder / SETTINGS),
            history=read_history(history) if os.path.lexists(history) else None,
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
    comparable = [folder for folder in folders if os.path.lexists(folder / table)]
    names = distinct_names(comparable)
    named = progress(zip(comparable, names, strict=True), "reading the runs", len(comparable), "runs")
    runs = [FinishedRun.read(folder, name) for folder, name in named]
    return runs, [folder for folder in folders if folder not in comparable]


def _read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a run by dotted name, and check those that the comparison uses.

    Raises:
        UserError: The file is missing or damaged, or a setting has an invalid value.
    """
    stored = load_yaml(path)
    if not isinstance(stored, DictConfig):
        raise unusable(path, "it does not contain settings")
    settings = flatten(OmegaConf.to_container(stored))
    for name, kind, types, largest in (
        ("model.threshold", "a number", (int, float), 1),
        ("seed", "an integer", (int,), LARGEST_SEED),
    ):
        for key, value in settings.items():
            # If the value is a dictionary, the flat settings contain only its entries.
            is_wrong = isinstance(value, bool) or not isinstance(value, types) or not 0 <= value <= largest
            if key.startswith(f"{name}.") or (key == name and value is not None and is_wrong):
                raise unusable(path, f"{name} is {value!r}, but must be {kind} between 0 and {largest}")
    return {name: value for name, value in settings.items() if name.rpartition(".")[2] not in _OWN_FOLDER}


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
