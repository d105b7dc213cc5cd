"""Averages of the weights of a classifier."""

import lightning as L
from lightning.pytorch.callbacks import WeightAveraging
from typing_extensions import override

from celeba_lab.errors import check_fraction
from celeba_lab.models.averaging import MovingAverage


class ExponentialMovingAverage(WeightAveraging):
    """Average the weights over the steps; validation, checkpoints and the trained model use the average.

    Lightning's ``EMAWeightAveraging`` would also average integers, such as the number of batches that batch
    normalisation has seen.

    Args:
        decay: Maximum decay of the moving average; see :class:`~celeba_lab.models.averaging.MovingAverage`.

    Raises:
        SettingError: The decay is not between 0 and 1.
    """

    def __init__(self, decay: float = 0.99) -> None:
        check_fraction("decay", decay)
        super().__init__(multi_avg_fn=MovingAverage(decay))
        self.decay = decay
        self._swapped = False

    @override
    def _swap_models(self, pl_module: L.LightningModule) -> None:
        self._swapped = not self._swapped
        super()._swap_models(pl_module)

    @override
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        # An interrupted validation leaves the average in place of the current weights, and a checkpoint saved then
        # would confuse the two.
        if self._swapped:
            self._swap_models(pl_module)
