"""Distances between generated and real faces, measured during GAN training."""

from time import perf_counter
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from celeba_lab.console import Progress, console
from celeba_lab.engine.build import callbacks_of
from celeba_lab.engine.callbacks.early_stopping import EarlyStopping
from celeba_lab.models.gan.distances import Distance, Distances
from celeba_lab.models.gan.module import GAN


class DistanceSchedule(Callback):
    """Measure the distances between generated and real faces during GAN training.

    Args:
        distances: Object that measures the distances between generated and real faces.
        n_images: Number of faces to generate for each measurement.
        every_n_epochs: Number of epochs between measurements. If None, nothing is measured during training.

    Attributes:
        rows: One dictionary per measurement, with the epoch, step, type of weights and distances.
        seconds: Time spent on measurements during training, in seconds.
    """

    def __init__(self, distances: Distances, n_images: int, every_n_epochs: int | None) -> None:
        self.distances = distances
        self.n_images = n_images
        self.every_n_epochs = every_n_epochs
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if self.every_n_epochs is None or epoch % self.every_n_epochs or not isinstance(pl_module, GAN):
            return
        start = perf_counter()
        measured: dict[str, Distance] = {}
        if trainer.is_global_zero:
            measured = self.measure(pl_module, epoch, trainer.global_step)
            self._log(trainer, epoch, measured)
        self._update_early_stopping(trainer, pl_module, measured)
        self.seconds += perf_counter() - start

    def _update_early_stopping(
        self, trainer: L.Trainer, pl_module: L.LightningModule, measured: dict[str, Distance]
    ) -> None:
        """Let a callback that stops training early use the distances of the weights that the run reports."""
        reported = next(iter(measured.values()), None)  # The averaged weights come first.
        own = None if reported is None else {"heldout/kid": reported.kid, "heldout/fid": reported.fid}
        metrics: dict[str, float] = trainer.strategy.broadcast(own or {})  # The other processes wait here.
        pl_module.log_dict(metrics, logger=False)
        for callback in callbacks_of(trainer):
            if isinstance(callback, EarlyStopping):
                callback.count_measurement(trainer)

    def _log(self, trainer: L.Trainer, epoch: int, measured: dict[str, Distance]) -> None:
        for name, distance in measured.items():
            for logger in trainer.loggers:
                metrics = {f"heldout/kid/{name}": distance.kid, f"heldout/fid/{name}": distance.fid}
                logger.log_metrics(metrics, trainer.global_step)
        shown = "  ".join(f"KID x 1,000 {d.kid:.1f} FID {d.fid:.1f} ({name})" for name, d in measured.items())
        console.print(f"epoch {epoch}: {shown}", soft_wrap=True)

    def measure(self, model: GAN, epoch: int, step: int) -> dict[str, Distance]:
        """Measure the distances for both the averaged and the last weights, and add a row for each measurement.

        Args:
            model: The GAN.
            epoch: Number of completed epochs, stored in the rows.
            step: Number of completed steps, stored in the rows.

        Returns:
            A dictionary that maps each type of weights, ``ema`` or ``raw``, to the distance measured with it.
        """
        measured = {}
        for averaged in (True, False):
            sampler = model.sampler(averaged)
            if sampler.generator_weights in measured:  # The model does not average its weights.
                continue
            with Progress("measuring the distances to real faces"):
                distance = self.distances.measure(sampler.sample(self.n_images, seed=0)[0])
            measured[sampler.generator_weights] = distance
            self.rows.append(
                {
                    "epoch": epoch,
                    "step": step,
                    "generator_weights": sampler.generator_weights,
                    "kid_x1000": distance.kid,
                }
                | {"kid_std": distance.kid_std, "fid": distance.fid, "generated": distance.images}
            )
        return measured

    def measured_in(self, epoch: int) -> dict[str, float]:
        """Return the metrics measured after an epoch, under their names in the summary of a run.

        They are those of the averaged weights, or of the last weights if the model does not average its weights.

        Args:
            epoch: Number of the epoch, counted from 1.
        """
        row = next((row for row in self.rows if row["epoch"] == epoch), None)
        return {} if row is None else {"heldout/kid": row["kid_x1000"], "heldout/fid": row["fid"]}

    def describe(self) -> str:
        """Return a description of the measurement.

        See :meth:`~celeba_lab.models.gan.distances.Distances.describe`.
        """
        return self.distances.describe(self.n_images)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.seconds}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state_dict["rows"]]
        self.seconds = state_dict.get("seconds", 0.0)
