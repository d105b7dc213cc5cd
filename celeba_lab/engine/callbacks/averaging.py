"""Weight averaging for classifiers."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from typing_extensions import override

from celeba_lab.errors import SettingError, UserError, check_above, check_at_least, check_fraction
from celeba_lab.models.averaging import AveragedWeights, MovingAverage, Tensors


class _RestoredAverage(WeightAveraging):
    """Lightning's average, on the device of the model, which is updated without waiting for this device.

    It does not leave the averaged weights in the model if validation is interrupted. A checkpoint would otherwise store
    them as the current weights.
    """

    _swapped = False
    _average_model: AveragedWeights | None

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":
            self._average_model = AveragedWeights(
                pl_module, self._device, use_buffers=self._use_buffers, **self._kwargs
            )

    @override
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Lightning moves the model after the setup. Otherwise, all weights would be copied to the CPU in each step.
        if self._average_model is not None and self._device is None:
            self._average_model.to(pl_module.device)

    @override
    def _swap_models(self, pl_module: L.LightningModule) -> None:
        self._swapped = not self._swapped
        super()._swap_models(pl_module)

    @override
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if self._swapped:
            self._swap_models(pl_module)


class ExponentialMovingAverage(_RestoredAverage):
    """Maintain a moving average of the weights for validation, checkpoints and the trained model.

    Lightning's ``EMAWeightAveraging`` would also average integer buffers, such as the batch counter of batch
    normalisation.

    Args:
        decay: Maximum decay of the moving average; see :class:`~celeba_lab.models.averaging.MovingAverage`.

    Raises:
        SettingError: The decay is not between 0 and 1.

    Example:
        >>> average = ExponentialMovingAverage(decay=0.999)
        >>> trainer = L.Trainer(callbacks=[average], logger=False, enable_checkpointing=False)
        >>> average.decay
        0.999
    """

    def __init__(self, decay: float = 0.99) -> None:
        check_fraction("decay", decay)
        super().__init__(multi_avg_fn=MovingAverage(decay))
        self.decay = decay


class StochasticWeightAveraging(_RestoredAverage):
    """Average the weights at the ends of the last epochs (Izmailov et al., 2018, arXiv:1803.05407).

    Validation, checkpoints and the trained model use the average as soon as it begins. Lightning's class of the same
    name would store it only in the last checkpoint, after an additional epoch. As in torch's ``AveragedModel`` with
    ``use_buffers``, the running statistics of batch normalisation are averaged, too.

    Args:
        swa_epoch_start: First epoch to average, counted from 0, or the fraction of the epochs before it.
        swa_lr: Constant learning rate from this epoch on. If None, the schedule is not changed.

    Raises:
        SettingError: A value is out of range.

    Example:
        >>> average = StochasticWeightAveraging(swa_epoch_start=0.75, swa_lr=0.05)
        >>> average.swa_lr
        0.05
    """

    def __init__(self, swa_epoch_start: int | float = 0.75, swa_lr: float | None = None) -> None:
        check_at_least("swa_epoch_start", swa_epoch_start, 0)
        check_above("swa_lr", swa_lr, 0)
        if isinstance(swa_epoch_start, float) and swa_epoch_start > 1:
            raise SettingError("swa_epoch_start", swa_epoch_start, "must be an integer or a fraction")
        super().__init__(multi_avg_fn=_equal_average)
        self.swa_epoch_start = swa_epoch_start
        self.swa_lr = swa_lr
        self._first = 0

    @property
    def averaged_epochs(self) -> int:
        """Number of epochs whose weights have been averaged."""
        return 0 if self._average_model is None else int(self._average_model.n_averaged)

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        epochs, start = trainer.max_epochs, self.swa_epoch_start
        if isinstance(start, float):
            if epochs is None or epochs < 0:
                raise UserError(
                    "A fraction as swa_epoch_start needs a limited number of epochs. Set trainer.max_epochs."
                )
            start = int(start * epochs)
        if epochs is not None and 0 <= epochs <= start:
            raise UserError(
                f"swa_epoch_start={self.swa_epoch_start} is not reached in {epochs} epochs, so nothing would be"
                " averaged."
            )
        self._first = start

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._set_rate(trainer)  # Lightning skips on_train_epoch_start if a run is resumed within an epoch.

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._set_rate(trainer)

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._set_rate(trainer)  # The schedule has just set the rate of the next step.
        average = self._average_model
        assert average is not None
        if trainer.current_epoch < self._first:  # Until the average begins, it is equal to the current weights.
            average.restart()
            average.update_parameters(pl_module)
            average.restart()
        elif trainer.is_last_batch:
            average.update_parameters(pl_module)

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The average has been updated before the validation."""

    def _set_rate(self, trainer: L.Trainer) -> None:
        if self.swa_lr is not None and trainer.current_epoch >= self._first:
            for optimizer in trainer.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.swa_lr


@torch.no_grad()
def _equal_average(averages: Tensors, currents: Tensors, count: Tensor | int) -> None:
    """Update equally weighted averages in place. Integer tensors are copied."""
    if averages[0].is_floating_point():
        torch._foreach_lerp_(averages, currents, 1 / (int(count) + 1))
    else:
        torch._foreach_copy_(averages, currents)
