"""Folders with a given number of faces, which contain links to the images of another folder."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from celeba_lab.data.annotations import SPLITS
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.celeba import CelebA
from celeba_lab.data.synthetic.settings import RECORD

SHARES = (0.8, 0.1, 0.1)
"""Shares of the training, validation and test images, which are those of CelebA."""
_IMAGES = Path("img_align_celeba", "img_align_celeba")


def link_faces(data: CelebA, folder: Path, n: int) -> None:
    """Write a folder in Kaggle's layout with ``n`` faces. If there are fewer, they are repeated under other names.

    Args:
        data: Faces to use.
        folder: New folder.
        n: Number of faces.
    """
    annotations = data.annotations
    counts = split_counts(n)
    rows = np.concatenate([_take(data, split, count) for split, count in zip(SPLITS, counts, strict=True)])
    names = [f"{k:06d}{Path(str(annotations.image_ids[row])).suffix}" for k, row in enumerate(rows, start=1)]
    images = folder / _IMAGES
    images.mkdir(parents=True)
    source = data.image_folder.resolve()
    for name, row in zip(names, rows, strict=True):
        (images / name).symlink_to(source / str(annotations.image_ids[row]))
    write_tables(folder, annotations.labels[rows], np.repeat(range(len(SPLITS)), counts), names)
    if (data.root / RECORD).is_file():  # The faces are drawn, and the reports must say so.
        shutil.copy(data.root / RECORD, folder)


def split_counts(n: int) -> list[int]:
    """Return the numbers of training, validation and test images.

    Example:
        >>> split_counts(2000)
        [1600, 200, 200]
    """
    held_out = [max(2, round(share * n)) for share in SHARES[1:]]
    return [n - sum(held_out), *held_out]


def _take(data: CelebA, split: str, count: int) -> np.ndarray:
    """Return the rows of the first ``count`` faces of a split, which are repeated if there are fewer, int64 (count,).

    If the split is empty, the faces of all splits are used.
    """
    rows = data.split_indices(split)
    return np.resize(rows if len(rows) else data.rows, count)


def write_tables(folder: Path, labels: np.ndarray, partition: np.ndarray, names: Sequence[str]) -> None:
    """Write labels, (N, 40) of 0 and 1, and partitions, (N,), in Kaggle's format."""
    folder.mkdir(parents=True, exist_ok=True)
    index = pd.Index(list(names), name="image_id")
    values = 2 * labels.astype(np.int64) - 1
    pd.DataFrame(values, index, list(ATTRIBUTES)).to_csv(folder / "list_attr_celeba.csv")
    pd.DataFrame({"partition": partition}, index).to_csv(folder / "list_eval_partition.csv")


def link_torchvision(source: Path, folder: Path) -> None:
    """Write the folder that ``torchvision.datasets.CelebA`` reads, with all of its tables.

    Args:
        source: Folder in Kaggle's layout.
        folder: New folder.
    """
    labels = pd.read_csv(source / "list_attr_celeba.csv", index_col="image_id")
    partition = pd.read_csv(source / "list_eval_partition.csv", index_col="image_id")
    inside = folder / "celeba"
    inside.mkdir(parents=True)
    (inside / "img_align_celeba").symlink_to((source / _IMAGES).resolve())
    zeros = {n: pd.DataFrame(0, labels.index, range(n)) for n in (1, 4, 10)}
    _write_text(inside / "list_attr_celeba.txt", labels, has_header=True)
    _write_text(inside / "list_eval_partition.txt", partition, has_header=False)
    # The values in these tables are never used, but the tables must exist.
    _write_text(inside / "identity_CelebA.txt", zeros[1], has_header=False)
    _write_text(inside / "list_bbox_celeba.txt", zeros[4], has_header=True)
    _write_text(inside / "list_landmarks_align_celeba.txt", zeros[10], has_header=True)


def _write_text(path: Path, table: pd.DataFrame, has_header: bool) -> None:
    header = f"{len(table)}\n{' '.join(map(str, table.columns))}\n" if has_header else ""
    path.write_text(header + table.to_csv(sep=" ", header=False))
