"""CelebA's annotations: forty labels per face, the official partition, and optional tables."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from celeba_lab.data.attributes import ATTRIBUTES, check_attributes
from celeba_lab.data.layouts import LABEL_TABLE, PARTITION_TABLE, find_table, list_tables, only_one
from celeba_lab.data.tables import Table, read_table
from celeba_lab.errors import UserError, check_choice, enumerate_names

SPLITS: tuple[str, ...] = ("train", "val", "test")
"""Names of partitions 0, 1 and 2, in this order."""

_INT32 = range(-(2**31), 2**31)
_LANDMARKS = tuple(
    f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)
_BBOX = ("x_1", "y_1", "width", "height")
_EXTRAS: dict[str, tuple[str, ...]] = {
    "identity_CelebA": ("identity",),
    "list_landmarks_align_celeba": _LANDMARKS,
    "list_bbox_celeba": _BBOX,
}
TABLES = tuple(f"{stem}.csv" for stem in (LABEL_TABLE, PARTITION_TABLE, *_EXTRAS))
"""Names of all tables in the layout of Kaggle, of which the last three are optional."""


@dataclass(frozen=True)
class Annotations:
    """Annotations of N faces, in the order of the attribute table, validated when they are read.

    Attributes:
        root: Data folder that contains the tables.
        image_ids: File names of the images, str (N,).
        labels: Binary labels with columns in the order of ``ATTRIBUTES``, int8 (N, 40).
        partition: Partition of each face as an index into ``SPLITS``, int8 (N,).

    Example:
        >>> labels, ids = np.zeros((3, 40), dtype=np.int8), np.array(["1.jpg", "2.jpg", "3.jpg"])
        >>> labels[1, ATTRIBUTES.index("Smiling")] = 1
        >>> annotations = Annotations(Path("celeba"), ids, labels, partition=np.array([0, 0, 2], dtype=np.int8))
        >>> annotations.rows("train"), annotations.rows("test")
        (array([0, 1]), array([2]))
        >>> annotations.labels[:, annotations.columns(["Smiling"])].ravel()
        array([0, 1, 0], dtype=int8)
    """

    root: Path
    image_ids: np.ndarray
    labels: np.ndarray
    partition: np.ndarray

    @classmethod
    def load(cls, root: Path) -> "Annotations":
        """Read the attribute table and the partition table from a data folder.

        Args:
            root: The data folder, in any layout supported by :mod:`celeba_lab.data.layouts`.

        Raises:
            UserError: A table is missing, ambiguous or invalid. The message names the file, row or image.
        """
        root = Path(root)
        label_path, partition_path = find_table(root, LABEL_TABLE), find_table(root, PARTITION_TABLE)
        labels = read_table(label_path, ATTRIBUTES, range(-1, 2))
        _check_one_convention(labels)
        partition = read_table(partition_path, ("partition",), range(3))
        return cls(
            root=root,
            image_ids=labels.ids,
            labels=(labels.values == 1).astype(np.int8),
            partition=_align(partition, labels.ids, labels.path)[:, 0],
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of a SHA-256 hash of the file names, labels and partition of all faces.

        Two data folders with the same fingerprint have the same annotations, in whatever layout. Images are not read.
        """
        content = hashlib.sha256("\n".join(self.image_ids.tolist()).encode())
        for values in (self.labels, self.partition):
            content.update(np.ascontiguousarray(values).tobytes())
        return content.hexdigest()[:16]

    def rows(self, split: str) -> np.ndarray:
        """Return the row numbers of a split in ascending order, int64 (M,).

        Raises:
            SettingError: ``split`` is not ``train``, ``val`` or ``test``.
        """
        check_choice("split", split, SPLITS)
        return np.flatnonzero(self.partition == SPLITS.index(split))

    def columns(self, names: Sequence[str]) -> np.ndarray:
        """Return the column indices of the given attributes, in the given order, int64 (K,).

        Raises:
            UserError: ``names`` is empty, or contains an unknown or repeated name.
        """
        return np.array([ATTRIBUTES.index(name) for name in check_attributes(names)], dtype=np.int64)

    @cached_property
    def identity(self) -> np.ndarray | None:
        """Identity number of the person in each image, int32 (N,), or None if there is no identity table."""
        values = self._extra("identity_CelebA")
        return None if values is None else values[:, 0]

    @cached_property
    def landmarks(self) -> np.ndarray | None:
        """Coordinates (x, y) of the eyes, nose and mouth corners, int32 (N, 5, 2).

        Coordinates are in pixels of the aligned 178 x 218 image. The value is None if there is no landmark table.
        """
        values = self._extra("list_landmarks_align_celeba")
        return None if values is None else values.reshape(-1, 5, 2)

    @cached_property
    def bbox(self) -> np.ndarray | None:
        """Bounding box of the face in the original photograph, int32 (N, 4), or None if there is no bounding-box table.

        The columns are the left edge, top edge, width and height in pixels.
        """
        return self._extra("list_bbox_celeba")

    def to_csv(self, rows: np.ndarray) -> dict[str, str]:
        """Return tables in the layout of Kaggle that contain only the given faces, by file name.

        Args:
            rows: Rows of the faces, int64 (M,), in the order of the new tables.
        """
        tables = {
            LABEL_TABLE: (2 * self.labels - 1, ATTRIBUTES),
            PARTITION_TABLE: (self.partition[:, None], ("partition",)),
        }
        for stem, columns in _EXTRAS.items():
            values = self._extra(stem)
            if values is not None:
                tables[stem] = (values, columns)
        index = pd.Index(self.image_ids[rows], name="image_id")
        return {
            f"{stem}.csv": pd.DataFrame(values[rows], index, list(columns)).to_csv()
            for stem, (values, columns) in tables.items()
        }

    def _extra(self, stem: str) -> np.ndarray | None:
        paths = list_tables(self.root, stem)
        if not paths:
            return None
        return _align(
            read_table(only_one(paths), _EXTRAS[stem], _INT32), self.image_ids, find_table(self.root, LABEL_TABLE)
        )


