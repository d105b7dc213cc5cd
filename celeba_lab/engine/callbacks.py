"""What happens beside training: averages, history, clocks, random states, image grids."""

import random
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from celeba_lab.errors import DivergenceError
from celeba_lab.models.classifier.module import AttributeClassifier


class ExponentialMovingAverage(WeightAveraging):
    """Average the weights over the steps; validation, checkpoints and the result use the average.

    The decay warms up as min(decay, (1 + n) / (10 + n)) after n steps, as TensorFlow's moving average does, so that a
    short run does not remember its random head.

    Args:
        decay: weight of the past, 0.99 averages over about the last hundred steps.
    """

    def __init__(self, decay: float = 0.99) -> None:
        # Lightning's EMAWeightAveraging would also average integer buffers such as BatchNorm's step count.
        super().__init__(multi_avg_fn=self._average)
        self.decay = decay
        self._swapped = False

    @torch.no_grad()
    def _average(self, averages: list[Tensor], currents: list[Tensor], count: Tensor | int) -> None:
        """Update all tensors of one type at once: one call instead of three hundred a step."""
        if not averages[0].is_floating_point():
            torch._foreach_copy_(averages, currents)
            return
        n = int(count)
        torch._foreach_lerp_(averages, currents, 1 - min(self.decay, (1 + n) / (10 + n)))

    def _swap_models(self, pl_module: L.LightningModule) -> None:
        self._swapped = not self._swapped
        super()._swap_models(pl_module)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Undo validation's swap, else the checkpoint of an interrupted validation would confuse the two models."""
        if self._swapped:
            self._swap_models(pl_module)


