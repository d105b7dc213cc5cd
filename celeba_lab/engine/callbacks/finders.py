"""Callbacks that search for a learning rate or a batch size before training."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import BatchSizeFinder as LightningBatchSizeFinder
from lightning.pytorch.callbacks import LearningRateFinder as LightningLearningRateFinder
from lightning.pytorch.tuner import lr_finder
from typing_extensions import override

from celeba_lab.console import Progress, console
from celeba_lab.engine.build import callbacks_of
from celeba_lab.engine.signals import StopBetweenBatches
from celeba_lab.errors import SettingError, UserError, check_above, check_at_least, check_between, check_choice

_SKIPPED = 11  # Lightning ignores the first ten steps and the last one.
_LARGEST_BATCH = 8192
_LARGEST_BATCH_ON_CPU = 256


class LearningRateFinder(LightningLearningRateFinder):
    """Before training, search for a learning rate with which the loss falls fast (Smith, 2017, arXiv:1506.01186).

    The learning rate rises in each of a few training steps, after which the weights are restored. The rate at which the
    loss fell fastest becomes the peak of the learning-rate schedule. In contrast to Lightning's class, the schedule is
    built again with this rate, and a resumed run does not search again.

    Args:
        min_lr: Learning rate of the first step.
        max_lr: Learning rate of the last step.
        num_training_steps: Number of steps.
        mode: ``exponential`` or ``linear``, which determines how the learning rate rises.
        early_stop_threshold: The search ends when the loss exceeds this multiple of the lowest loss. If None, it does
            not end early.

    Attributes:
        lr: The learning rate that was found, or None before the search.
        lrs: Learning rate of each step.
        losses: Smoothed loss of each step.

    Raises:
        SettingError: A number is out of range, or ``mode`` is unknown.
        UserError: No learning rate was found; raised before training.
    """

    def __init__(
        self,
        min_lr: float = 1e-6,
        max_lr: float = 1.0,
        num_training_steps: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
    ) -> None:
        check_above("min_lr", min_lr, 0)
        check_above("max_lr", max_lr, min_lr)
        check_at_least("num_training_steps", num_training_steps, _SKIPPED + 2)
        check_choice("mode", mode, ["exponential", "linear"])
        check_above("early_stop_threshold", early_stop_threshold, 1)
        super().__init__(min_lr, max_lr, num_training_steps, mode, early_stop_threshold, update_attr=False)
        self.lr: float | None = None
        self.lrs: list[float] = []
        self.losses: list[float] = []

    @override
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.lr is None and not _is_fast(trainer):
            with _searching(trainer, self._num_training_steps):
                self.lr_find(trainer, pl_module)
            assert self.optimal_lr is not None
            found = self.optimal_lr.results
            self.lrs, self.losses = list(map(float, found["lr"])), correct_losses(found["loss"])
            self.lr = suggest_rate(self.lrs, self.losses)
            if self.lr is None:
                raise UserError(
                    f"The learning rate finder found no learning rate in {len(self.lrs)} training steps, because there"
                    " were too few steps or the loss never fell. Train for more epochs or on more images, change its"
                    " range, or remove this callback."
                )
            console.print(f"learning rate: {self.lr:.3g}, found in {len(self.lrs)} training steps", soft_wrap=True)
        if self.lr is not None:
            pl_module.hparams["lr"] = self.lr
            trainer.strategy.setup_optimizers(trainer)  # It also builds the schedule, whose peak is this rate.

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"lr": self.lr, "lrs": self.lrs, "losses": self.losses}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["lr"] is not None:
            check_above("lr", state_dict["lr"], 0)
        self.lr = state_dict["lr"]
        self.lrs, self.losses = (list(map(float, state_dict[key])) for key in ("lrs", "losses"))


def correct_losses(losses: Sequence[float]) -> list[float]:
    """Return unbiased moving averages of the loss. Lightning divides by the correction of the following step.

    Args:
        losses: Moving averages of the loss that Lightning has computed, one for each step.

    Returns:
        The averages with the correction of their own step.

    Example:
        >>> lightning = [0.02 * 0.7 / (1 - 0.98**2)]  # The loss of the first step was 0.7.
        >>> print(f"{correct_losses(lightning)[0]:.2f}")
        0.70
    """
    decay = 0.98  # Decay of Lightning's moving average.
    return [float(x) * (1 - decay ** (n + 1)) / (1 - decay**n) for n, x in enumerate(losses, start=1)]


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the learning rate at which the loss fell fastest, relative to the logarithm of the learning rate.

    Lightning compares with the learning rate itself, so that it nearly always suggests one of the lowest rates of an
    exponential search. The first ten steps and the last one are ignored.

    Args:
        rates: Learning rate of each step, increasing.
        losses: Smoothed loss of each step. Values can be NaN.

    Returns:
        The learning rate, or None if there are fewer than two steps or if the loss never fell.

    Example:
        >>> rates = [10.0**k for k in range(-16, 2)]
        >>> losses = [1.0] * 13 + [0.9, 0.3, 0.2, 0.2, 9.0]
        >>> suggest_rate(rates, losses)
        0.001
    """
    known = [(rate, loss) for rate, loss in list(zip(rates, losses, strict=True))[10:-1] if math.isfinite(loss)]
    if len(known) < 2:
        return None
    slopes = np.gradient([loss for _, loss in known], np.log([rate for rate, _ in known]))
    steepest = int(np.argmin(slopes))
    return known[steepest][0] if slopes[steepest] < 0 else None


