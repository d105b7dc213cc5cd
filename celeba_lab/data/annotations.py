"""The annotations of all faces: forty labels, the official partition, and what else lies beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from celeba_lab.data.attributes import ATTRIBUTES, check_attributes
from celeba_lab.data.layouts import LABEL_TABLE, PARTITION_TABLE, find_table, list_tables, only_one
from celeba_lab.data.tables import Table, read_table
from celeba_lab.errors import UserError, did_you_mean, enumerate_names

SPLITS: tuple[str, ...] = ("train", "val", "test")
"""The names of partition 0, 1 and 2."""

_INT32 = range(-(2**31), 2**31)
_LANDMARKS = tuple(
    f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)
_BBOX = ("x_1", "y_1", "width", "height")


@dataclass(frozen=True)
class Annotations:
    """What is known about each face, in the order of the attribute table; checked once, when it is read.

    Attributes:
        root: The folder it was read from.
        image_ids: ``(N,)`` str, the images' file names.
        labels: ``(N, 40)`` int8, 0 or 1, columns in the order of ``ATTRIBUTES``.
        partition: ``(N,)`` int8, 0, 1 or 2: an index into ``SPLITS``.
    """

    root: Path
    image_ids: np.ndarray
    labels: np.ndarray
    partition: np.ndarray

    @classmethod
    def load(cls, root: Path) -> "Annotations":
        """Read the attribute and the partition table of ``root``, in any of the layouts CelebA is found in.

        Raises:
            UserError: A table is missing, there more than once, or broken; the sentence names file, row or id.
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

    def rows(self, split: str) -> np.ndarray:
        """Return the int64 row numbers of ``split`` ("train", "val" or "test"), ascending."""
        if split not in SPLITS:
            raise UserError(
                f"'{split}' is not a split; the splits are {', '.join(SPLITS)}.{did_you_mean(split, SPLITS)}"
            )
        return np.flatnonzero(self.partition == SPLITS.index(split))

    def columns(self, names: Sequence[str]) -> np.ndarray:
        """Return the int64 column numbers of the attributes ``names``, in the order given."""
        return np.array([ATTRIBUTES.index(name) for name in check_attributes(names)], dtype=np.int64)

    @cached_property
    def identity(self) -> np.ndarray | None:
        """``(N,)`` int32 number of the person, read when first asked for; None where there is no such file."""
        values = self._extra("identity_CelebA", ("identity",))
        return None if values is None else values[:, 0]

    @cached_property
    def landmarks(self) -> np.ndarray | None:
        """``(N, 5, 2)`` int32 (x, y) in pixels of the 178x218 image: both eyes, nose, both corners of the mouth."""
        values = self._extra("list_landmarks_align_celeba", _LANDMARKS)
        return None if values is None else values.reshape(-1, 5, 2)

    @cached_property
    def bbox(self) -> np.ndarray | None:
        """``(N, 4)`` int32 x, y, width, height in pixels of the photograph before alignment; None where absent."""
        return self._extra("list_bbox_celeba", _BBOX)

    def _extra(self, stem: str, columns: Sequence[str]) -> np.ndarray | None:
        paths = list_tables(self.root, stem)
        if not paths:
            return None
        return _align(read_table(only_one(paths), columns, _INT32), self.image_ids, find_table(self.root, LABEL_TABLE))


def _check_one_convention(table: Table) -> None:
    """Labels are -1/1 or 0/1; a table with both was spliced together, and nobody knows what its 0 means."""
    negative, zero = table.values == -1, table.values == 0
    if not (negative.any() and zero.any()):
        return
    rows = {value: int(np.flatnonzero(mask.any(axis=1))[0]) for value, mask in ((-1, negative), (0, zero))}
    first, second = sorted(rows, key=lambda value: (rows[value], value))
    attribute = ATTRIBUTES[int(np.flatnonzero(table.values[rows[second]] == second)[0])]
    raise UserError(
        f"{table.place(rows[second])}: '{attribute}' is {second}, while other labels are {first}; labels are -1/1 or"
        f" 0/1 in the whole table: download it again or convert it."
    )


def _align(table: Table, ids: np.ndarray, source: Path) -> np.ndarray:
    """Return the values of ``table`` in the order of ``ids``, which were read from ``source``."""
    if np.array_equal(table.ids, ids):
        return table.values
    for here, there, name in ((ids, table.ids, source), (table.ids, ids, table.path)):
        missing = np.setdiff1d(here, there)
        if len(missing):
            other = table.path if name == source else source
            raise UserError(
                f"{other} lacks {len(missing)} of the images in {name} ({enumerate_names(missing.tolist())});"
                f" both tables must list the same images: download them again or correct them."
            )
    # Both are permutations of the same ids: sort one, find the others in it.
    order = np.argsort(table.ids)
    return table.values[order[np.searchsorted(table.ids, ids, sorter=order)]]
