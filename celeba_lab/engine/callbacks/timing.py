"""Callbacks that measure training time and throughput."""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.callbacks import ThroughputMonitor as LightningThroughputMonitor
from torch import Tensor
from typing_extensions import override

from celeba_lab.errors import check_at_least


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


class ThroughputMonitor(LightningThroughputMonitor):
    """Log the number of images per second during training and evaluation, summed over all processes.

    The rates are logged as ``throughput/train_images_per_second``, ``throughput/validate_images_per_second`` and so on,
    every ``log_every_n_steps`` batches. The time between training and validation is not counted.

    Args:
        window_size: Number of batches over which a rate is computed. Nothing is logged before the first window is full.

    Attributes:
        images_per_second: Last rate of each stage, such as ``train``.

    Raises:
        SettingError: ``window_size`` is below 2.

    Example:
        >>> ThroughputMonitor(window_size=10).images_per_second
        {}
    """

    def __init__(self, window_size: int = 20) -> None:
        check_at_least("window_size", window_size, 2)
        super().__init__(batch_size_fn=_count_images, window_size=window_size)
        self._module_has_flops = False  # Lightning would warn that the model does not count its operations.
        self.images_per_second: dict[str, float] = {}

    @override
    def _compute(self, trainer: L.Trainer, iter_num: int | None = None) -> None:
        stage = trainer.state.stage
        assert stage is not None
        rate = self._throughputs[stage].compute().get("device/samples_per_sec")
        if rate is None:
            return
        self.images_per_second[stage.value] = rate * trainer.world_size
        connector: Any = trainer._logger_connector
        if connector.should_update_logs:
            name = f"throughput/{stage.value}_images_per_second"
            connector.log_metrics({name: rate * trainer.world_size}, step=iter_num)


def _count_images(batch: Mapping[str, Tensor]) -> int:
    return len(batch["image"])
