"""Classifier for K binary face attributes, from a single attribute to all forty."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchvision.transforms import v2
from typing_extensions import override

from celeba_lab.errors import check_above, check_at_least, check_choice, check_fraction, settings_of
from celeba_lab.models.checkpoint_format import mark_checkpoint
from celeba_lab.models.classifier.augment import RandomAugment, enlarge
from celeba_lab.models.classifier.backbones import Backbone
from celeba_lab.models.classifier.evaluation import AttributeModel
from celeba_lab.models.classifier.losses import build_loss
from celeba_lab.models.classifier.metrics import SplitMetrics
from celeba_lab.models.optimization import (
    SCHEDULES,
    build_optimizer,
    build_schedule,
    check_optimizer,
    describe_parameters,
)

# Mean and standard deviation of each RGB channel in [0, 1], as used to train torchvision's ImageNet weights.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Smallest side length of a face, in pixels, that still shows something.
_SMALLEST = 8


class AttributeClassifier(AttributeModel):
    """A torchvision backbone and a linear layer that map raw faces to one logit per attribute.

    Checkpoints are self-contained: the model that ``AttributeClassifier.load_from_checkpoint(path)`` returns accepts
    uint8 faces of any size.

    Args:
        attributes: Names of the K attributes, in the order of the logits.
        backbone: Name of a classifier that ``torchvision.models.get_model`` builds, or of a registered backbone.
        weights: Origin of the backbone's initial weights, loaded by the train task. The model only stores this setting.
        image_size: Side length in pixels to which faces are resized before they enter the network.
        resolution: Side length in pixels to which faces are shrunk before they are resized to ``image_size``. A
            classifier for small faces, such as those of a GAN, must be trained on small faces. If None, faces are not
            shrunk.
        optimizer: Name of an optimizer in ``torch.optim``.
        lr: Peak learning rate of the schedule.
        weight_decay: Weight decay of parameters with two or more dimensions.
        schedule: Name of the learning-rate schedule: ``constant``, ``one_cycle`` or ``cosine``.
        warmup: Fraction of all steps during which the learning rate increases.
        freeze: Fraction of the backbone's layers, counted from the input, that keep their pretrained weights and
            statistics. With 1.0, only the head is trained.
        unfreeze_epoch: Epoch, counted from 0, at which all layers are unfrozen. If None, frozen layers stay frozen.
        loss: Name and settings of the training loss; see :func:`~celeba_lab.models.classifier.losses.build_loss`. The
            default is binary cross-entropy. Validation and testing always report binary cross-entropy, so that runs
            with different losses can be compared.
        prevalence: Prevalence of each of the K attributes among the training images, for losses that need it.
        mixup: Parameter of MixUp (Zhang et al., "mixup", ICLR 2018). Each training face and its labels are mixed with
            those of another face, with a ratio drawn from Beta(mixup, mixup) for each batch. 0 disables MixUp.
        label_smoothing: Amount of label smoothing, s. Training uses the labels s / 2 and 1 - s / 2 instead of 0 and 1.
        threshold: Probability at or above which an attribute is predicted to be present.
        flip_average: If true, average the logits of each face and its mirror image during evaluation, at double the
            cost.
        zoom_average: Fraction by which each face is enlarged and shrunk during evaluation. The logits of the three
            views are averaged, at three times the cost. 0 disables this averaging.
        augment: Arguments of :class:`~celeba_lab.models.classifier.augment.RandomAugment`.
        channels_last: If true, use the memory format ``channels_last``, which was faster on all tested CPUs and GPUs.
        compile: If true, compile the backbone with ``torch.compile``, which takes about a minute at the start of a run.

    Raises:
        SettingError: A setting is unknown or out of range.

    Example:
        >>> model = AttributeClassifier(attributes=["Smiling"], backbone="shufflenet_v2_x0_5", image_size=64).eval()
        >>> model(torch.zeros(2, 3, 109, 89, dtype=torch.uint8)).shape
        torch.Size([2, 1])
    """

    divergence_advice = "Lower lr, or set gradient_clip_val=1"

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        attributes: list[str],
        backbone: str = "mobilenet_v2",
        weights: str | None = "auto",
        image_size: int = 128,
        resolution: int | None = None,
        optimizer: str = "AdamW",
        lr: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: str = "one_cycle",
        warmup: float = 0.3,
        freeze: float = 0.0,
        unfreeze_epoch: int | None = None,
        loss: dict[str, Any] | None = None,
        prevalence: list[float] | None = None,
        mixup: float = 0.0,
        label_smoothing: float = 0.0,
        threshold: float = 0.5,
        flip_average: bool = False,
        zoom_average: float = 0.0,
        augment: dict[str, float] | None = None,
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        check_at_least("image_size", image_size, _SMALLEST)
        check_at_least("resolution", resolution, _SMALLEST)
        check_above("lr", lr, 0)
        check_at_least("weight_decay", weight_decay, 0)
        check_choice("schedule", schedule, SCHEDULES)
        check_fraction("warmup", warmup)
        check_fraction("freeze", freeze)
        check_at_least("unfreeze_epoch", unfreeze_epoch, 0)
        check_at_least("mixup", mixup, 0)
        check_fraction("label_smoothing", label_smoothing)
        check_fraction("threshold", threshold)
        check_fraction("zoom_average", zoom_average)
        check_optimizer(optimizer)
        self.save_hyperparameters()
        self.attributes = list(attributes)
        self.threshold = threshold
        self.backbone = Backbone(backbone, image_size)
        self.head = nn.Linear(self.backbone.num_features, len(attributes))
        with settings_of("augment"):
            self.augment = RandomAugment(**(augment or {}))
        self.mixup = v2.MixUp(alpha=mixup) if mixup else None
        with settings_of("loss"):
            self.training_loss = build_loss(prevalence=prevalence, **(loss or {}))
        self.train_metrics = SplitMetrics(len(attributes), threshold, ranking=False)
        self.val_metrics = SplitMetrics(len(attributes), threshold)
        self.test_metrics = SplitMetrics(len(attributes), threshold)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self._frozen: list[nn.Module] = []
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.backbone.to(memory_format=self._memory_format)

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Return logits, float (B, K), for raw faces, uint8 (B, 3, H, W) of any size."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return the backbone's features, float (B, D), for raw faces, uint8 (B, 3, H, W) of any size."""
        features: Tensor = self.backbone(self._normalise(self._to_unit_range(images)))
        return features

    @property
    @override
    def input_size(self) -> int:
        size: int = self.hparams["resolution"] or self.hparams["image_size"]
        return size

    def load_pretrained(self, state_dict: Mapping[str, Tensor], origin: str) -> None:
        """Load the initial weights of the backbone.

        See :meth:`~celeba_lab.models.classifier.backbones.Backbone.load_pretrained`.
        """
        self.backbone.load_pretrained(state_dict, origin)

    # -- one batch ---------------------------------------------------------------------------------------------------

    @override
    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        images, labels = self.augment(self._to_unit_range(batch["image"])), batch["label"].float()
        if self.mixup is not None:
            images, labels = self.mixup(images, labels)
        logits = self.head(self.backbone(self._normalise(images))).float()  # (B, K)
        loss = self.training_loss(logits, self._smooth(labels))
        self.train_metrics.update(loss.detach(), logits.detach().sigmoid(), labels >= 0.5)
        # Lightning's own progress bars, which a user may choose, show this value. ProgressLine does not need it.
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    @override
    def evaluation_logits(self, images: Tensor) -> Tensor:
        views = [self._to_unit_range(images)]
        if zoom := self.hparams["zoom_average"]:
            views += [enlarge(views[0], factor) for factor in (1 + zoom, 1 / (1 + zoom))]
        if self.hparams["flip_average"]:
            views += [view.flip(-1) for view in views]
        logits = [self.head(self.backbone(self._normalise(view))) for view in views]
        return torch.stack(logits).mean(dim=0)

    def _to_unit_range(self, images: Tensor) -> Tensor:
        """Return raw faces as float (B, 3, S, S) in [0, 1], where S is the model's image size."""
        if images.dtype != torch.uint8:
            raise TypeError(f"the classifier expects raw uint8 faces (B, 3, H, W), but got {images.dtype}")
        unit = images.to(self.mean.dtype) / 255
        for size in (self.input_size, self.hparams["image_size"]):
            if unit.shape[-2:] != (size, size):
                unit = F.interpolate(unit, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        return unit

    def _normalise(self, images: Tensor) -> Tensor:
        return ((images - self.mean) / self.std).contiguous(memory_format=self._memory_format)

    def _smooth(self, labels: Tensor) -> Tensor:
        smoothing: float = self.hparams["label_smoothing"]
        return labels * (1 - smoothing) + smoothing / 2

    # -- one epoch ---------------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """Return a one-line description of the backbone, image size, number of attributes and number of parameters."""
        size, count = self.hparams["image_size"], len(self.attributes)
        return (
            f"{self.backbone.name}, {size} x {size} pixels, {count} attribute{'' if count == 1 else 's'},"
            f" {describe_parameters(self)}"
        )

    def running_losses(self) -> dict[str, float]:
        """Return the current epoch's mean training loss so far, by name, after synchronising with the device."""
        return {"loss": self.train_metrics.running_loss}

    @override
    def on_train_start(self) -> None:
        # By now, the weights are loaded and on the device. Folded layers would not be compiled.
        if not self.hparams["compile"]:
            self.backbone.fold_frozen()

    @override
    def on_train_end(self) -> None:
        self.backbone.unfold_frozen()

    @override
    def on_train_epoch_start(self) -> None:
        if self.hparams["unfreeze_epoch"] is not None and self.current_epoch >= self.hparams["unfreeze_epoch"]:
            self._freeze_layers(0.0)

    @override
    def on_train_epoch_end(self) -> None:
        self._log_metrics("train", self.train_metrics)

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        mark_checkpoint(checkpoint, "classifier")

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # An interrupted validation starts over. Lightning would skip the batches that were already evaluated, so the
        # metrics would cover only part of the split.
        loops = checkpoint.get("loops", {}).get("fit_loop", {})
        finished = loops.get("epoch_loop.val_loop.batch_progress", {}).get("current", {})
        finished.update(dict.fromkeys(finished.keys() - {"is_last_batch"}, 0))

    # -- learning ----------------------------------------------------------------------------------------------------

    @override
    def setup(self, stage: str) -> None:
        if stage == "fit":  # layers must be frozen before a strategy wraps the module
            self._freeze_layers(self.hparams["freeze"])
        if self.hparams["compile"]:  # in place, to keep the names in the state dict
            self.backbone.compile()

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        # The optimizer also receives the frozen parameters, because they may be unfrozen later.
        optimizer = build_optimizer(
            self.hparams["optimizer"], [self.backbone, self.head], self.hparams["lr"], self.hparams["weight_decay"]
        )
        schedule = build_schedule(
            self.hparams["schedule"], optimizer, self.trainer.estimated_stepping_batches, self.hparams["warmup"]
        )
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @override
    def train(self, mode: bool = True) -> "AttributeClassifier":
        # Frozen layers also keep their batch statistics during training. Calling layer.eval() would affect
        # child modules that are trained. For example, the root module of a vision transformer owns a parameter.
        super().train(mode)
        for layer in self._frozen:
            layer.training = False
        return self

    def _freeze_layers(self, fraction: float) -> None:
        """Freeze this fraction of the backbone's layers, counted from the input, and unfreeze the others."""
        self.backbone.unfold_frozen()
        layers = self.backbone.layers()
        self._frozen = layers[: round(fraction * len(layers))]
        frozen = {parameter for layer in self._frozen for parameter in layer.parameters(recurse=False)}
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(parameter not in frozen)
        self.train(self.training)
