"""The predictions of a classifier for labelled images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Predictions:
    """What a classifier says about N labelled images.

    Attributes:
        split: train, val or test.
        image_ids: N file names.
        index: int64 (N,), their rows in the annotations.
        labels: uint8 (N, K) of 0 and 1.
        probabilities: float32 (N, K) in [0, 1].
        attributes: the K names.
        threshold: probability from which on an attribute is said to be present.
    """

    split: str
    image_ids: list[str]
    index: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    attributes: Sequence[str]
    threshold: float

    @property
    def said(self) -> np.ndarray:
        """uint8 (N, K): 1 where an attribute was said to be present."""
        return (self.probabilities >= self.threshold).astype(np.uint8)


def prediction_table(predictions: Predictions) -> pd.DataFrame:
    """Return one row per image: ``image_id``, then label and probability of each attribute."""
    columns: dict[str, Sequence[object] | np.ndarray] = {"image_id": predictions.image_ids}
    for k, name in enumerate(predictions.attributes):
        columns[f"label/{name}"] = predictions.labels[:, k]
        columns[f"probability/{name}"] = predictions.probabilities[:, k]
    return pd.DataFrame(columns)
