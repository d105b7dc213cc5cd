"""Selection of the rows that an analysis uses."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from celeba_lab.data.annotations import SPLITS
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.errors import SettingError, check_positive_fraction


@dataclass(frozen=True)
class LabelSample:
    """Labels of the faces that an analysis uses.

    Attributes:
        datamodule: Data that the labels come from, with or without images.
        rows: Rows of the faces in the annotations, int64 (N,), in the order of the sample.
        attributes: Names of the K attributes.
        labels: Labels, int8 (N, K), each 0 or 1.
        title: Description of the faces, for titles of figures and tables.
    """

    datamodule: CelebADataModule
    rows: np.ndarray
    attributes: list[str]
    labels: np.ndarray
    title: str


def take_fraction(rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw a fraction of the rows without replacement, like ``pandas.DataFrame.sample``.

    Args:
        rows: Rows, int64 (N,).
        fraction: Fraction of the rows, above 0 and at most 1. With 1, the rows are returned in their order.
        seed: Seed of the drawing, at least 0.

    Returns:
        The drawn rows in random order, int64 (round(fraction * N),), at least one row.

    Raises:
        SettingError: ``fraction`` is out of range.

    Example:
        >>> take_fraction(np.arange(100), 0.04, seed=0)
        array([26, 86,  2, 55])
    """
    check_positive_fraction("fraction", fraction)
    if fraction == 1:
        return rows
    sample = pd.Series(rows).sample(n=max(1, round(fraction * len(rows))), random_state=seed)
    return sample.to_numpy()


def split_randomly(rows: np.ndarray, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into training and test rows at random, with scikit-learn's ``train_test_split``.

    Args:
        rows: Rows, int64 (N,).
        test_size: Fraction of the rows in the test part, above 0 and below 1.
        seed: Seed of the split.

    Returns:
        The training rows and the test rows, int64.

    Raises:
        SettingError: ``test_size`` is out of range, or one of the two parts would be empty.
    """
    if not 0 < test_size < 1:
        raise SettingError("test_size", test_size, "must be above 0 and below 1")
    try:
        train, test = train_test_split(rows, test_size=test_size, random_state=seed)
    except ValueError as error:
        rule = f"leaves no rows for training or no rows for testing, because there are {len(rows)} in total"
        raise SettingError("test_size", test_size, rule, "Use more rows.") from error
    return train, test


def split_officially(rows: np.ndarray, partition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into those of CelebA's training partition and those of its test partition; others are left out.

    Args:
        rows: Rows, int64 (N,).
        partition: Partition of every image as an index into ``SPLITS``, (number of images,).

    Returns:
        The training rows and the test rows, int64.

    Raises:
        SettingError: There are no training rows or no test rows.
    """
    parts = {split: rows[partition[rows] == SPLITS.index(split)] for split in ("train", "test")}
    for split, members in parts.items():
        if not len(members):
            hint = f"Add {split} to data.partitions, or use split=random."
            raise SettingError("split", "official", f"needs rows of the {split} split, and there are none", hint)
    return parts["train"], parts["test"]
