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
class Case:
    """Predictions of one split, and what they are to be judged beside.

    Attributes:
        run: the folder of tables and figures; a part's files are called ``<name>_<split>``.
        datamodule: where the images and the other labels are.
        predictions: what is reported.
        validation: predictions of the validation split, which may choose thresholds and temperatures; None where it is
            itself what is reported, or has no images.
        source: names data and experiment in every figure.
    """

    run: RunFolder
    datamodule: CelebADataModule
    predictions: Predictions
    validation: Predictions | None
    source: str

    @property
    def split(self) -> str:
        """The split that is reported."""
        return self.predictions.split

    @property
    def names(self) -> list[str]:
        """The K attributes."""
        return list(self.predictions.attributes)

    @property
    def title(self) -> str:
        """What stands above every figure."""
        return f"{self.source} · {self.split}"

    def all_labels(self) -> np.ndarray:
        """Return int8 (N, 40): every label of the images, also of attributes that the classifier was not asked."""
        return self.datamodule.annotations.labels[self.predictions.index]

    def table(
        self,
        name: str,
        frame: pd.DataFrame,
        caption: str,
        columns: Mapping[str, str] | None = None,
        rows: int | None = None,
    ) -> PageTable:
        """Write ``tables/<name>_<split>.csv``; return it for the page.

        Args:
            name: without the split.
            frame: all of it goes into the file.
            caption: says what a row is.
            columns: those that the page shows, and their headings there; all by default.
            rows: the page shows only the first ones; all by default.
        """
        path = self.run.table(f"{name}_{self.split}", frame)
        shown = frame if columns is None else frame[list(columns)].rename(columns=dict(columns))
        return PageTable(caption, shown, file=f"tables/{path.name}", rows=rows)

    def picture(self, name: str, figure: Figure, caption: str) -> Picture:
        """Write ``figures/<name>_<split>.png``; return it for the page."""
        path = self.run.figure(f"{name}_{self.split}", figure)
        return Picture(path, caption, alt=f"{name.replace('_', ' ')}: {caption}")


def percent(share: float, digits: int = 1) -> str:
    """Return a share in words, ``undefined`` if it is NaN."""
    return "undefined" if np.isnan(share) else f"{100 * share:.{digits}f} %"


def first_names(names: Sequence[str], limit: int = 3) -> str:
    """Return names for a sentence: ``a, b and c``."""
    chosen = list(names[:limit])
    return chosen[0] if len(chosen) == 1 else f"{', '.join(chosen[:-1])} and {chosen[-1]}"
