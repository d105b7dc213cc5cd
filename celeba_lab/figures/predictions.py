"""The arrays that figures of a classifier's output start from, checked once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def check_predictions(
    labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Labels as booleans and probabilities as floats, both (N, K).

    Raises:
        ValueError: The shapes differ or are not (N, K), a label is not 0 or 1, or a probability is not in [0, 1].
    """
    truth, scores = np.asarray(labels), np.asarray(probabilities)
    if truth.ndim != 2 or truth.shape != scores.shape or truth.shape[1] != len(names) or not names:
        raise ValueError(
            "Labels and probabilities must both be (N, K) with one name per column: "
            f"got labels {truth.shape}, probabilities {scores.shape} and {len(names)} names."
        )
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"Labels must be 0 or 1: got {np.setdiff1d(truth, (0, 1))[:5].tolist()}.")
    # Written so that NaN fails too.
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("Probabilities must lie in [0, 1]: some do not, or are NaN (logits, or a diverged model?).")
    return truth.astype(bool), scores


def thresholds_of(threshold: float | Sequence[float], count: int) -> list[float]:
    """One threshold per attribute, from one for all or one each.

    Raises:
        ValueError: There are neither one nor ``count`` thresholds.
    """
    values = np.atleast_1d(np.asarray(threshold, dtype=float))
    if values.shape not in {(1,), (count,)}:
        raise ValueError(f"Expected one threshold, or one for each of {count} attributes: got {values.size}.")
    return [float(value) for value in np.broadcast_to(values, count)]


def why_undefined(labels: NDArray[np.bool_]) -> str | None:
    """Why no measure that needs both classes exists for labels (N,); None where they do."""
    if labels.size == 0:
        return "no images"
    if labels.all():
        return "no negatives"
    return None if labels.any() else "no positives"