def _check_one_convention(table: Table) -> None:
    """Check that a table encodes all of its labels either as -1/1 or as 0/1.

    A table with both encodings was probably merged from two sources, so the meaning of 0 is ambiguous.

    Raises:
        UserError: The table contains both -1 and 0.
    """
    negative, zero = table.values == -1, table.values == 0
    if not (negative.any() and zero.any()):
        return
    rows = {value: int(np.flatnonzero(mask.any(axis=1))[0]) for value, mask in ((-1, negative), (0, zero))}
    first, second = sorted(rows, key=lambda value: (rows[value], value))
    attribute = ATTRIBUTES[int(np.flatnonzero(table.values[rows[second]] == second)[0])]
    raise UserError(
        f"{table.place(rows[second])}: '{attribute}' is {second}, but some other labels are {first}. The whole table"
        " must use either -1/1 or 0/1. Download it again or convert it."
    )


def _align(table: Table, ids: np.ndarray, source: Path) -> np.ndarray:
    """Return the values of a table in the order of ``ids``, which were read from the file ``source``."""
    if np.array_equal(table.ids, ids):
        return table.values
    for here, there, name in ((ids, table.ids, source), (table.ids, ids, table.path)):
        missing = np.setdiff1d(here, there)
        if len(missing):
            other = table.path if name == source else source
            raise UserError(
                f"{other} lacks {len(missing)} of the images in {name} ({enumerate_names(missing.tolist())})."
                " Both tables must list the same images. Download them again or correct them."
            )
    # Both lists contain the same ids in different orders, so a binary search in the sorted list finds each id.
    order = np.argsort(table.ids)
    return table.values[order[np.searchsorted(table.ids, ids, sorter=order)]]
