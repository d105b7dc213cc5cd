"""Scores of predicted probabilities, for tables. This module does not import torch."""

import numpy as np


def attribute_scores(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float | np.ndarray = 0.5, ranking: bool = True
) -> dict[str, np.ndarray]:
    """Return accuracy, balanced accuracy, precision, recall, F1, and optionally AUROC and average precision.

    These are the metrics of :class:`~celeba_lab.models.classifier.metrics.AttributeMetrics`, which collects them in
    batches during training. Undefined metrics are NaN.

    Args:
        labels: True labels, (N, K), 0 or 1.
        probabilities: Predicted probabilities, float32 (N, K), in [0, 1].
        threshold: Probability at or above which an attribute is predicted to be present, for all attributes or (K,).
        ranking: If true, also compute AUROC and average precision.

    Returns:
        All metrics by name, float32 (K,) each.

    Example:
        >>> labels, probabilities = np.array([[1], [0], [0]]), np.array([[0.9], [0.2], [0.6]], dtype=np.float32)
        >>> scores = attribute_scores(labels, probabilities)
        >>> scores["accuracy"].round(4), scores["auroc"]
        (array([0.6667], dtype=float32), array([1.], dtype=float32))
    """
    predicted, positive = probabilities >= threshold, labels == 1
    tp, fp = (predicted & positive).sum(axis=0), (predicted & ~positive).sum(axis=0)
    tn, fn = (~predicted & ~positive).sum(axis=0), (~predicted & positive).sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is undefined
        recall, specificity = tp / (tp + fn), tn / (tn + fp)
        scores = {
            "accuracy": (tp + tn) / len(labels),
            "balanced_accuracy": (recall + specificity) / 2,
            "precision": tp / (tp + fp),
            "recall": recall,
            "f1": 2 * tp / (2 * tp + fp + fn),
        }
    if ranking:
        scores |= _ranking_scores(positive, probabilities)
    return {name: value.astype(np.float32) for name, value in scores.items()}


def _ranking_scores(positive: np.ndarray, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    from sklearn.metrics import average_precision_score, roc_auc_score  # It is slow to import.

    scores = {name: np.full(positive.shape[1], np.nan) for name in ("auroc", "average_precision")}
    for k in np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0)):
        scores["auroc"][k] = roc_auc_score(positive[:, k], probabilities[:, k])
        scores["average_precision"][k] = average_precision_score(positive[:, k], probabilities[:, k])
    return scores
