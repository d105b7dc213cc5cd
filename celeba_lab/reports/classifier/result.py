"""What every part of a classifier's report is given, and where it leaves what it makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from celeba_lab.analyses.predictions import Predictions
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.reports.page.page import PageTable, Picture
from celeba_lab.runs.run import RunFolder


@dataclass(frozen=True)
class EvaluationResult:
    """The predictions of one split, with what is needed to report them.

    Attributes:
        run: Folder of the tables and figures, which are called ``<name>_<split>``.
        datamodule: Data module with the images and with the labels of the other attributes.
        predictions: The predictions to report.
        validation: The predictions of the validation split, on which thresholds and temperatures are chosen; None if
            validation itself is reported, or has no images.
        run_title: Names of the data and of the experiment, with which the title of every figure starts.
    """

    run: RunFolder
    datamodule: CelebADataModule
    predictions: Predictions
    validation: Predictions | None
    run_title: str

    @property
    def split(self) -> str:
        """Name of the split that is reported."""
        return self.predictions.split

    @property
    def names(self) -> list[str]:
        """Names of the K attributes."""
        return list(self.predictions.attributes)

    @property
    def title(self) -> str:
        """Title of every figure."""
        return f"{self.run_title} · {self.split}"

    def all_labels(self) -> np.ndarray:
        """Return all forty labels of the N images, int8 (N, 40), whatever the classifier predicts."""
        labels: np.ndarray = self.datamodule.annotations.labels[self.predictions.index]
        return labels

    def table(
        self,
        name: str,
        frame: pd.DataFrame,
        caption: str,
        columns: Mapping[str, str] | None = None,
        rows: int | None = None,
    ) -> PageTable:
        """Write ``tables/<name>_<split>.csv`` and return the table for the page.

        Args:
            name: Name of the table without the split.
            frame: The table, all of which is written.
            caption: Caption that says what a row is.
            columns: Columns that the page shows and their headings; all columns by default.
            rows: Number of rows that the page shows; all rows by default.
        """
        path = self.run.table(f"{name}_{self.split}", frame)
        shown = frame if columns is None else frame[list(columns)].rename(columns=dict(columns))
        return PageTable(caption, shown, file=f"tables/{path.name}", rows=rows)

    def picture(self, name: str, figure: Figure, caption: str) -> Picture:
        """Write ``figures/<name>_<split>.png`` and return the picture for the page."""
        path = self.run.figure(f"{name}_{self.split}", figure)
        return Picture(path, caption, alt=f"{name.replace('_', ' ')}: {caption}")


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a percentage, or ``undefined`` if it is NaN."""
    return "undefined" if np.isnan(share) else f"{100 * share:.{digits}f} %"


def first_names(names: Sequence[str], limit: int = 3) -> str:
    """Return the first names for a sentence: ``a, b and c``."""
    chosen = list(names[:limit])
    return chosen[0] if len(chosen) == 1 else f"{', '.join(chosen[:-1])} and {chosen[-1]}"
