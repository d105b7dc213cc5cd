"""Callbacks that print a one-line model summary and a one-line progress display."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelSummary, ProgressBar, Timer
from lightning.pytorch.trainer.states import RunningStage
from typing_extensions import override

from celeba_lab.console import Progress, console

# Seconds between updates. Reading the loss synchronises with the device, so it is not read at every step.
_REFRESH = 0.5


class ModelLine(ModelSummary):
    """Print the return value of the model's ``describe()`` method before training.

    This class derives from ``ModelSummary`` so that Lightning does not print its own table of layers as well.

    Example:
        >>> ModelLine().on_fit_start(L.Trainer(logger=False), L.LightningModule())  # has no describe() method
        model: LightningModule
    """

    @override
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        describe = getattr(pl_module, "describe", None)
        text = type(pl_module).__name__ if describe is None else describe()
        console.print(f"model: {text}", soft_wrap=True)


class ProgressLine(ProgressBar):
    """Show a single line with the epoch, step, loss, images per second and remaining time.

    The line never wraps. In a log file, the line is printed every 30 seconds; see
    :class:`~celeba_lab.console.Progress`.

    Args:
        evaluation: Name to show during ``Trainer.test``, which is used to evaluate every split.

    Example:
        >>> ProgressLine(evaluation="validation").evaluation
        'validation'
    """

    def __init__(self, evaluation: str = "test") -> None:
        super().__init__()
        self.evaluation = evaluation
        self._is_enabled = True
        self._line: _RunProgress | None = None
        self._images = 0
        self._rate_start = 0.0
        self._rate_pause = 0.0  # Time in seconds at which validation interrupted training.
        self._refreshed = 0.0

    @override
    def disable(self) -> None:
        self._is_enabled = False

    @override
    def enable(self) -> None:
        self._is_enabled = True

    def _open(self, what: str) -> None:
        self._close()
        if self._is_enabled:
            self._line = _RunProgress(what, unit="batches")
            self._line.__enter__()

    def _close(self) -> None:
        if self._line is not None:
            self._line.__exit__()
            self._line = None

    # -- training ----------------------------------------------------------------------------------------------------

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._open("training")

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._images = 0
        if self._line is not None:
            self._rate_start = self._refreshed = self._line.seconds
            self._describe_training(trainer, 0, "")

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._line is None:
            return
        self._images += len(batch["image"]) * trainer.world_size
        seconds = self._line.seconds
        if seconds - self._refreshed < _REFRESH and not trainer.is_last_batch:
            return
        self._refreshed = seconds
        losses: dict[str, float] = getattr(pl_module, "running_losses", dict)()
        rate = self._images / max(seconds - self._rate_start, 1e-9)
        shown = [f"{name} {value:.4f}" for name, value in losses.items()]
        self._describe_training(trainer, batch_idx + 1, "  ".join([*shown, f"{rate:,.0f} images/s"]))

    def _describe_training(self, trainer: L.Trainer, step: int, note: str) -> None:
        assert self._line is not None
        line, epoch, batches = self._line, trainer.current_epoch, self.total_train_batches
        line.what = f"epoch {epoch + 1}/{trainer.max_epochs}" if _is_limited(trainer) else f"epoch {epoch + 1}"
        line.unit = "steps"
        line.total = batches if batches != float("inf") else None
        line.update(step, note)
        line.set_run(_completed(trainer, step, batches), _seconds_to_limit(trainer))

    @override
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._close()

    @override
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._close()

    @override
    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._close()

    # -- sanity check ------------------------------------------------------------------------------------------------

    @override
    def on_sanity_check_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Starting the worker processes and compiling the model can take minutes.
        self._open("checking validation")

    @override
    def on_sanity_check_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._close()

    # -- evaluation --------------------------------------------------------------------------------------------------

    def _start_evaluation(self, trainer: L.Trainer, what: str) -> None:
        self.reset_dataloader_idx_tracker()
        self._rate_pause = 0.0 if self._line is None else self._line.seconds
        if trainer.state.fn != "fit":
            self._open(what)
        if self._line is not None:
            self._line.what, self._line.unit = what, "batches"
            self._line.update(0)

    def _count_evaluated(self, batch_idx: int, total: float) -> None:
        if self._line is not None:
            self._line.total = total if total != float("inf") else None
            self._line.update(batch_idx + 1)

    @override
    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.stage != RunningStage.SANITY_CHECKING:
            self._start_evaluation(trainer, "validation")

    @override
    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if trainer.state.stage != RunningStage.SANITY_CHECKING:
            self.has_dataloader_changed(dataloader_idx)
            self._count_evaluated(batch_idx, self.total_val_batches_current_dataloader)

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn != "fit":
            self._close()
        elif self._line is not None and not trainer.sanity_checking:
            # Exclude validation time from the training throughput.
            self._rate_start += self._line.seconds - self._rate_pause

    @override
    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start_evaluation(trainer, self.evaluation)

    @override
    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.has_dataloader_changed(dataloader_idx)
        self._count_evaluated(batch_idx, self.total_test_batches_current_dataloader)

    @override
    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._close()

    @override
    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start_evaluation(trainer, "prediction")

    @override
    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.has_dataloader_changed(dataloader_idx)
        self._count_evaluated(batch_idx, self.total_predict_batches_current_dataloader)

    @override
    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._close()


class _RunProgress(Progress):
    """A progress line with a bar for the current epoch and the remaining time of the whole run."""

    _share: float | None = None
    _first: tuple[float, float] | None = None  # Completed fraction and elapsed seconds at the start of training.
    _limit: float | None = None
    _set_at = 0.0

    def set_run(self, share: float | None, limit: float | None) -> None:
        """Set the completed fraction of the run and the seconds until ``max_time``; None if unknown."""
        self._share, self._limit, self._set_at = share, limit, self.seconds
        if share is not None and self._first is None:
            self._first = (share, self.seconds)

    @property
    def seconds_left(self) -> float | None:
        """Estimated number of seconds until training ends or, outside training, until the current pass ends."""
        if self._first is None and self._limit is None:
            return super().seconds_left
        known = []
        if self._first is not None and self._share is not None and self._share > self._first[0]:
            share, seconds = self._first
            rate = (self._share - share) / max(self._set_at - seconds, 1e-9)
            known.append((1 - self._share) / rate)
        if self._limit is not None:
            known.append(self._limit)
        return max(0.0, min(known) - (self.seconds - self._set_at)) if known else None


def _completed(trainer: L.Trainer, step: int, batches: float) -> float | None:
    """Return the completed fraction of the run, from 0 to 1, or None if the length of the run is unknown."""
    shares = []
    if _is_limited(trainer) and trainer.max_epochs and batches:
        shares.append((trainer.current_epoch + step / batches) / trainer.max_epochs)
    if trainer.max_steps > 0:
        shares.append(trainer.global_step / trainer.max_steps)
    return min(1.0, max(shares)) if shares else None


def _is_limited(trainer: L.Trainer) -> bool:
    """Return whether the number of epochs is limited."""
    return trainer.max_epochs is not None and trainer.max_epochs > 0


def _seconds_to_limit(trainer: L.Trainer) -> float | None:
    """Return the seconds until ``trainer.max_time`` is reached, or None if ``max_time`` is not set."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    timer = next((callback for callback in callbacks if isinstance(callback, Timer)), None)
    return None if timer is None else timer.time_remaining()
