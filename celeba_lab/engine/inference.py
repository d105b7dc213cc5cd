"""Faster evaluation, prediction and validation of classifiers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import nn
from typing_extensions import override

from celeba_lab.engine.allocator import keep_freed_memory
from celeba_lab.models.classifier.backbones import Backbone
from celeba_lab.models.inference import FEWEST_IMAGES

# Strategies with which every process has all weights.
_WHOLE = (SingleDeviceStrategy, DDPStrategy)


class FastInference(Callback):
    """Prepare the backbones of a model for inference during validation, testing and prediction.

    They are prepared again for each validation, with the weights that are validated, such as a moving average.
    Training, checkpoints and the random state are not affected. Models without a
    :class:`~celeba_lab.models.classifier.backbones.Backbone` are left alone, and so are all models if the strategy
    divides their weights among processes.

    On the CPU, freed memory is kept; see :func:`~celeba_lab.engine.allocator.keep_freed_memory`.

    Example:
        >>> trainer = L.Trainer(callbacks=[FastInference()], logger=False, enable_checkpointing=False)
    """

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if isinstance(trainer.accelerator, CPUAccelerator):
            keep_freed_memory()

    def _start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx or dataloader_idx or trainer.sanity_checking:
            return
        if not isinstance(trainer.strategy, _WHOLE) or not isinstance(batch, Mapping) or "image" not in batch:
            return
        if sum(_count_batches(trainer)) * len(batch["image"]) >= FEWEST_IMAGES:
            _prepare(pl_module)

    def _end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        _end(pl_module)

    on_validation_batch_start = on_test_batch_start = on_predict_batch_start = _start
    on_validation_epoch_end = on_test_epoch_end = on_predict_epoch_end = _end

    @override
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        _end(pl_module)


@contextmanager
def fast_inference(model: nn.Module, n_images: int) -> Iterator[None]:
    """Prepare the backbones of a model for inference in this block, in which its weights must not be changed.

    Args:
        model: Model in evaluation mode, on the device on which it is used.
        n_images: Number of images for which the model is used in this block. The model is not prepared if the number is
            so small that this would take longer.

    Example:
        >>> from celeba_lab.models.classifier import AttributeClassifier
        >>> model = AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=32).eval()
        >>> faces = torch.zeros(300, 3, 32, 32, dtype=torch.uint8)
        >>> with fast_inference(model, len(faces)):
        ...     print(model.probabilities(faces).shape)
        torch.Size([300, 1])
    """
    if next(model.parameters(), torch.empty(0)).device.type == "cpu":
        keep_freed_memory()
    if n_images >= FEWEST_IMAGES:
        _prepare(model)
    try:
        yield
    finally:
        _end(model)


def _count_batches(trainer: L.Trainer) -> list[int | float]:
    """Return the number of batches of each loader in the current stage."""
    if trainer.validating or trainer.state.fn == "fit":
        return trainer.num_val_batches
    return trainer.num_test_batches if trainer.testing else trainer.num_predict_batches


def _prepare(model: nn.Module) -> None:
    for backbone in _backbones(model):
        backbone.prepare_inference()


def _end(model: nn.Module) -> None:
    for backbone in _backbones(model):
        backbone.end_inference()


def _backbones(model: nn.Module) -> list[Backbone]:
    return [module for module in model.modules() if isinstance(module, Backbone)]
