"""Feature extraction with Lightning's Trainer."""

import lightning as L
from torch import Tensor
from typing_extensions import override

from celeba_lab.models.classifier.module import AttributeClassifier


class Embedder(L.LightningModule):
    """A LightningModule whose predictions are the backbone features of a trained classifier.

    Args:
        classifier: Trained classifier.

    Example:
        >>> import torch
        >>> embedder = Embedder(AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=32).eval())
        >>> embedder.predict_step({"image": torch.zeros(2, 3, 109, 89, dtype=torch.uint8)}, 0).shape
        torch.Size([2, 1024])
    """

    def __init__(self, classifier: AttributeClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    @override
    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return the features of a batch, float32 (B, D) on the CPU."""
        return self.classifier.features(batch["image"]).float().cpu()
