"""A trained classifier's features, through Lightning's Trainer."""

import lightning as L
from torch import Tensor

from celeba_lab.models.classifier.module import AttributeClassifier


class Embedder(L.LightningModule):
    """What the last layer of a classifier sees: raw faces in, one feature vector per face out.

    Args:
        classifier: trained.
    """

    def __init__(self, classifier: AttributeClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return float32 (B, D) on the CPU."""
        return self.classifier.features(batch["image"]).float().cpu()
