"""The input for each part of a classifier's report, with methods that write tables and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from celeba_lab.analyses.predictions import Predictions
from celeba_lab.console import split_name
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.reports.page.page import PageTable, Picture
from celeba_lab.runs.run import Run


@dataclass(frozen=True)
class EvaluationResult:
    """The predictions for one split, with everything needed to report them.

    Attributes:
        run: Run to which tables and figures named ``<name>_<split>`` are written.
        datamodule: Data module with the images and the labels of all attributes.
        predictions: Predictions to report.
        validation: Validation predictions, which are used to choose thresholds and temperatures. None if the validation
            split itself is reported or has no images.
    """

    run: Run
    datamodule: CelebADataModule
    predictions: Predictions
    validation: Predictions | None

    @property
    def split(self) -> str:
        """Name of the reported split."""
        return self.predictions.split

    @property
    def names(self) -> list[str]:
        """Names of the K attributes."""
        return list(self.predictions.attributes)

    @property
    def title(self) -> str:
        """Title used for all figures."""
        return f"{self.run.title(self.datamodule.name)} · {split_name(self.split)}"

    def all_labels(self) -> np.ndarray:
        """Return the true labels of all forty attributes, including attributes that are not predicted, int8 (N, 40)."""
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
            name: Name of the table, without the split.
            frame: Table to write.
            caption: Caption of the table on the page.
            columns: Columns to show on the page, as a mapping from names to headings. By default, all columns are
                shown.
            rows: Maximum number of rows to show on the page. By default, all rows are shown.
        """
        path = self.run.table(f"{name}_{self.split}", frame)
        shown = frame if columns is None else frame[list(columns)].rename(columns=dict(columns))
        return PageTable(caption, shown, file=f"tables/{path.name}", rows=rows)

    def picture(self, name: str, figure: Figure, caption: str) -> Picture:
        """Write ``figures/<name>_<split>.png`` and return the picture for the page."""
        path = self.run.figure(f"{name}_{self.split}", figure)
        return Picture(path, caption, alt=f"{name.replace('_', ' ')}: {caption}")


def percent(share: float, digits: int = 1) -> str:
    """Format a share as a percentage, or as ``undefined`` if it is NaN."""
    return "undefined" if np.isnan(share) else f"{100 * share:.{digits}f}%"


def first_names(names: Sequence[str], limit: int = 3) -> str:
    """Join at most ``limit`` names for use in a sentence, such as ``a, b and c``."""
    chosen = list(names[:limit])
    return chosen[0] if len(chosen) == 1 else f"{', '.join(chosen[:-1])} and {chosen[-1]}"
