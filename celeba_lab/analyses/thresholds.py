"""From which probability on an attribute is said to be present, chosen on labelled images."""

import numpy as np

from celeba_lab.errors import UserError, did_you_mean

CRITERIA = ("balanced_accuracy", "f1")


def check_criterion(criterion: str | None) -> None:
    """Check what thresholds shall maximise; None for no tuning.

    Raises:
        UserError: there is no such criterion.
    """
    if criterion is not None and criterion not in CRITERIA:
        hint = did_you_mean(criterion, CRITERIA)
        raise UserError(f"task.report.tune={criterion}: it can be {' or '.join(CRITERIA)}, or null.{hint}")


def tune_thresholds(labels: np.ndarray, probabilities: np.ndarray, criterion: str, default: float = 0.5) -> np.ndarray:
    """Return the threshold of each attribute that is best on these images.

    Tune on validation and measure on test: on the images themselves a tuned threshold looks better than it is.

    Args:
        labels: (N, K) of 0 and 1.
        probabilities: (N, K) in [0, 1].
        criterion: ``balanced_accuracy`` or ``f1``.
        default: for attributes of which there is one class only, and the one that ties are settled towards.

    Returns:
        float64 (K,), each half-way between two neighbouring probabilities.

    Raises:
        UserError: there is no such criterion.
    """
    check_criterion(criterion)
    columns = zip(labels.T, probabilities.T, strict=True)
    return np.array([_tune(truth.astype(bool), scores, criterion, default) for truth, scores in columns])


def _tune(truth: np.ndarray, scores: np.ndarray, criterion: str, default: float) -> float:
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return default
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    # Positions after which a threshold may fall: the last of every run of equal probabilities.
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    tp = np.cumsum(truth[order])[ends]
    fp = ends + 1 - tp
    f1, balanced = 2 * tp / (tp + fp + positives), (tp / positives + (negatives - fp) / negatives) / 2
    value = f1 if criterion == "f1" else balanced
    below = np.append(ranked[ends[:-1] + 1], 0.0)
    candidates = (ranked[ends] + below) / 2
    best = np.flatnonzero(np.isclose(value, value.max(), rtol=0, atol=1e-12))
    return float(candidates[best[np.argmin(np.abs(candidates[best] - default))]])
