"""A classifier's predictions for labelled images, and the table format in which they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from celeba_lab.data.tables import MAX_BYTES
from celeba_lab.files import read_csv, unquote_cell, unusable


@dataclass(frozen=True)
class Predictions:
    """A classifier's predictions for N labelled images.

    :meth:`to_table` and :meth:`read` define version 1 of the format of ``tables/predictions_<split>.csv``, a UTF-8 CSV
    file with one row per image. The column ``image_id`` contains unique file names, quoted by
    :func:`~celeba_lab.files.formats.quote_cell`. For each attribute, the column ``label/<attribute>`` contains 0 or 1,
    and ``probability/<attribute>`` contains a float32 in [0, 1]. Additional columns are ignored, so columns can be
    added without changing the version. The threshold is a setting of the model and is not stored in the table.

    Attributes:
        split: Name of the split: train, val or test.
        image_ids: File names of the N images.
        index: Row indices of the images in the annotations, int64 (N,). For predictions read from a table, these are
            the row indices in that table.
        labels: True labels, uint8 (N, K), each 0 or 1.
        probabilities: Predicted probabilities, float32 (N, K), in [0, 1].
        attributes: Names of the K attributes.
        threshold: Probability at or above which an attribute is predicted to be present.

    Example:
        >>> labels, probabilities = np.array([[1], [0]], np.uint8), np.array([[0.9], [0.6]], np.float32)
        >>> found = Predictions("test", ["1.jpg", "2.jpg"], np.arange(2), labels, probabilities, ["Smiling"])
        >>> found.predicted.ravel()
        array([1, 1], dtype=uint8)
        >>> found.to_table().columns.tolist()
        ['image_id', 'label/Smiling', 'probability/Smiling']
    """

    split: str
    image_ids: list[str]
    index: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    attributes: Sequence[str]
    threshold: float = 0.5

    @property
    def predicted(self) -> np.ndarray:
        """Predicted labels (1 if the probability is at or above the threshold, otherwise 0), uint8 (N, K)."""
        return (self.probabilities >= self.threshold).astype(np.uint8)

    def to_table(self) -> pd.DataFrame:
        """Return a table with one row per image, in the format that :meth:`read` expects."""
        columns: dict[str, Sequence[object] | np.ndarray] = {"image_id": self.image_ids}
        for k, name in enumerate(self.attributes):
            columns[f"label/{name}"] = self.labels[:, k]
            columns[f"probability/{name}"] = self.probabilities[:, k]
        return pd.DataFrame(columns)

    @classmethod
    def read(cls, path: Path, attributes: Sequence[str] | None = None, threshold: float = 0.5) -> "Predictions":
        """Read predictions from a table written by a run.

        Args:
            path: Path to a table named ``predictions_<split>.csv``.
            attributes: Attributes to read, in this order. By default, all attributes of the table are read.
            threshold: Probability at or above which an attribute is predicted to be present.

        Raises:
            UserError: The table does not exist, is invalid, or lacks a column.
        """
        stored = read_attributes(path)
        names = stored if attributes is None else list(attributes)
        if missing := [name for name in names if name not in stored]:
            raise unusable(path, f"it lacks the label or probability column for {missing[0]}")
        labels = [f"label/{name}" for name in names]
        probabilities = [f"probability/{name}" for name in names]
        types = {"image_id": str} | dict.fromkeys(labels, np.uint8) | dict.fromkeys(probabilities, np.float32)
        table = read_csv(path, MAX_BYTES, usecols=list(types), dtype=types)
        _check(path, table, labels, probabilities)
        return cls(
            split=path.stem.removeprefix("predictions_"),
            image_ids=[unquote_cell(name) for name in table["image_id"]],
            index=np.arange(len(table)),
            labels=table[labels].to_numpy(),
            probabilities=table[probabilities].to_numpy(),
            attributes=names,
            threshold=threshold,
        )


def read_attributes(path: Path) -> list[str]:
    """Return the attributes of a prediction table, reading only its header.

    Raises:
        UserError: The table does not exist or has no column ``image_id``.
    """
    columns = list(map(str, read_csv(path, MAX_BYTES, nrows=0).columns))
    if "image_id" not in columns:
        raise unusable(path, "it has no column image_id")
    names = [name.removeprefix("label/") for name in columns if name.startswith("label/")]
    return [name for name in names if f"probability/{name}" in columns]


def _check(path: Path, table: pd.DataFrame, labels: list[str], probabilities: list[str]) -> None:
    if table.empty:
        raise unusable(path, "it contains no images")
    if table["image_id"].hasnans or table["image_id"].duplicated().any():
        raise unusable(path, "an image_id is missing or appears twice")
    if (table[labels].to_numpy() > 1).any():
        raise unusable(path, "a label is neither 0 nor 1")
    values = table[probabilities].to_numpy()
    if not ((values >= 0) & (values <= 1)).all():
        raise unusable(path, "a probability is missing or not between 0 and 1")