class EpochLog(Callback):
    """Keep the metrics of every epoch and print one line for each; survives a resumed run.

    Args:
        line: the metrics that are printed, as far as there are any.

    Attributes:
        rows: epoch (from 1) to metric name to value, names as in ``trainer.callback_metrics``.
    """

    def __init__(self, line: Sequence[str] = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")) -> None:
        self.line = list(line)
        self.rows: dict[int, dict[str, float]] = {}
        self._trainer: L.Trainer | None = None
        self._trained = self._validated = 0  # the last epoch (from 1) whose training, whose validation is over

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Remember the trainer: a checkpoint of the current epoch wants this epoch's row."""
        self._trainer = trainer

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record the epoch before; its training metrics exist only after our ``on_train_epoch_end``."""
        self._record(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that the validation metrics are this epoch's."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._validated = trainer.current_epoch + 1

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that the training metrics will be this epoch's."""
        self._trained = trainer.current_epoch + 1

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record the last epoch."""
        self._record(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows, with that of an epoch which is over but not yet recorded."""
        return {"rows": self.rows | self._unrecorded()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of the interrupted run."""
        self.rows = {int(epoch): dict(row) for epoch, row in state_dict["rows"].items()}

    def table(self) -> pd.DataFrame:
        """Return a row for each epoch: ``epoch``, and the metrics by their names."""
        return pd.DataFrame([{"epoch": epoch, **row} for epoch, row in sorted(self.rows.items())])

    def _unrecorded(self) -> dict[int, dict[str, float]]:
        if self._trainer is None or self._trained == 0 or self._trained in self.rows:
            return {}
        # Lightning keeps every metric until it is logged again, so an epoch without validation shows an older one's.
        splits = ("train/", "val/") if self._validated == self._trained else ("train/",)
        metrics = self._trainer.callback_metrics
        row = {name: float(value) for name, value in metrics.items() if name.startswith(splits)}
        return {self._trained: row} if row else {}

    def _record(self, trainer: L.Trainer) -> None:
        for epoch, row in self._unrecorded().items():
            self.rows[epoch] = row
            if trainer.is_global_zero:
                shown = [f"{name} {row[name]:.4f}" for name in self.line if name in row]
                print(f"epoch {epoch}/{trainer.max_epochs}  {'  '.join(shown)}", flush=True)


class Stopwatch(Callback):
    """Wall-clock seconds of a fit, in training and in validation.

    Lightning's Timer would do, but ``trainer.max_time`` adds one of its own, and two of them are refused.

    Attributes:
        training: seconds in training epochs, without the validation between them.
        validation: seconds in validation, without the check before the first epoch.
    """

    def __init__(self) -> None:
        self.training = 0.0
        self.validation = 0.0
        self._fit_start = 0.0
        self._validation_start = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start."""
        self.training = self.validation = 0.0
        self._fit_start = perf_counter()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start a lap."""
        self._validation_start = perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End a lap."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.validation += perf_counter() - self._validation_start

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop."""
        self.training = perf_counter() - self._fit_start - self.validation


class ImageRate(Callback):
    """Log how many training images pass in a second, ``train/images_per_second``, of all processes together."""

    def __init__(self) -> None:
        self._start = 0.0
        self._images = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start: an epoch that is continued in its middle has no start of its own."""
        self._start, self._images = perf_counter(), 0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start."""
        self._start, self._images = perf_counter(), 0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Mapping[str, Tensor],
        batch_idx: int,
    ) -> None:
        """Count."""
        self._images += len(batch["image"])

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log."""
        rate = self._images * trainer.world_size / (perf_counter() - self._start)
        pl_module.log("train/images_per_second", rate)


class RandomState(Callback):
    """Keep the state of the random generators in checkpoints: a continued run draws what it would have drawn.

    Several processes draw differently: each has its own torch generator, seeded from the common one and its rank. A
    checkpoint holds the state of the first; when such a run is continued, the others draw anew from it.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None
        self._device = torch.device("cpu")

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Remember the device, whose generator is another one."""
        self._device = trainer.strategy.root_device

    def state_dict(self) -> dict[str, Any]:
        """Return the states as plain types."""
        name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  # the one that libraries use
        kind = self._device.type
        own = None if kind == "cpu" else torch.get_device_module(self._device).get_rng_state()
        return {
            "python": random.getstate(),
            "numpy": (str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)),
            "torch": torch.get_rng_state(),
            "accelerator": {"kind": kind, "state": own},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the states; what is built until training starts draws as well."""
        self._loaded = state_dict

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take them up, and part the processes."""
        if self._loaded is not None:
            version, internal, gauss = self._loaded["python"]
            random.setstate((version, tuple(internal), gauss))
            name, keys, *rest = self._loaded["numpy"]
            np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002  # as above
            torch.set_rng_state(self._loaded["torch"].cpu())
            accelerator = self._loaded["accelerator"]
            if accelerator["state"] is not None and accelerator["kind"] == self._device.type:
                torch.get_device_module(self._device).set_rng_state(accelerator["state"].cpu())
            self._loaded = None
        if trainer.global_rank > 0:
            torch.manual_seed(int(torch.randint(2**62, ())) + trainer.global_rank)


class LastCheckpoint(ModelCheckpoint):
    """Lightning's, except that a run whose numbers are no longer finite does not replace the last good checkpoint."""

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save, unless training diverged."""
        if not isinstance(exception, DivergenceError):
            super().on_exception(trainer, pl_module, exception)


_GRID_COLUMNS = 8


class TrainingImageGrid(Callback):
    """Send the first training batch to TensorBoard: as loaded, and below it as the network sees it.

    Args:
        max_images: at most this many faces.
    """

    def __init__(self, max_images: int = 32) -> None:
        self.max_images = max_images

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Mapping[str, Tensor], batch_idx: int
    ) -> None:
        """Draw the grid before the first step of the first epoch."""
        writer = tensorboard_writer(trainer)
        if writer is None or trainer.global_step > 0 or batch_idx > 0 or not isinstance(pl_module, AttributeClassifier):
            return
        count = min(self.max_images, len(batch["image"]))
        count -= count % _GRID_COLUMNS if count > _GRID_COLUMNS else 0  # whole rows, so that each stays in its half
        images = batch["image"][:count].cpu().float() / 255
        with torch.random.fork_rng(devices=[]), torch.no_grad():  # a picture must not change what is drawn next
            augmented = pl_module.augment(images)
        rows = torch.cat([images, augmented])
        writer.add_image(
            "train/faces_loaded_then_augmented", make_grid(rows, nrow=min(count, _GRID_COLUMNS)), global_step=0
        )


def tensorboard_writer(trainer: L.Trainer) -> SummaryWriter | None:
    """Return TensorBoard's writer in the main process of a run that has one."""
    if isinstance(trainer.logger, TensorBoardLogger) and trainer.is_global_zero:
        return trainer.logger.experiment
    return None
