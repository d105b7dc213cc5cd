"""Counts of faces with mutually exclusive attributes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from celeba_lab.data.attributes import check_attributes
from celeba_lab.errors import SettingError


def check_contradictions(pairs: Sequence[Sequence[str]]) -> None:
    """Check that every entry is a pair of different attributes.

    Raises:
        SettingError: An entry does not consist of two names, a name is not an attribute, or a pair contains the same
            name twice.
    """
    for pair in pairs:
        if len(pair) != 2:
            raise SettingError("contradictions", [list(pair)], "must be a list of pairs, such as [[Bald,Bangs]]")
        check_attributes(pair, "contradictions")


def count_contradictions(
    labels: np.ndarray, predicted: np.ndarray, attributes: Sequence[str], pairs: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """Count the images that have both attributes of a pair, separately for labels and predictions.

    CelebA's labels also contain contradictions. The number of contradictory predictions is therefore only meaningful in
    comparison with the number of contradictory labels.

    Args:
        labels: True labels of shape (N, K), each 0 or 1.
        predicted: Predicted labels of shape (N, K), each 0 or 1.
        attributes: Names of the K attributes.
        pairs: Pairs of attribute names. A pair is skipped unless both of its names are in ``attributes``.

    Returns:
        A table with one row per pair. The columns are ``first`` and ``second`` (the pair), ``labels`` and
        ``predictions`` (numbers of images), and ``labels_share`` and ``predictions_share`` (fractions of the N images,
        or NaN if N is 0).

    Example:
        >>> labels = np.array([[1, 1], [1, 0], [0, 0], [0, 1]])
        >>> table = count_contradictions(labels, 0 * labels, ["Bald", "Bangs"], [["Bald", "Bangs"]])
        >>> table[["first", "second", "labels", "predictions"]].values.tolist()
        [['Bald', 'Bangs', 1, 0]]
    """
    column = {name: k for k, name in enumerate(attributes)}
    known = [(first, second) for first, second in pairs if first in column and second in column]
    counts = [
        [int((table[:, column[first]] & table[:, column[second]]).sum()) for first, second in known]
        for table in (labels.astype(np.uint8), predicted.astype(np.uint8))
    ]
    n = len(labels) or np.nan
    return pd.DataFrame(
        {
            "first": [first for first, _ in known],
            "second": [second for _, second in known],
            "labels": np.array(counts[0], dtype=np.int64),
            "predictions": np.array(counts[1], dtype=np.int64),
            "labels_share": np.array(counts[0], dtype=float) / n,
            "predictions_share": np.array(counts[1], dtype=float) / n,
        }
    )
