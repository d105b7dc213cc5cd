"""Selection of the rows used in an analysis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from celeba_lab.console import split_name
from celeba_lab.data.annotations import SPLITS
from celeba_lab.data.celeba import CelebA
from celeba_lab.errors import SettingError, check_inner_fraction, check_positive_fraction


@dataclass(frozen=True)
class LabelSample:
    """Labels of the faces used in an analysis.

    Attributes:
        data: The labels and, optionally, the image files of all faces.
        rows: Row indices of the faces in the annotations, int64 (N,), in the order of the sample.
        attributes: Names of the K attributes.
        labels: Labels, int8 (N, K), each 0 or 1.
        title: Description of the faces for the titles of figures and tables.
    """

    data: CelebA
    rows: np.ndarray
    attributes: list[str]
    labels: np.ndarray
    title: str


def check_several(attributes: Sequence[str] | None) -> None:
    """Check that at least two attributes are selected. ``None`` is valid and selects all attributes.

    Raises:
        SettingError: There are fewer than two attributes.
    """
    if attributes is not None and len(attributes) < 2:
        raise SettingError("attributes", list(attributes), "must name at least two attributes")


def take_fraction(rows: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Sample a fraction of the rows without replacement, like ``pandas.DataFrame.sample``.

    Args:
        rows: Row indices, int64 (N,).
        fraction: Fraction of the rows to sample, above 0 and at most 1. With a fraction of 1, all rows are returned in
            their original order.
        seed: Random seed, at least 0.

    Returns:
        The sampled row indices in random order, int64 (max(1, round(fraction * N)),).

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
    """Randomly split rows into training and test rows with scikit-learn's ``train_test_split``.

    Args:
        rows: Row indices, int64 (N,).
        test_size: Fraction of the rows to use for testing, above 0 and below 1.
        seed: Random seed for the split.

    Returns:
        Indices of the training rows and of the test rows, each int64.

    Raises:
        SettingError: ``test_size`` is out of range, or no rows would be left for training or testing.
    """
    from sklearn.model_selection import train_test_split  # It is slow to import.

    check_inner_fraction("test_size", test_size)
    try:
        train, test = train_test_split(rows, test_size=test_size, random_state=seed)
    except ValueError as error:
        rule = f"leaves no rows for training or testing, because the total number of rows is only {len(rows)}"
        raise SettingError("test_size", test_size, rule, "Use more rows.") from error
    return train, test


def split_officially(rows: np.ndarray, partition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into CelebA's official training and test partitions, dropping all other rows.

    Args:
        rows: Row indices, int64 (N,).
        partition: Partition of each of the M images in the annotations, as an index into ``SPLITS``, of shape (M,).

    Returns:
        Indices of the training rows and of the test rows, each int64.

    Raises:
        SettingError: There are no training rows or no test rows.
    """
    parts = {split: rows[partition[rows] == SPLITS.index(split)] for split in ("train", "test")}
    for split, members in parts.items():
        if not len(members):
            hint = f"Use data that includes the {split_name(split)} split, or set split=random."
            raise SettingError(
                "split", "official", f"requires rows of the {split_name(split)} split, but there are none", hint
            )
    return parts["train"], parts["test"]
