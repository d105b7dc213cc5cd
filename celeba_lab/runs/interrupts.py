"""Signals that stop a run, with the exit codes that shells and schedulers expect. This module does not import torch."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from celeba_lab.data.workers import INTERRUPTS


class Interrupted(SystemExit):
    """Raised when a signal stops the process. The exit code is 128 plus the number of the signal.

    Args:
        number: Number of the signal.

    Example:
        >>> Interrupted(signal.SIGTERM).code
        143
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(128 + number)

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int]]:
        return type(self), (self.signal,)


def raise_interrupted(number: int, frame: FrameType | None) -> None:
    """Signal handler that raises :class:`Interrupted`."""
    raise Interrupted(number)


@contextmanager
def raising_interrupts() -> Iterator[None]:
    """Within this block, the signals in ``INTERRUPTS`` raise exceptions, so that the run can say how to resume it.

    Python itself raises ``KeyboardInterrupt`` after Ctrl-C. Signals that are ignored, for example because of ``nohup``,
    are still ignored.
    """
    replaced = [number for number in INTERRUPTS if signal.getsignal(number) == signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, raise_interrupted)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def is_default(number: int) -> bool:
    """Return whether a signal has Python's default handler or the handler of :func:`raising_interrupts`."""
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, raise_interrupted)
