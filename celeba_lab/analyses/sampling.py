"""Which rows an analysis looks at."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from celeba_lab.data.annotations import SPLITS
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.errors import UserError


@dataclass(frozen=True)
class LabelSample:
    """The labels that an analysis looks at.

    Attributes:
        datamodule: where they are from; with images or without.
        rows: int64 (N,), rows of its annotations, in the order of the sample.
        attributes: K names.
        labels: int8 (N, K) of 0 and 1.
        source: says in words which faces these are, for titles.
    """

    datamodule: CelebADataModule
    rows: np.ndarray
    attributes: list[str]
    labels: np.ndarray
    source: str


def take_fraction(rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw a fraction of rows without replacement, as ``pandas.DataFrame.sample`` does.

    Args:
        rows: int64 (N,).
        fraction: above 0, at most 1; 1 returns the rows as they are.
        seed: whole number from 0.

    Returns:
        int64 (round(fraction * N),), at least one, in random order.

    Raises:
        UserError: the fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise UserError(f"task.fraction={fraction:g}: give a number above 0, at most 1.")
    if fraction == 1:
        return rows
    sample = pd.Series(rows).sample(n=max(1, round(fraction * len(rows))), random_state=seed)
    return sample.to_numpy()


def split_randomly(rows: np.ndarray, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into some to fit and some to test, as scikit-learn's ``train_test_split`` does.

    Raises:
        UserError: ``test_size`` is no fraction between 0 and 1, or leaves nothing on one side.
    """
    if not 0 < test_size < 1:
        raise UserError(f"task.test_size={test_size:g}: give a fraction between 0 and 1.")
    try:
        train, test = train_test_split(rows, test_size=test_size, random_state=seed)
    except ValueError as error:
        raise UserError(
            f"{len(rows)} rows with task.test_size={test_size:g} leave nothing to fit or nothing to test; take more."
        ) from error
    return train, test


def split_officially(rows: np.ndarray, partition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide rows into those of CelebA's train and those of its test partition; the others are left out.

    Args:
        rows: int64 (N,).
        partition: (number of images,), an index into ``SPLITS`` for each.

    Raises:
        UserError: one of the two is empty.
    """
    parts = {split: rows[partition[rows] == SPLITS.index(split)] for split in ("train", "test")}
    for split, members in parts.items():
        if not len(members):
            raise UserError(
                f"task.split=official needs rows of the {split} split, and there are none: add it to data.partitions,"
                " or take task.split=random."
            )
    return parts["train"], parts["test"]
