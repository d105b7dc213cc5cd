"""Validation of labels and predictions before they are plotted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_predictions(
    labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Check the shapes and values of labels and probabilities.

    Args:
        labels: True labels of shape (N, K), each 0 or 1.
        probabilities: Predicted probabilities of shape (N, K), in [0, 1].
        names: Names of the K attributes.

    Returns:
        The labels as bool (N, K) and the probabilities as float (N, K).

    Raises:
        ValueError: The arrays do not both have shape (N, K), a label is not 0 or 1, or a probability is not in [0, 1].
    """
    truth, scores = np.asarray(labels), np.asarray(probabilities)
    if truth.ndim != 2 or truth.shape != scores.shape or truth.shape[1] != len(names) or not names:
        raise ValueError(
            "Labels and probabilities must both have shape (N, K), with one name per column: "
            f"got labels {truth.shape}, probabilities {scores.shape} and {len(names)} names."
        )
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"Labels must be 0 or 1: got {np.setdiff1d(truth, (0, 1))[:5].tolist()}.")
    # This comparison is also false for NaN.
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(
            "Probabilities must be in [0, 1], but some are outside this range or NaN. Logits are not supported."
        )
    return truth.astype(bool), scores


def why_undefined(labels: NDArray[np.bool_]) -> str | None:
    """Return the reason why metrics that require both classes are undefined, or None if they are defined."""
    if labels.size == 0:
        return "no images"
    if labels.all():
        return "no negatives"
    return None if labels.any() else "no positives"
