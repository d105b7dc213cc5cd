"""Numbers of images that a run will read, which determine whether it pays to decode them once in advance."""

import math

import lightning

from celeba_lab.data.position import Position


def training_reads(trainer: lightning.Trainer | None, position: Position, images: int, batch_size: int) -> float:
    """Return the number of training images that all processes together will read.

    Args:
        trainer: The Trainer. Without one, the images are assumed to be read twice.
        position: Position of the next training batch.
        images: Number of training images.
        batch_size: Number of images in a batch of each process.
    """
    if trainer is None:
        return 2.0 * images
    step = batch_size * trainer.world_size
    reads = _reads(trainer, position, _per_epoch(trainer.limit_train_batches, images, step))
    if trainer.max_steps >= 0:
        reads = min(reads, trainer.max_steps * trainer.accumulate_grad_batches * step)
    return reads


def validation_reads(trainer: lightning.Trainer | None, position: Position, images: int, batch_size: int) -> float:
    """Return the number of validation images that all processes together will read during training.

    Args:
        trainer: The Trainer. Without one, there is no validation.
        position: Position of the next training batch.
        images: Number of validation images.
        batch_size: Number of images in a batch of each process.
    """
    if trainer is None:
        return 0.0
    step = batch_size * trainer.world_size
    return _reads(trainer, position, _per_epoch(trainer.limit_val_batches, images, step))


def _reads(trainer: lightning.Trainer, position: Position, per_epoch: float) -> float:
    most = trainer.max_epochs
    epochs = math.inf if most is None or most < 0 else max(0, most - position.epoch)
    return epochs * per_epoch if per_epoch else 0.0  # Infinity times 0 is not a number.


def _per_epoch(batches: int | float | None, images: int, step: int) -> float:
    """Return the number of images that an epoch reads, where ``batches`` limits the batches, as a number or a share."""
    if batches is None:
        return images
    return min(images, batches * step) if isinstance(batches, int) else images * batches
