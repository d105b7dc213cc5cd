"""Validation, testing and prediction for all models that predict attributes."""

import lightning as L
import torch
from torch import Tensor
from typing_extensions import override

from celeba_lab.errors import UserError
from celeba_lab.models.classifier.losses import binary_cross_entropy
from celeba_lab.models.classifier.metrics import SplitMetrics
from celeba_lab.models.divergence import divergence_error

_NAMES = {"train": "training", "val": "validation", "test": "test"}


class AttributeModel(L.LightningModule):
    """Base class for attribute classifiers and their ensembles.

    Subclasses define ``evaluation_logits`` and ``input_size``, and set the other attributes below.

    Example:
        >>> from celeba_lab.models.classifier import AttributeClassifier
        >>> model: AttributeModel = AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=32).eval()
        >>> model.probabilities(torch.zeros(2, 3, 109, 89, dtype=torch.uint8)).shape
        torch.Size([2, 1])

    Attributes:
        attributes: Names of the K attributes, in the order of the logits.
        threshold: Probability at or above which an attribute is predicted to be present.
        input_size: Side length of the training faces in pixels.
        val_metrics: Metrics of the validation split.
        test_metrics: Metrics of the split on which ``Trainer.test`` evaluates the model.
    """

    attributes: list[str]
    threshold: float
    val_metrics: SplitMetrics
    test_metrics: SplitMetrics

    @property
    def input_size(self) -> int:
        """Side length of the training faces in pixels."""
        raise NotImplementedError

    def evaluation_logits(self, images: Tensor) -> Tensor:
        """Return logits averaged over all views of each face, float (B, K), for raw faces, uint8 (B, 3, H, W)."""
        raise NotImplementedError

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return probabilities, float32 (B, K) in [0, 1], for raw faces, uint8 (B, 3, H, W) of any size."""
        return self.evaluation_logits(images).float().sigmoid()

    @override
    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return self._evaluation_step(self.val_metrics, batch)

    @override
    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return self._evaluation_step(self.test_metrics, batch)

    @override
    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Return ``probability``, float32 (B, K), and ``index``, int64 (B,), for a batch without labels."""
        return {"probability": self.probabilities(batch["image"]), "index": batch["index"]}

    def _evaluation_step(self, metrics: SplitMetrics, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        logits = self.evaluation_logits(batch["image"]).float()  # (B, K)
        probabilities = logits.sigmoid()
        loss = binary_cross_entropy(logits, batch["label"].float())
        metrics.update(loss, probabilities, batch["label"])
        return {"probability": probabilities, "label": batch["label"], "index": batch["index"]}

    @override
    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val", self.val_metrics)

    @override
    def on_test_epoch_end(self) -> None:
        self._log_metrics("test", self.test_metrics)

    def _log_metrics(self, split: str, metrics: SplitMetrics) -> None:
        # The metrics are empty if the run was interrupted during validation and resumed after the last training batch.
        # The main process alone may have sums from the checkpoint, and all processes must compute the metrics together.
        if not self.trainer.strategy.reduce_boolean_decision(not metrics.is_empty, all=False):
            return
        scores = metrics.compute()
        metrics.reset()
        if not scores["loss"].isfinite():
            self._refuse_loss(split)
        accuracy = scores.pop("accuracy")
        self.log_dict({f"{split}/{name}": value.nanmean() for name, value in scores.items()})
        self.log(f"{split}/accuracy", accuracy.mean(), prog_bar=True)  # for Lightning's own progress bars
        if len(self.attributes) > 1:
            names = (f"{split}/accuracy/{name}" for name in self.attributes)
            self.log_dict(dict(zip(names, accuracy, strict=True)))

    def _refuse_loss(self, split: str) -> None:
        """Raise an error for a non-finite loss."""
        name = f"{_NAMES[split]} loss"
        if self.trainer.state.fn == "fit":
            raise divergence_error(self, [name])
        raise UserError(f"The {name} is NaN or infinite. Evaluate a checkpoint from a run that did not diverge.")
