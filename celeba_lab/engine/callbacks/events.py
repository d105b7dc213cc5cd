"""A callback that keeps TensorBoard's event files consistent with checkpoints."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from celeba_lab.engine.callbacks.images import tensorboard_writer
from celeba_lab.runs.events import EVENTS_KEY, measure_events


class EventPosition(Callback):
    """Store the sizes of TensorBoard's event files in checkpoints, so that a resumed run writes every value once.

    Before a run is resumed, its event files are cut to these sizes; see :func:`~celeba_lab.runs.events.cut_events`.
    """

    def __init__(self) -> None:
        self._is_epoch_end = False

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._is_epoch_end = True

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._is_epoch_end = False

    @override
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._is_epoch_end = False

    @override
    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        writer = tensorboard_writer(trainer)
        if writer is None:
            return
        writer.flush()
        sizes = measure_events(Path(writer.log_dir))
        checkpoint[EVENTS_KEY] = {"sizes": sizes, "pending": self._pending(trainer)}

    @override
    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        pending = checkpoint.get(EVENTS_KEY, {}).get("pending")
        if pending is not None and trainer.state.fn == "fit" and trainer.logger is not None:
            trainer.logger.log_metrics(pending["metrics"], pending["step"])

    def _pending(self, trainer: L.Trainer) -> dict[str, Any] | None:
        """Return the training metrics that Lightning logs only after the checkpoint at the end of an epoch."""
        if not self._is_epoch_end:
            return None
        # These are the values and the step of Lightning's FitLoop.on_advance_end.
        results: Any = trainer._results
        metrics = {name: float(value) for name, value in results.metrics(on_step=False)["log"].items()}
        step = trainer.fit_loop.epoch_loop._batches_that_stepped - 1
        return {"metrics": {**metrics, "epoch": trainer.current_epoch}, "step": step}
