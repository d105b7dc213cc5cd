"""A callback that keeps the files of loggers consistent with checkpoints."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from typing_extensions import override

from celeba_lab.engine.loggers import CSVLogger
from celeba_lab.runs.events import EVENTS_KEY, measure_events
from celeba_lab.runs.metric_rows import count_rows


class EventPosition(Callback):
    """Store in checkpoints how much the loggers had written, so that a resumed run writes every value once.

    When a run is resumed, its files are cut; see :func:`~celeba_lab.runs.events.cut_events` and
    :func:`~celeba_lab.runs.metric_rows.cut_rows`. What W&B and MLflow have stored cannot be removed.
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
        if not trainer.loggers or not trainer.is_global_zero:
            return
        sizes: dict[str, int] = {}
        rows = 0
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.flush()
                sizes |= measure_events(Path(logger.log_dir))
            elif isinstance(logger, CSVLogger):
                logger.save()
                rows = count_rows(Path(logger.save_dir))
        checkpoint[EVENTS_KEY] = {"sizes": sizes, "rows": rows, "pending": self._pending(trainer)}

    @override
    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        pending = checkpoint.get(EVENTS_KEY, {}).get("pending")
        if pending is not None and trainer.state.fn == "fit":
            for logger in trainer.loggers:
                # The earlier process has probably sent these metrics to other loggers, from which they cannot be cut.
                if isinstance(logger, TensorBoardLogger | CSVLogger):
                    logger.log_metrics(pending["metrics"], pending["step"])

    def _pending(self, trainer: L.Trainer) -> dict[str, Any] | None:
        """Return the training metrics that Lightning logs only after the checkpoint at the end of an epoch."""
        if not self._is_epoch_end:
            return None
        # These are the values and the step of Lightning's FitLoop.on_advance_end.
        results: Any = trainer._results
        metrics = {name: float(value) for name, value in results.metrics(on_step=False)["log"].items()}
        step = trainer.fit_loop.epoch_loop._batches_that_stepped - 1
        return {"metrics": {**metrics, "epoch": trainer.current_epoch}, "step": step}
