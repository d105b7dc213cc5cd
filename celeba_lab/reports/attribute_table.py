"""The table of scores with one row per attribute."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from celeba_lab.analyses.calibration import reliability
from celeba_lab.analyses.intervals import wilson_interval
from celeba_lab.analyses.scores import attribute_scores


def attribute_table(
    labels: np.ndarray,
    probabilities: np.ndarray,
    attributes: Sequence[str],
    threshold: float = 0.5,
    bins: int = 15,
) -> pd.DataFrame:
    """Return a table of prevalence, majority-class accuracy and scores, with one row per attribute.

    ``accuracy_low`` and ``accuracy_high`` are the bounds of the 95% Wilson interval, ``ece`` is the expected
    calibration error, and ``gain`` is the accuracy minus the majority-class accuracy. Undefined values are NaN.

    Args:
        labels: True labels, uint8 (N, K), 0 or 1.
        probabilities: Predicted probabilities, float32 (N, K), in [0, 1].
        attributes: Names of the K attributes.
        threshold: Probability at or above which an attribute is predicted to be present.
        bins: Number of probability bins for the calibration error.
    """
    scores = attribute_scores(labels, probabilities, threshold)
    prevalence = labels.mean(axis=0)
    majority = np.maximum(prevalence, 1 - prevalence)
    n = len(labels)
    low, high = wilson_interval(np.rint(scores["accuracy"] * n), np.full(len(prevalence), n))
    return pd.DataFrame(
        {
            "attribute": list(attributes),
            "images": n,
            "prevalence": prevalence,
            "majority_accuracy": majority,
            **scores,
            "ece": reliability(labels, probabilities, bins).error,
            "accuracy_low": low,
            "accuracy_high": high,
            # The gain is float32, like the accuracy, so that predicting the majority class has a gain of exactly 0.
            "gain": scores["accuracy"] - majority.astype(np.float32),
        }
    )


def mean_majority_accuracy(table: pd.DataFrame) -> float:
    """Return the majority-class accuracy, averaged over the rows of an attribute table."""
    return float(table["majority_accuracy"].mean())
