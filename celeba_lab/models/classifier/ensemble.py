"""Ensembles of classifiers."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from celeba_lab.errors import UserError
from celeba_lab.models.classifier.evaluation import AttributeModel
from celeba_lab.models.classifier.metrics import SplitMetrics
from celeba_lab.models.classifier.module import AttributeClassifier

_SHARED = ("attributes", "image_size", "resolution")


class Ensemble(AttributeModel):
    """An ensemble of classifiers that averages their logits.

    Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles" (NeurIPS
    2017), average probabilities. This class averages logits instead, as flip averaging does.

    Ensembles support evaluation and prediction, but not training.

    Args:
        members: One or more classifiers with the same attributes in the same order, the same image size and the same
            resolution. The ensemble uses the first classifier's threshold.

    Raises:
        UserError: The classifiers differ in attributes, image size or resolution.

    Example:
        >>> members = [AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=32) for _ in range(2)]
        >>> Ensemble(members).eval().probabilities(torch.zeros(2, 3, 109, 89, dtype=torch.uint8)).shape
        torch.Size([2, 1])
    """

    def __init__(self, members: Sequence[AttributeClassifier]) -> None:
        super().__init__()
        first = members[0]
        for member in members[1:]:
            for name in _SHARED:
                expected, found = first.hparams[name], member.hparams[name]
                if found != expected:
                    raise UserError(
                        f"Cannot average checkpoints with different values of {name}: {expected} and {found}."
                    )
        self.members = nn.ModuleList(members)
        self.attributes = first.attributes
        self.threshold = first.threshold
        self.val_metrics = SplitMetrics(len(self.attributes), self.threshold)
        self.test_metrics = SplitMetrics(len(self.attributes), self.threshold)

    @property
    @override
    def input_size(self) -> int:
        return self._classifiers[0].input_size

    @override
    def evaluation_logits(self, images: Tensor) -> Tensor:
        return torch.stack([member.evaluation_logits(images) for member in self._classifiers]).mean(dim=0)

    @property
    def _classifiers(self) -> list[AttributeClassifier]:
        return cast("list[AttributeClassifier]", list(self.members))
