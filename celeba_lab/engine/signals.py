"""Exit codes of runs that are stopped by a signal."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import lightning as L
from lightning.pytorch.utilities.exceptions import SIGTERMException

from celeba_lab.console import console


@contextmanager
def exit_codes_of_signals(trainer: L.Trainer, advise: Callable[[L.Trainer], None] | None = None) -> Iterator[None]:
    """Within this block, exit with code 130 if Ctrl-C stops the Trainer, and with code 143 if SIGTERM stops it.

    Shells and schedulers expect these exit codes. Lightning would exit with codes 1 and 0 instead.

    Args:
        trainer: The Trainer that runs in the ``with`` block.
        advise: Function that prints what the user can do next. This function is called in the main process before it
            exits.
    """
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop, SIGTERMException):
            cause = signal.SIGTERM
        elif trainer.interrupted:
            cause = signal.SIGINT
        else:
            raise
        console.print(f"\nstopped by {cause.name}", style="bold yellow")
        if advise is not None and trainer.is_global_zero:
            advise(trainer)
        sys.exit(128 + cause)
