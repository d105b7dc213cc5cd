"""Stop runs between two batches when a signal arrives, and exit with the code that shells expect."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.utilities.exceptions import SIGTERMException
from typing_extensions import override

from celeba_lab.console import console


@contextmanager
def exit_codes_of_signals(trainer: L.Trainer, advise: Callable[[L.Trainer], None] | None = None) -> Iterator[None]:
    """Within this block, Ctrl-C, SIGTERM and SIGHUP stop the Trainer between two batches.

    The process then exits with code 130, 143 or 129, respectively, as shells and schedulers expect. Lightning would
    exit with code 1 after Ctrl-C and with code 0 after SIGTERM. If Ctrl-C or SIGHUP arrives a second time, the process
    exits at once, without saving a checkpoint. Signals that are ignored, for example because of ``nohup``, are still
    ignored. If there are several processes, Ctrl-C and SIGHUP stop them at once, as without this block.

    Args:
        trainer: The Trainer that runs in the ``with`` block.
        advise: Function that prints what the user can do next. This function is called in the main process before it
            exits.
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
            console.print(f"\nstopped by {cause.name}", style="bold yellow")
            if advise is not None and trainer.is_global_zero:
                advise(trainer)
        sys.exit(128 + cause)


class _StopBetweenBatches(L.Callback):
    """Raise an exception at the start of the next batch after Ctrl-C or SIGHUP.

    An exception in the middle of a training step could leave some weights updated and others not, and a run that is
    resumed from such a checkpoint would differ from an uninterrupted run.

    Attributes:
        cause: The signal that arrived, or None.
    """

    def __init__(self) -> None:
        self.cause: signal.Signals | None = None

    @contextmanager
    def receiving(self, trainer: L.Trainer) -> Iterator[None]:
        """Receive signals within this block."""
        if trainer.world_size > 1 or threading.current_thread() is not threading.main_thread():
            yield  # Several processes could stop at different batches and wait for each other forever.
            return
        defaults: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}
        if hasattr(signal, "SIGHUP"):  # not on Windows
            defaults[signal.SIGHUP] = signal.SIG_DFL
        replaced = {number: default for number, default in defaults.items() if signal.getsignal(number) == default}
        trainer.callbacks.insert(0, self)  # type: ignore[attr-defined]
        self._install(replaced)
        try:
            yield
        finally:
            trainer.callbacks.remove(self)  # type: ignore[attr-defined]
            for number, default in replaced.items():
                signal.signal(number, default)

    def _install(self, numbers: Any) -> None:
        self._numbers = list(numbers)
        for number in self._numbers:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.cause is not None:
            os._exit(128 + number)
        self.cause = signal.Signals(number)
        with suppress(OSError):
            console.print("\nstopping after this batch; press Ctrl-C again to stop at once", style="yellow")

    def _check(self) -> None:
        if self.cause == signal.SIGINT:
            raise KeyboardInterrupt
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

    @override
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._install(self._numbers)  # Lightning ignores further signals while it saves a checkpoint.