def _is_fast(trainer: L.Trainer) -> bool:
    """Return whether ``fast_dev_run`` is set, with which Lightning does not search."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


@contextmanager
def _searching(trainer: L.Trainer, steps: int) -> Iterator[None]:
    """Within this block, Lightning's search shows its progress like other loops, and a signal can stop it."""
    callbacks = callbacks_of(trainer)
    stops = [callback for callback in callbacks if isinstance(callback, StopBetweenBatches)]

    class Search(lr_finder._LRCallback):
        """Lightning's callback, without its progress bar, which would fill a log file."""

        def __init__(self, num_training: int, early_stop_threshold: float | None, **_: Any) -> None:
            super().__init__(num_training, early_stop_threshold)

        @override
        def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
            for stop in stops:
                stop.on_train_batch_start(*args, **kwargs)
            super().on_train_batch_start(*args, **kwargs)

        @override
        def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
            super().on_train_batch_end(*args, **kwargs)
            progress.advance()

    try:
        with (
            Progress("searching for a learning rate", total=steps, unit="steps") as progress,
            patch.object(lr_finder, "_LRCallback", Search),
        ):
            yield
    finally:
        # After an exception, Lightning leaves only its own callback.
        trainer.callbacks = callbacks  # type: ignore[attr-defined]


class BatchSizeFinder(LightningBatchSizeFinder):
    """Before training, search for the largest batch size that fits into the memory of the device.

    In contrast to Lightning's class, the learning-rate schedule has the length for the new batch size, and a resumed
    run does not search again.

    Args:
        mode: ``power`` doubles the batch size until it no longer fits. ``binsearch`` then halves the interval between
            the largest batch size that fits and the smallest that does not.
        steps_per_trial: Number of training steps with each batch size.
        init_val: First batch size.
        margin: Fraction by which ``binsearch`` reduces the batch size that it has found.
        max_val: Largest batch size to try. Default: 8192 on a GPU, and 256 on a CPU, because the operating system kills
            a process that exhausts the main memory.

    Attributes:
        batch_size: The batch size that was found, or None before the search.

    Raises:
        SettingError: A number is out of range, or ``mode`` is unknown.
        UserError: The run uses several processes; raised before training.
    """

    def __init__(
        self,
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 8,
        margin: float = 0.05,
        max_val: int | None = None,
    ) -> None:
        check_choice("mode", mode, ["power", "binsearch"])
        check_at_least("steps_per_trial", steps_per_trial, 1)
        check_at_least("init_val", init_val, 2)
        check_between("margin", margin, 0, 0.9)
        check_at_least("max_val", max_val, init_val)
        super().__init__(mode, steps_per_trial, init_val, margin=margin, max_val=max_val or _LARGEST_BATCH)
        self._is_default = max_val is None
        self.batch_size: int | None = None
        self._datamodule: Any = None

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str | None = None) -> None:
        if trainer.world_size > 1:
            raise UserError(
                f"The batch size finder cannot be used with {trainer.world_size} processes. Set trainer.devices=1, or"
                " remove this callback."
            )
        super().setup(trainer, pl_module, stage)
        self._datamodule = trainer.datamodule  # type: ignore[attr-defined]
        if self._is_default and trainer.strategy.root_device.type == "cpu":
            self._max_val = max(self._init_val, _LARGEST_BATCH_ON_CPU)

    @override
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.batch_size is not None or _is_fast(trainer):
            return
        before = self._datamodule.batch_size
        with Progress("searching for a batch size"):
            self.scale_batch_size(trainer, pl_module)
        images = len(trainer.train_dataloader.dataset)  # type: ignore[union-attr]
        self.batch_size = self._datamodule.batch_size = min(self._datamodule.batch_size, images)
        trainer.fit_loop._combined_loader = None  # It is built again with this batch size.
        loop = trainer.fit_loop
        loop.restarting = loop.epoch_loop.restarting = False  # Lightning would assume that the run was resumed.
        trainer.strategy.setup_optimizers(trainer)  # The length of the schedule depends on the batch size.
        console.print(f"batch size: {self.batch_size} instead of {before}", soft_wrap=True)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"batch_size": self.batch_size}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        size = state_dict["batch_size"]
        if size is not None:
            if isinstance(size, bool) or not isinstance(size, int):
                raise SettingError("batch_size", size, "is not an integer")
            self._datamodule.batch_size = size  # Its loaders are built later.
        self.batch_size = size
