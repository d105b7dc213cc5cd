"""Stop a Trainer between two batches when a signal arrives."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from typing_extensions import override

from celeba_lab.console import console
from celeba_lab.data.workers import INTERRUPTS
from celeba_lab.engine.build import callbacks_of
from celeba_lab.runs.interrupts import Interrupted, is_default

_SECONDS_OF_ONE_SIGNAL = 1.0


@contextmanager
def stopping_between_batches(trainer: L.Trainer, advise: Callable[[L.Trainer], None] | None = None) -> Iterator[None]:
    """Within this block, signals such as Ctrl-C and SIGTERM stop the Trainer between two batches.

    A second Ctrl-C ends the process at once, without saving a checkpoint. Signals that are ignored, for example because
    of ``nohup``, are still ignored, and a user's own handlers are kept. If there are several processes, a signal to one
    of them stops all of them before the same batch.

    Args:
        trainer: The Trainer that runs in the ``with`` block.
        advise: Function that prints what was saved. It is called in the main process when a signal has stopped the
            Trainer.

    Raises:
        Interrupted: A signal has stopped the Trainer.
    """
    stop = StopBetweenBatches()
    try:
        with stop.receiving(trainer):
            yield
        if stop.cause is not None:  # The signal arrived during the last batch.
            raise SIGTERMException
    except SystemExit as error:
        if isinstance(error, SIGTERMException):
            cause = stop.cause or signal.SIGTERM
        elif trainer.interrupted:
            cause = signal.SIGINT
        else:
            raise
        with suppress(OSError):  # After SIGHUP, the terminal no longer exists.
            if advise is not None and trainer.is_global_zero:
                advise(trainer)
        raise Interrupted(cause) from None


class StopBetweenBatches(L.Callback):
    """Raise an exception at the start of the next batch after a signal.

    An exception in the middle of a training step could leave some weights updated and others not, and a run that is
    resumed from such a checkpoint would differ from an uninterrupted run. Processes that stopped at different batches
    would wait for each other forever, so they agree before each batch.

    Attributes:
        cause: The signal that arrived, or None.
    """

    def __init__(self) -> None:
        self.cause: signal.Signals | None = None
        self._numbers: list[int] = []
        self._received = 0.0
        self._shared_batches = 0

    @contextmanager
    def receiving(self, trainer: L.Trainer) -> Iterator[None]:
        """Receive signals within this block."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Only the main thread can set signal handlers.
            return
        previous = {number: signal.getsignal(number) for number in INTERRUPTS if is_default(number)}
        self._numbers = list(previous)
        callbacks_of(trainer).insert(0, self)
        self._install()
        try:
            yield
        finally:
            callbacks_of(trainer).remove(self)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _install(self) -> None:
        for number in self._numbers:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.cause is not None:
            # torchrun repeats Ctrl-C, which the terminal has already sent to all processes.
            is_repeated = _is_distributed() and monotonic() - self._received < _SECONDS_OF_ONE_SIGNAL
            if number == signal.SIGINT and not is_repeated:
                os._exit(128 + number)  # without saving anything
            return  # A scheduler may repeat its signal.
        self.cause, self._received = signal.Signals(number), monotonic()
        with suppress(OSError):
            console.print("\nstopping after this batch; press Ctrl-C again to stop at once", style="yellow")

    def _check(self, trainer: L.Trainer) -> None:
        agreed = int(self.cause or 0)
        if trainer.world_size > 1:
            number = torch.tensor(agreed, device=trainer.strategy.root_device)
            torch.distributed.all_reduce(number, op=torch.distributed.ReduceOp.MAX)
            agreed = int(number)
        if agreed:  # A signal that arrived while the processes agreed counts before the next batch.
            self.cause = signal.Signals(agreed)
            raise SIGTERMException

    def _check_evaluation(self, trainer: L.Trainer, batch_idx: int) -> None:
        if trainer.world_size == 1 or batch_idx < self._shared_batches:
            self._check(trainer)

    def _start(self, trainer: L.Trainer) -> None:
        if trainer.world_size > 1:
            # Lightning's own handler communicates with the other processes, which may be communicating already.
            self._install()

    def _start_evaluation(self, trainer: L.Trainer, batches: Sequence[float]) -> None:
        self._start(trainer)
        if trainer.world_size > 1:  # The processes may have different numbers of batches.
            shared = torch.tensor(sum(batches), device=trainer.strategy.root_device)
            torch.distributed.all_reduce(shared, op=torch.distributed.ReduceOp.MIN)
            self._shared_batches = int(shared)

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start(trainer)

    @override
    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        is_sanity_check = trainer.sanity_checking
        self._start_evaluation(trainer, trainer.num_sanity_val_batches if is_sanity_check else trainer.num_val_batches)

    @override
    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start_evaluation(trainer, trainer.num_test_batches)

    @override
    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start_evaluation(trainer, trainer.num_predict_batches)

    @override
    def on_train_batch_start(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        self._check(trainer)

    @override
    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        self._check_evaluation(trainer, batch_idx)

    @override
    def on_test_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        self._check_evaluation(trainer, batch_idx)

    @override
    def on_predict_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        self._check_evaluation(trainer, batch_idx)


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
