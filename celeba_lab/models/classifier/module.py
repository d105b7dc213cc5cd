"""The classifier of K binary face attributes, from one (Smiling) to all forty."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchvision.transforms import v2

from celeba_lab.errors import UserError
from celeba_lab.models.classifier.augment import RandomAugment, enlarge
from celeba_lab.models.classifier.backbones import Backbone
from celeba_lab.models.classifier.losses import binary_cross_entropy, build_loss
from celeba_lab.models.classifier.metrics import AttributeMetrics
from celeba_lab.models.optimization import build_optimizer, build_schedule

# What torchvision's ImageNet weights expect: mean and standard deviation of R, G, B in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class AttributeClassifier(L.LightningModule):
    """A torchvision backbone and one linear layer: raw faces in, one logit per attribute out.

    A checkpoint is self-contained: ``AttributeClassifier.load_from_checkpoint(path)`` takes uint8 faces of any size.

    Args:
        attributes: the K names, in the order of the logits.
        backbone: any classifier that ``torchvision.models.get_model`` builds.
        weights: where the backbone's first weights came from; kept for the record, used by the train task.
        image_size: side in pixels to which faces are resized before they enter the network.
        resolution: shrink faces to so many pixels a side before they are brought to ``image_size``: a classifier that
            shall judge small faces, as those of a GAN, must have learnt on small ones. None leaves them as they are.
        optimizer: a name in ``torch.optim``.
        lr: learning rate, the peak of the schedule.
        weight_decay: for weights of two or more axes.
        schedule: ``constant``, ``one_cycle`` or ``cosine``.
        warmup: fraction of all steps in which the learning rate rises.
        freeze: fraction of the backbone's layers, counted from the input, that keep their pretrained weights and
            statistics; 1.0 trains the head alone.
        unfreeze_epoch: the epoch (from 0) at which frozen layers are released; None for never.
        loss: what training minimises: the name and the settings of
            :func:`~celeba_lab.models.classifier.losses.build_loss`; binary cross-entropy by default. Outside training
            the loss is always the cross-entropy, to be comparable.
        prevalence: of the K attributes among the training images, for a loss that weighs by it; the task gives it.
        mixup: mix each training face and its labels with another's, by a share drawn from Beta(mixup, mixup) for every
            batch (Zhang et al., "mixup", ICLR 2018); 0 for none.
        label_smoothing: s moves the labels from 0 and 1 to s / 2 and 1 - s / 2 in training.
        threshold: probability from which on an attribute is said to be present.
        flip_average: outside training, average the logits of each face and of its mirror image (twice the cost).
        zoom_average: outside training, average the logits of each face, of the same enlarged by this fraction, and made
            smaller by as much (three times the cost); 0 for none.
        augment: arguments of :class:`RandomAugment`.
        channels_last: memory format of the network; faster on every CPU and GPU that we measured.
        compile: compile the backbone with ``torch.compile`` (about a minute at the start).

    Example:
        >>> model = AttributeClassifier(attributes=["Smiling"], image_size=64).eval()
        >>> model(torch.zeros(2, 3, 109, 89, dtype=torch.uint8)).shape
        torch.Size([2, 1])
    """

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
        fractions = {"freeze": freeze, "label_smoothing": label_smoothing, "threshold": threshold, "warmup": warmup}
        for name, value in fractions.items():
            if not 0 <= value <= 1:
                raise UserError(f"model.{name}={value} must lie between 0 and 1.")
        if resolution is not None and resolution < 1:
            raise UserError(f"model.resolution={resolution} must be at least 1; null for faces as they are.")
        for name, value in {"mixup": mixup, "zoom_average": zoom_average}.items():
            if value < 0:
                raise UserError(f"model.{name}={value:g}: give a number from 0.")
        self.save_hyperparameters()
        self.attributes = list(attributes)
        self.backbone = Backbone(backbone, image_size)
        self.head = nn.Linear(self.backbone.num_features, len(attributes))
        self.augment = RandomAugment(**(augment or {}))
        self.mixup = v2.MixUp(alpha=mixup) if mixup else None
        self.training_loss = build_loss(prevalence=prevalence, **(loss or {}))
        self.train_metrics = AttributeMetrics(len(attributes), threshold, ranking=False)
        self.val_metrics = AttributeMetrics(len(attributes), threshold)
        self.test_metrics = AttributeMetrics(len(attributes), threshold)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self._others = nn.ModuleList()  # what an ensemble averages this network with
        self._frozen: list[nn.Module] = []
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.backbone.to(memory_format=self._memory_format)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, float (B, K), of raw faces, uint8 (B, 3, H, W) of any size."""
        return self.head(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Return the backbone's features, float (B, D), of raw faces, uint8 (B, 3, H, W) of any size."""
        return self.backbone(self._normalise(self._to_unit_range(images)))

    @property
    def input_size(self) -> int:
        """Side in pixels of the faces that it sees, before they are enlarged for the network."""
        return self.hparams["resolution"] or self.hparams["image_size"]

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return probabilities, float32 (B, K) in [0, 1], of raw faces, uint8 (B, 3, H, W) of any size."""
        return self._evaluation_logits(images).float().sigmoid()

    def average_with(self, others: Sequence["AttributeClassifier"]) -> None:
        """Be an ensemble outside training: the mean of the logits of this network and of others.

        After Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles"
        (NeurIPS 2017), who average probabilities; logits are averaged here as in flip averaging.

        Args:
            others: for the same attributes in the same order, and the same image size.

        Raises:
            UserError: one of them differs in that.
        """
        for other in others:
            for name, wanted in {
                name: self.hparams[name] for name in ("attributes", "image_size", "resolution")
            }.items():
                if (found := other.hparams[name]) != wanted:
                    raise UserError(f"Networks are averaged that have the same {name}: {found} is not {wanted}.")
        self._others = nn.ModuleList(others).eval()

    def load_pretrained(self, state_dict: Mapping[str, Tensor], source: str) -> None:
        """Start the backbone from these weights; see :meth:`Backbone.load_pretrained`."""
        self.backbone.load_pretrained(state_dict, source)

    # -- one batch ---------------------------------------------------------------------------------------------------

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Learn from one batch."""
        images, labels = self.augment(self._to_unit_range(batch["image"])), batch["label"].float()
        if self.mixup is not None:
            images, labels = self.mixup(images, labels)
        logits = self.head(self.backbone(self._normalise(images))).float()  # (B, K)
        loss = self.training_loss(logits, self._smooth(labels))
        self.train_metrics.update(loss.detach(), logits.detach().sigmoid(), labels >= 0.5)
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Measure one batch."""
        return self._evaluation_step(self.val_metrics, batch)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Measure one batch."""
        return self._evaluation_step(self.test_metrics, batch)

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Return ``probability``, float32 (B, K), and ``index``, int64 (B,), of one batch without labels."""
        return {"probability": self.probabilities(batch["image"]), "index": batch["index"]}

    def _evaluation_step(self, metrics: AttributeMetrics, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        logits = self._evaluation_logits(batch["image"]).float()  # (B, K)
        probabilities = logits.sigmoid()
        loss = binary_cross_entropy(logits, batch["label"].float())
        metrics.update(loss, probabilities, batch["label"])
        return {"probability": probabilities, "label": batch["label"], "index": batch["index"]}

    def _evaluation_logits(self, images: Tensor) -> Tensor:
        members = cast("list[AttributeClassifier]", [self, *self._others])
        return torch.stack([member._own_logits(images) for member in members]).mean(dim=0)

    def _own_logits(self, images: Tensor) -> Tensor:
        views = [self._to_unit_range(images)]
        if zoom := self.hparams["zoom_average"]:
            views += [enlarge(views[0], factor) for factor in (1 + zoom, 1 / (1 + zoom))]
        if self.hparams["flip_average"]:
            views += [view.flip(-1) for view in views]
        logits = [self.head(self.backbone(self._normalise(view))) for view in views]
        return torch.stack(logits).mean(dim=0)

    def _to_unit_range(self, images: Tensor) -> Tensor:
        """Return float (B, 3, S, S) in [0, 1] of raw faces, S the image size of the model."""
        if images.dtype != torch.uint8:
            raise TypeError(f"the classifier takes raw uint8 faces (B, 3, H, W) in 0..255, not {images.dtype}")
        unit = images.to(self.mean.dtype) / 255
        for size in (self.input_size, self.hparams["image_size"]):
            if unit.shape[-2:] != (size, size):
                unit = F.interpolate(unit, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        return unit

    def _normalise(self, images: Tensor) -> Tensor:
        return ((images - self.mean) / self.std).contiguous(memory_format=self._memory_format)

    def _smooth(self, labels: Tensor) -> Tensor:
        smoothing = self.hparams["label_smoothing"]
        return labels * (1 - smoothing) + smoothing / 2

    # -- one epoch ---------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Fold frozen layers, now that their weights are loaded and on the device."""
        if not self.hparams["compile"]:  # what is folded would not be compiled
            self.backbone.fold_frozen()

    def on_train_end(self) -> None:
        """Be an ordinary network again."""
        self.backbone.unfold_frozen()

    def on_train_epoch_start(self) -> None:
        """Release the frozen layers when their time has come."""
        if self.hparams["unfreeze_epoch"] is not None and self.current_epoch >= self.hparams["unfreeze_epoch"]:
            self._freeze_layers(0.0)

    def on_train_epoch_end(self) -> None:
        """Log the training split."""
        self._log_metrics("train", self.train_metrics)

    def on_validation_epoch_end(self) -> None:
        """Log the validation split."""
        self._log_metrics("val", self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Log the test split."""
        self._log_metrics("test", self.test_metrics)

    def _log_metrics(self, split: str, metrics: AttributeMetrics) -> None:
        if not metrics.loss.update_called:  # an epoch continued after its last batch: interrupted in validation
            return
        scores = metrics.compute()
        metrics.reset()
        if not scores["loss"].isfinite():
            raise UserError(
                f"The {split} loss is {scores['loss'].item()} in epoch {self.current_epoch + 1}: training diverged."
                " Lower model.lr, or set trainer.gradient_clip_val=1."
            )
        accuracy = scores.pop("accuracy")
        self.log_dict({f"{split}/{name}": value.nanmean() for name, value in scores.items()})
        self.log(f"{split}/accuracy", accuracy.mean(), prog_bar=True)
        if len(self.attributes) > 1:
            names = (f"{split}/accuracy/{name}" for name in self.attributes)
            self.log_dict(dict(zip(names, accuracy, strict=True)))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Start an interrupted validation anew: Lightning would leave out as many batches as it had finished."""
        loops = checkpoint.get("loops", {}).get("fit_loop", {})
        finished = loops.get("epoch_loop.val_loop.batch_progress", {}).get("current", {})
        finished.update(dict.fromkeys(finished.keys() - {"is_last_batch"}, 0))

    # -- learning ----------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Freeze before a strategy wraps the module; compile in place, which keeps the names in the state dict."""
        if stage == "fit":
            self._freeze_layers(self.hparams["freeze"])
        if self.hparams["compile"]:
            self.backbone.compile()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer over all parameters, frozen or not, and its schedule."""
        optimizer = build_optimizer(
            self.hparams["optimizer"], [self.backbone, self.head], self.hparams["lr"], self.hparams["weight_decay"]
        )
        schedule = build_schedule(
            self.hparams["schedule"], optimizer, self.trainer.estimated_stepping_batches, self.hparams["warmup"]
        )
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def train(self, mode: bool = True) -> "AttributeClassifier":
        """Switch to training or evaluation; frozen layers keep their statistics in both."""
        super().train(mode)
        for layer in self._frozen:
            layer.training = False  # not eval(): a transformer's root holds a parameter, and its children may learn
        return self

    def _freeze_layers(self, fraction: float) -> None:
        self.backbone.unfold_frozen()
        layers = self.backbone.layers()
        self._frozen = layers[: round(fraction * len(layers))]
        frozen = {parameter for layer in self._frozen for parameter in layer.parameters(recurse=False)}
        for parameter in self.backbone.parameters():
            parameter.requires_grad_(parameter not in frozen)
        self.train(self.training)
