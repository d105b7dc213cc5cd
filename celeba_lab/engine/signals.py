"""Exit codes of a run that a signal stops."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import lightning as L
from lightning.pytorch.utilities.exceptions import SIGTERMException

from celeba_lab.console import console


@contextmanager
def exit_codes_of_signals(trainer: L.Trainer, advise: Callable[[L.Trainer], None] | None = None) -> Iterator[None]:
    """Within this block, end the process with 130 or 143 when Ctrl-C or SIGTERM stops the Trainer.

    Shells and schedulers expect these codes. Lightning would exit with 1 and with 0.

    Args:
        trainer: The Trainer that runs in the block.
        advise: Function that is called in the main process before it ends, to print what can be done next.
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
