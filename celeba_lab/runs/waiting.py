"""Let the threads of a run wait without using the CPU while other processes need it.

The threads of a run work on parts of the same tensor, and wait for each other thousands of times in each second. By
default, a thread that waits uses the CPU, because the others are usually ready within microseconds. On a busy machine,
the system stops one of the threads to run another process, and the others then use the CPU only to wait for it. Several
threads take much longer than one in this case.

GNU OpenMP, which torch and scikit-learn use, reads the waiting policy only once, when it is loaded. However, it uses
the CPU to wait only as long as the process does not have more OpenMP threads than CPU cores (see GOMP_SPINCOUNT in its
manual). Idle additional threads therefore switch to the other way of waiting, and back when they end. The number of
threads that compute, and therefore the result, stays the same.
"""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celeba_lab.console import console, is_main_process

GIVEN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Environment variables with which the user chooses how threads wait. If one of them is set, nothing is changed."""

# Time for which threads were ready to run, but did not get a core, in seconds per second and added up over threads.
# Beside one busy process, it is above 0.5 in both ways of waiting, and on a machine without other load below 0.02.
_BUSY, _FREE = 0.3, 0.15
_PERIOD = 0.5  # seconds between two measurements
_CALM = 4  # number of measurements in a row below _FREE after which threads wait as before
_MENTIONED = 0.2  # share of the time of a run from which on passive waiting is mentioned
_PROCESS = Path("/proc/self")


class RunDelay:
    """Time for which the threads of this process were ready to run, but did not get a CPU core.

    Args:
        process: Folder of the process in ``/proc``.
    """

    def __init__(self, process: Path = _PROCESS) -> None:
        self._tasks = process / "task"
        self._time = time.monotonic()
        self._before = self._read()

    def measure(self) -> float | None:
        """Return the time since the last call in seconds per second, added up over threads, or None if unknown."""
        now, seconds = self._read(), time.monotonic() - self._time
        delay = sum(max(0, waited - self._before.get(task, 0)) for task, waited in now.items()) / 1e9
        self._time, self._before = self._time + seconds, now
        return delay / seconds if now and seconds > 0 else None

    def _read(self) -> dict[str, int]:
        """Return the time that each thread has waited since it was started, in nanoseconds."""
        found = {}
        try:
            for task in self._tasks.iterdir():
                # A thread may end in between. The second of the three numbers is the time.
                if len(words := _read_words(task / "schedstat")) == 3 and words[1].isdecimal():
                    found[task.name] = int(words[1])
        except OSError:  # Other systems than Linux do not have this folder.
            pass
        return found


def _read_words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


class IdleThreads:
    """Idle threads, with which this process has more OpenMP threads than CPU cores until :meth:`end` is called.

    Args:
        openmp: GNU OpenMP, as loaded by torch or scikit-learn. Each library may have its own copy.
    """

    def __init__(self, openmp: ctypes.CDLL) -> None:
        self._openmp = openmp
        self._ended = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._hold, name="idle-openmp-threads", daemon=True)
        self._thread.start()
        self._ready.wait()

    def end(self) -> None:
        """End the threads."""
        self._ended.set()
        self._thread.join()

    def _hold(self) -> None:
        """Let OpenMP start threads that belong to this one. It ends them together with it."""
        cores: int = self._openmp.omp_get_num_procs()
        # The libraries use at least two threads, and by default one for each physical core. This thread is not counted.
        computing = max(2, min(cores // 2, _threads_of(self._openmp)))
        nothing = ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p)
        try:
            self._openmp.GOMP_parallel(nothing, None, max(0, cores - computing) + 2, 0)
        finally:
            self._ready.set()  # Otherwise, the run would wait forever after an error.
        self._ended.wait()


def _threads_of(openmp: ctypes.CDLL) -> int:
    """Return the number of threads with which OpenMP and torch compute, in a thread that has not used them yet."""
    number: int = openmp.omp_get_max_threads()
    count = getattr(sys.modules.get("torch"), "get_num_threads", None)  # Another thread may still be importing torch.
    return number if count is None else min(number, count())


def find_openmp() -> set[Path]:
    """Return the paths of all copies of GNU OpenMP that have been loaded."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    paths = {Path(line.split(maxsplit=5)[-1]) for line in lines if "libgomp" in line}
    return {path for path in paths if path.name.startswith("libgomp")}


class Waiting:
    """Decides how threads wait, from measurements of how long they do not get a CPU core.

    Attributes:
        seconds: Time in seconds for which they have waited without using the CPU.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._idle: dict[Path, IdleThreads] = {}
        self._calm = 0
        self._modules = 0  # number of imported modules at the last search for libraries

    @property
    def is_passive(self) -> bool:
        """Whether threads wait without using the CPU at the moment."""
        return bool(self._idle)

    def update(self, delay: float | None, seconds: float) -> None:
        """Change the way of waiting if the machine has become busy or free.

        Args:
            delay: Measurement of :class:`RunDelay`.
            seconds: Time since the last measurement, in seconds.
        """
        if self.is_passive:
            self.seconds += seconds
        if delay is None:
            return
        if delay > _BUSY and self._modules != len(sys.modules):
            self._modules = len(sys.modules)  # A module that is imported later may load another copy of OpenMP.
            self._begin()
        self._calm = self._calm + 1 if delay < _FREE else 0
        if self._calm >= _CALM:
            self.end()

    def _begin(self) -> None:
        for path in find_openmp() - self._idle.keys():
            try:
                openmp = ctypes.CDLL(str(path))
            except OSError:  # The file has been replaced since it was loaded.
                continue
            is_gnu = hasattr(openmp, "GOMP_parallel")
            if is_gnu and openmp.omp_get_num_procs() > 1 and _threads_of(openmp) > 1:
                self._idle[path] = IdleThreads(openmp)

    def end(self) -> None:
        """Let threads wait as usual."""
        for idle in self._idle.values():
            idle.end()
        self._idle, self._modules = {}, 0


_current: list[Waiting] = []


@contextmanager
def waiting_for_others() -> Iterator[None]:
    """Within this block, let threads wait without using the CPU whenever the machine is busy.

    Nothing is changed if the user has chosen how threads wait, or if the system does not measure the delay.
    """
    delay = RunDelay()
    if given_policy() is not None or delay.measure() is None:
        yield
        return
    waiting, ended, start = Waiting(), threading.Event(), time.monotonic()

    def watch() -> None:
        while not ended.wait(_PERIOD):
            waiting.update(delay.measure(), _PERIOD)
        waiting.end()

    thread = threading.Thread(target=watch, name="waiting-policy", daemon=True)
    _current[:] = [waiting]
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if waiting.seconds > _MENTIONED * (time.monotonic() - start) and is_main_process():
            console.print(
                f"busy: for {waiting.seconds:.0f} s, other processes needed the cores, so the threads of this run"
                " waited for each other without using them",
                soft_wrap=True,
            )


def given_policy() -> str | None:
    """Return the environment variable with which the user chooses how threads wait, with its value, or None."""
    return next((f"{name}={os.environ[name]}" for name in GIVEN if name in os.environ), None)


def waiting_facts() -> dict[str, Any]:
    """Return how the threads of this run have waited, for the summary."""
    given = given_policy()
    if given is not None:
        return {"waiting": given}
    seconds = _current[-1].seconds if _current else 0.0
    return {"waiting": "passive if busy" if _current else "default", "passive_seconds": round(seconds, 1)}
