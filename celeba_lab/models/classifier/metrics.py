"""Exact metrics of K binary attributes over a whole split, never a mean of batch means."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import (
    BinaryAUROC,
    BinaryAveragePrecision,
    BinaryStatScores,
    MultilabelAUROC,
    MultilabelAveragePrecision,
    MultilabelStatScores,
)


class AttributeMetrics(nn.Module):
    """Loss, accuracy, balanced accuracy, precision, recall, F1 and, with ``ranking``, AUROC and average precision.

    A value that the data do not define is NaN: precision where nothing was predicted positive, recall without
    positives, AUROC with one class only. It leaves the mean over the attributes.

    Args:
        num_attributes: K.
        threshold: probability from which on an attribute is said to be present.
        ranking: also AUROC and average precision, which keep every probability of the split (4 bytes x N x K).
        synchronise: compute over what all processes have seen; off for what one process already has in full.
    """

    def __init__(
        self, num_attributes: int, threshold: float = 0.5, ranking: bool = True, synchronise: bool = True
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"sync_on_compute": synchronise}
        self.single = num_attributes == 1  # torchmetrics' multilabel metrics refuse one label
        self.loss = MeanMetric(nan_strategy=torch.nan, **options)  # a NaN stays: by default it would leave the mean
        self.threshold = threshold
        # Only the counts and the curves come from torchmetrics: it would call an undefined ratio 0.
        self.counts = (
            BinaryStatScores(**options)
            if self.single
            else MultilabelStatScores(num_attributes, average=None, **options)
        )
        self.ranking = MetricCollection(_ranking_metrics(num_attributes, options)) if ranking else None

    def update(self, loss: Tensor, probabilities: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss (scalar), probabilities float (B, K) in [0, 1], labels (B, K) of 0 and 1."""
        self.loss.update(loss, weight=len(labels))
        probabilities, labels = probabilities.float(), labels.long()
        if self.single:
            probabilities, labels = probabilities[:, 0], labels[:, 0]
        self.counts.update((probabilities >= self.threshold).long(), labels)  # torchmetrics' own test is >
        if self.ranking is not None:
            self.ranking.update(probabilities, labels)

    def compute(self) -> dict[str, Tensor]:
        """Return ``loss`` as a scalar and every other metric as float (K,), in all processes alike."""
        tp, fp, tn, fn, _ = self.counts.compute().view(-1, 5).double().unbind(dim=1)
        recall, specificity = tp / (tp + fn), tn / (tn + fp)
        scores = {
            "loss": self.loss.compute(),
            "accuracy": (tp + tn) / (tp + fp + tn + fn),
            "balanced_accuracy": (recall + specificity) / 2,
            "precision": tp / (tp + fp),
            "recall": recall,
            "f1": 2 * tp / (2 * tp + fp + fn),
        }
        if self.ranking is not None:
            one_class = (tp + fn == 0) | (tn + fp == 0)
            for name, value in self.ranking.compute().items():
                scores[name] = value.view(-1).masked_fill(one_class, torch.nan)
        return {name: value.float() for name, value in scores.items()}

    def reset(self) -> None:
        """Forget the split seen so far."""
        self.loss.reset()
        self.counts.reset()
        if self.ranking is not None:
            self.ranking.reset()


def _ranking_metrics(num_attributes: int, options: dict[str, Any]) -> dict[str, Metric | MetricCollection]:
    if num_attributes == 1:
        return {"auroc": BinaryAUROC(**options), "average_precision": BinaryAveragePrecision(**options)}
    return {
        "auroc": MultilabelAUROC(num_attributes, average=None, **options),
        "average_precision": MultilabelAveragePrecision(num_attributes, average=None, **options),
    }
