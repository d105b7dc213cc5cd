"""Exit codes of signals, and which signals are handled."""

import os
import signal
from collections.abc import Iterator

import pytest

from celeba_lab.data.workers import INTERRUPTS
from celeba_lab.runs.interrupts import Interrupted, is_default, raising_interrupts


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    """Python's default handlers, also if the tests are run by ``nohup``."""
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in INTERRUPTS if number != signal.SIGINT}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGUSR1, 138)])
def test_a_signal_raises_an_exception_with_the_exit_code(number: int, code: int) -> None:
    assert signal.getsignal(number) == signal.SIG_DFL
    with pytest.raises(Interrupted) as stop, raising_interrupts():
        os.kill(os.getpid(), number)
    assert (stop.value.signal, stop.value.code) == (number, code)
    assert signal.getsignal(number) == signal.SIG_DFL


def test_ignored_signals_and_handlers_of_the_user_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def own(*_: object) -> None: ...

    previous = [signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.signal(signal.SIGTERM, own)]
    try:
        with raising_interrupts():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is own
            assert [is_default(number) for number in (signal.SIGHUP, signal.SIGTERM)] == [False, False]
            assert is_default(signal.SIGUSR1)
    finally:
        for number, handler in zip((signal.SIGHUP, signal.SIGTERM), previous, strict=True):
            signal.signal(number, handler)


def test_ctrl_c_still_raises_keyboard_interrupt() -> None:
    assert signal.SIGINT in INTERRUPTS
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with raising_interrupts():
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
