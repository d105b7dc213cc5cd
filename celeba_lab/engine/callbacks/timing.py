"""Callbacks that measure training time and throughput."""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from typing_extensions import override


class Stopwatch(Callback):
    """Measure the wall-clock time of training and validation, including earlier parts of a resumed run.

    Lightning's ``Timer`` cannot be used, because ``trainer.max_time`` adds a ``Timer`` and a Trainer accepts only one
    ``Timer``.

    Attributes:
        training: Seconds spent in training epochs, excluding validation.
        validation: Seconds spent in validation, excluding the sanity check before the first epoch.

    Example:
        >>> watch = Stopwatch()
        >>> trainer = L.Trainer(callbacks=[watch], logger=False, enable_checkpointing=False)
        >>> watch.training, watch.validation
        (0.0, 0.0)
    """

    def __init__(self) -> None:
        self.training = 0.0
        self.validation = 0.0
        self._fit_start: float | None = None
        self._validation_start = 0.0
        self._earlier = 0.0  # training and validation time of the earlier parts of a resumed run

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._fit_start = perf_counter()

    @override
    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._validation_start = perf_counter()

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.validation += perf_counter() - self._validation_start

    @override
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.training = self._elapsed() - self.validation

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"elapsed": self._elapsed(), "validation": self.validation}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._earlier, self.validation = float(state_dict["elapsed"]), float(state_dict["validation"])
        self.training = self._earlier - self.validation

    def _elapsed(self) -> float:
        return self._earlier + (0.0 if self._fit_start is None else perf_counter() - self._fit_start)


class ImageRate(Callback):
    """Log the number of training images per second, summed over all processes, as ``train/images_per_second``."""

    def __init__(self) -> None:
        self._start = 0.0
        self._images = 0

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._restart()  # Lightning skips on_train_epoch_start if a run is continued in the middle of an epoch.

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._restart()

    @override
    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Mapping[str, Tensor],
        batch_idx: int,
    ) -> None:
        self._images += len(batch["image"])

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        rate = self._images * trainer.world_size / (perf_counter() - self._start)
        pl_module.log("train/images_per_second", rate)

    def _restart(self) -> None:
        self._start, self._images = perf_counter(), 0
