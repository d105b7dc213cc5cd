"""A callback that accumulates gradients over several batches."""

from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import GradientAccumulationScheduler as LightningScheduler
from typing_extensions import override

from celeba_lab.errors import SettingError, UserError


class GradientAccumulationScheduler(LightningScheduler):
    """Accumulate the gradients of several batches before each optimizer step.

    In contrast to Lightning's class, the learning-rate schedule has the right length, and a run that is resumed within
    an epoch goes on to accumulate.

    Args:
        scheduling: Number of batches per optimizer step from each epoch on. Epochs are counted from 0. The keys may be
            strings, because the path of a setting consists of strings.

    Raises:
        SettingError: A key is not an epoch, or a value is not a number of batches.

    Example:
        >>> scheduler = GradientAccumulationScheduler({"0": 2, "4": 8})
        >>> [scheduler.get_accumulate_grad_batches(epoch) for epoch in (0, 3, 4)]
        [2, 2, 8]
    """

    def __init__(self, scheduling: Mapping[Any, int]) -> None:
        for epoch, batches in scheduling.items():
            if not str(epoch).isdecimal():
                raise SettingError("scheduling", dict(scheduling), f"contains {epoch}, which is not an epoch")
            if isinstance(batches, bool) or not isinstance(batches, int) or batches < 1:
                raise SettingError(f"scheduling.{epoch}", batches, "must be an integer that is at least 1")
        if not scheduling:
            raise SettingError("scheduling", "{}", "must contain at least one epoch")
        super().__init__({int(epoch): batches for epoch, batches in scheduling.items()})

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if trainer.accumulate_grad_batches != 1:
            raise UserError(
                f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches} cannot be combined with a callback"
                " that accumulates gradients. Use one of them."
            )
        # The length of the learning-rate schedule depends on this number.
        trainer.accumulate_grad_batches = self.get_accumulate_grad_batches(0)

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.on_train_epoch_start(trainer)  # Lightning skips this if a run is resumed within an epoch.
