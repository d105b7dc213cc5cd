"""Weight averaging for classifiers."""

import lightning as L
from lightning.pytorch.callbacks import WeightAveraging
from typing_extensions import override

from celeba_lab.errors import check_fraction
from celeba_lab.models.averaging import MovingAverage


class ExponentialMovingAverage(WeightAveraging):
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
        self._swapped = False

    @override
    def _swap_models(self, pl_module: L.LightningModule) -> None:
        self._swapped = not self._swapped
        super()._swap_models(pl_module)

    @override
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        # If validation is interrupted, the model still contains the averaged weights, and a checkpoint would store
        # them as the current weights.
        if self._swapped:
            self._swap_models(pl_module)
