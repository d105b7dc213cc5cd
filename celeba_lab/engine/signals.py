"""Stop a Trainer between two batches when a signal arrives."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.utilities.exceptions import SIGTERMException
from typing_extensions import override

from celeba_lab.console import console
from celeba_lab.data.workers import INTERRUPTS
from celeba_lab.engine.build import callbacks_of
from celeba_lab.runs.interrupts import Interrupted, is_default


@contextmanager
def stopping_between_batches(trainer: L.Trainer, advise: Callable[[L.Trainer], None] | None = None) -> Iterator[None]:
    """Within this block, signals such as Ctrl-C and SIGTERM stop the Trainer between two batches.

    A second Ctrl-C ends the process at once, without saving a checkpoint. Signals that are ignored, for example because
    of ``nohup``, are still ignored, and a user's own handlers are kept. If there are several processes, Lightning
    itself handles Ctrl-C and SIGTERM, and the other signals are treated as SIGTERM.

    Args:
        trainer: The Trainer that runs in the ``with`` block.
        advise: Function that prints what was saved. It is called in the main process when a signal has stopped the
            Trainer.

    Raises:
        Interrupted: A signal has stopped the Trainer.
    """
    stop = _StopBetweenBatches()
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


class _StopBetweenBatches(L.Callback):
    """Raise an exception at the start of the next batch after a signal.

    An exception in the middle of a training step could leave some weights updated and others not, and a run that is
    resumed from such a checkpoint would differ from an uninterrupted run.

    Attributes:
        cause: The signal that arrived, or None.
    """

    def __init__(self) -> None:
        self.cause: signal.Signals | None = None
        self._numbers: list[int] = []

    @contextmanager
    def receiving(self, trainer: L.Trainer) -> Iterator[None]:
        """Receive signals within this block."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Only the main thread can set signal handlers.
            return
        previous = {number: signal.getsignal(number) for number in INTERRUPTS if is_default(number)}
        self._numbers = list(previous)
        if trainer.world_size > 1:  # Processes that stopped at different batches would wait for each other forever.
            self._leave_to_lightning()
        else:
            callbacks_of(trainer).insert(0, self)
            self._install()
        try:
            yield
        finally:
            if self in callbacks_of(trainer):
                callbacks_of(trainer).remove(self)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _install(self) -> None:
        for number in self._numbers:
            signal.signal(number, self._receive)

    def _leave_to_lightning(self) -> None:
        for number in self._numbers:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)  # Lightning installs its own handler.
            elif number != signal.SIGINT:
                signal.signal(number, self._forward)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self.cause = signal.Signals(number)
        os.kill(os.getpid(), signal.SIGTERM)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.cause is not None:
            if number == signal.SIGINT:
                os._exit(128 + number)  # without saving anything
            return  # A scheduler may repeat its signal.
        self.cause = signal.Signals(number)
        with suppress(OSError):
            console.print("\nstopping after this batch; press Ctrl-C again to stop at once", style="yellow")

    def _check(self) -> None:
        if self.cause is not None:
            raise SIGTERMException

    @override
    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        self._check()

    @override
    def on_validation_batch_start(self, *args: Any, **kwargs: Any) -> None:
        self._check()

    @override
    def on_test_batch_start(self, *args: Any, **kwargs: Any) -> None:
        self._check()

    @override
    def on_predict_batch_start(self, *args: Any, **kwargs: Any) -> None:
        self._check()
