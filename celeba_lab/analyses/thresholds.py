"""Tuning of probability thresholds on labelled images."""

import numpy as np

from celeba_lab.errors import check_choice

CRITERIA = ("balanced_accuracy", "f1")
"""Scores that a threshold can maximise."""


def tune_thresholds(labels: np.ndarray, probabilities: np.ndarray, criterion: str, default: float = 0.5) -> np.ndarray:
    """Return, for each attribute, the threshold that maximises a score.

    Tune thresholds on validation images and evaluate them on test images, because the score is overestimated on
    the images used for tuning.

    Args:
        labels: True labels of shape (N, K), each 0 or 1.
        probabilities: Predicted probabilities of shape (N, K), in [0, 1].
        criterion: Score to maximise: ``balanced_accuracy`` or ``f1``.
        default: Threshold for attributes whose labels are all the same. If several thresholds maximise the score, the
            one closest to this value is chosen.

    Returns:
        Thresholds, float64 (K,), each halfway between two neighbouring probabilities.

    Raises:
        SettingError: ``criterion`` is unknown.

    Example:
        >>> labels = np.array([[0], [0], [1], [1]])
        >>> probabilities = np.array([[0.1], [0.2], [0.3], [0.9]])
        >>> tune_thresholds(labels, probabilities, "f1")
        array([0.25])
    """
    check_choice("criterion", criterion, CRITERIA)
    columns = zip(labels.T, probabilities.T, strict=True)
    return np.array([_tune(truth.astype(bool), scores, criterion, default) for truth, scores in columns])


def _tune(truth: np.ndarray, scores: np.ndarray, criterion: str, default: float) -> float:
    """Tune the threshold for one attribute on labels, bool (N,), and probabilities, float (N,)."""
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return default
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    # Images with equal probabilities cannot be separated, so thresholds can only lie between distinct probabilities.
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    tp = np.cumsum(truth[order])[ends]
    fp = ends + 1 - tp
    f1, balanced = 2 * tp / (tp + fp + positives), (tp / positives + (negatives - fp) / negatives) / 2
    value = f1 if criterion == "f1" else balanced
    below = np.append(ranked[ends[:-1] + 1], 0.0)
    candidates = (ranked[ends] + below) / 2
    best = np.flatnonzero(np.isclose(value, value.max(), rtol=0, atol=1e-12))
    return float(candidates[best[np.argmin(np.abs(candidates[best] - default))]])
