"""Exact metrics for K binary attributes over a whole split, rather than means of batch metrics."""

from collections.abc import Iterator, Mapping
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
from typing_extensions import override

from celeba_lab.data.metric_names import metric_names as metric_names


class AttributeMetrics(nn.Module):
    """Accuracy, balanced accuracy, precision, recall, F1, and optionally AUROC and average precision.

    Undefined metrics are NaN, for example the precision if no image is predicted to be positive, the recall if no image
    is positive, and the AUROC if all labels are identical.

    Args:
        num_attributes: Number of attributes, K.
        threshold: Probability at or above which an attribute is predicted to be present.
        ranking: If true, also compute AUROC and average precision, which keep all predicted probabilities of the split
            in memory (4 x N x K bytes).
        synchronize: If true, combine the predictions of all processes. Set to false if a single process has all
            predictions.

    Example:
        >>> metrics = AttributeMetrics(num_attributes=1)
        >>> metrics.update(torch.tensor([[0.9], [0.2], [0.6]]), torch.tensor([[1], [0], [0]]))
        >>> scores = metrics.compute()
        >>> print(f"{scores['accuracy'].item():.4f} {scores['auroc'].item():.4f}")
        0.6667 1.0000
    """

    def __init__(
        self, num_attributes: int, threshold: float = 0.5, ranking: bool = True, synchronize: bool = True
    ) -> None:
        super().__init__()
        # To check the arguments, torchmetrics would wait for the device in each update.
        options: dict[str, Any] = {"sync_on_compute": synchronize, "validate_args": False}
        self.single = num_attributes == 1  # torchmetrics' multilabel metrics reject a single label
        self.threshold = threshold
        # The other metrics are computed from these counts, because torchmetrics would set undefined ratios to 0.
        self.counts = (
            BinaryStatScores(**options)
            if self.single
            else MultilabelStatScores(num_attributes, average=None, **options)
        )
        self.ranking = MetricCollection(_ranking_metrics(num_attributes, options)) if ranking else None

    def update(self, probabilities: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            probabilities: Predicted probabilities, float (B, K) in [0, 1].
            labels: Binary labels, (B, K).
        """
        probabilities, labels = probabilities.float(), labels.long()
        if self.single:
            probabilities, labels = probabilities[:, 0], labels[:, 0]
        self.counts.update((probabilities >= self.threshold).long(), labels)  # torchmetrics would use > instead of >=
        if self.ranking is not None:
            self.ranking.update(probabilities, labels)

    def compute(self) -> dict[str, Tensor]:
        """Return all metrics by name, float (K,) each. The values are the same in all processes."""
        tp, fp, tn, fn, _ = self.counts.compute().view(-1, 5).double().unbind(dim=1)
        recall, specificity = tp / (tp + fn), tn / (tn + fp)
        scores = {
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
        """Discard all batches."""
        self.counts.reset()
        if self.ranking is not None:
            self.ranking.reset()


class _MeanLoss(MeanMetric):
    """torchmetrics' mean, which is NaN if a value is NaN, and does not wait for the device to find this out."""

    # The weight is an integer, and is always given.
    @override
    def update(self, value: Tensor, weight: int) -> None:  # type: ignore[override]
        self.mean_value += value.to(self.dtype) * weight
        self.weight += weight


class SplitMetrics(nn.Module):
    """Mean loss and :class:`AttributeMetrics` of a split.

    Args:
        num_attributes: Number of attributes, K.
        threshold: Probability at or above which an attribute is predicted to be present.
        ranking: If true, also compute AUROC and average precision.

    Example:
        >>> metrics = SplitMetrics(num_attributes=1)
        >>> metrics.update(torch.tensor(0.5), torch.rand(3, 1), torch.tensor([[1], [0], [0]]))
        >>> metrics.update(torch.tensor(0.9), torch.rand(1, 1), torch.tensor([[1]]))
        >>> print(f"{metrics.compute()['loss'].item():.4f}")
        0.6000
    """

    def __init__(self, num_attributes: int, threshold: float = 0.5, ranking: bool = True) -> None:
        super().__init__()
        self.loss = _MeanLoss()
        self.attributes = AttributeMetrics(num_attributes, threshold, ranking)

    @property
    def is_empty(self) -> bool:
        """Whether no batch has been added yet."""
        return not torch.as_tensor(self.loss.weight).any()

    @property
    def running_loss(self) -> float:
        """Mean loss over the batches that this process has added so far, or 0 if no batch has been added."""
        total, weight = torch.as_tensor(self.loss.mean_value), torch.as_tensor(self.loss.weight)
        return (total / weight).item() if weight else 0.0

    def update(self, loss: Tensor, probabilities: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Args:
            loss: Mean loss of the batch, a scalar.
            probabilities: Predicted probabilities, float (B, K) in [0, 1].
            labels: Binary labels, (B, K).
        """
        self.loss.update(loss, len(labels))
        self.attributes.update(probabilities, labels)

    def compute(self) -> dict[str, Tensor]:
        """Return the mean ``loss``, a scalar, and all attribute metrics by name, float (K,) each.

        The values are the same in all processes.
        """
        return {"loss": self.loss.compute().float(), **self.attributes.compute()}

    def reset(self) -> None:
        """Discard all batches."""
        self.loss.reset()
        self.attributes.reset()

    def save(self) -> dict[str, dict[str, Any]]:
        """Return the sums over the batches that this process has added so far, for a checkpoint."""
        return {name: dict(metric.metric_state) for name, metric in self._parts()}

    def restore(self, sums: Mapping[str, dict[str, Any]] | None) -> None:
        """Discard all batches, and continue with the sums that :meth:`save` returned.

        Args:
            sums: The sums, or None if another process continues with them.
        """
        self.reset()
        for name, metric in self._parts():
            if sums is not None:
                metric.merge_state(sums[name])
            metric._update_count = 1  # merge_state leaves it at 0, and compute would warn that no batch was added

    def _parts(self) -> Iterator[tuple[str, Metric]]:
        return ((name, module) for name, module in self.named_modules() if isinstance(module, Metric))


def _ranking_metrics(num_attributes: int, options: dict[str, Any]) -> dict[str, Metric | MetricCollection]:
    if num_attributes == 1:
        return {"auroc": BinaryAUROC(**options), "average_precision": BinaryAveragePrecision(**options)}
    return {
        "auroc": MultilabelAUROC(num_attributes, average=None, **options),
        "average_precision": MultilabelAveragePrecision(num_attributes, average=None, **options),
    }
