"""Pairs of attributes that one face cannot have, counted."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from celeba_lab.data.attributes import check_attributes
from celeba_lab.errors import UserError


def check_contradictions(pairs: Sequence[Sequence[str]]) -> None:
    """Check that these are pairs of attributes.

    Raises:
        UserError: one is not.
    """
    for pair in pairs:
        if len(pair) != 2:
            raise UserError(
                f"task.report.contradictions holds {list(pair)}; each entry must be two attributes, like [Bald, Bangs]."
            )
        check_attributes(pair)


def count_contradictions(
    labels: np.ndarray, said: np.ndarray, attributes: Sequence[str], pairs: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """Count the images with both attributes of a pair, among the labels and among what a classifier said.

    CelebA's labels contradict themselves, too: a classifier that learns from them is to be judged beside them.

    Args:
        labels: (N, K) of 0 and 1.
        said: (N, K) of 0 and 1.
        attributes: the K names.
        pairs: of names; a pair of which a name is not among the K is left out.

    Returns:
        One row for each pair: ``first``, ``second``, ``labels`` and ``predictions`` (images), ``labels_share`` and
        ``predictions_share`` (of all N images; NaN without any).
    """
    column = {name: k for k, name in enumerate(attributes)}
    known = [(first, second) for first, second in pairs if first in column and second in column]
    counts = [
        [int((table[:, column[first]] & table[:, column[second]]).sum()) for first, second in known]
        for table in (labels.astype(np.uint8), said.astype(np.uint8))
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
