"""Processes that a benchmark starts, watches and ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep, time
from typing import NamedTuple

import celeba_lab
from celeba_lab.benchmarks.repeats import NotMeasuredError

BUSY = ("-c", "while True: pass")
"""Arguments of Python for a process that keeps a core busy until it is ended."""

_SECONDS_TO_END = 5.0
_SECONDS_BETWEEN_SAMPLES = 0.25
# Variables with which a run chooses its threads. The measured commands choose theirs.
_THREADS = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_")
_PROC = Path("/proc")


class Sample(NamedTuple):
    """Memory at a certain time.

    Attributes:
        time: Time in seconds since 1970.
        memory: Memory in bytes; see :func:`memory_of`.
    """

    time: float
    memory: int


@dataclass
class Finished:
    """A process that has ended without an error.

    Attributes:
        started: Time at which it was started, in seconds since 1970.
        seconds: Time from its start to its end.
        output: What it wrote to its standard output and standard error.
        memory: Memory of the process and of all processes that it started, at several times.
    """

    started: float
    seconds: float
    output: str
    memory: list[Sample] = field(default_factory=list)


def run_python(arguments: Sequence[str], log: Path, watch_memory: bool = False) -> Finished:
    """Run Python with the given arguments in a new process, and wait until it ends.

    Args:
        arguments: Arguments of Python.
        log: New file for the output.
        watch_memory: If true, the memory is measured four times a second.

    Raises:
        NotMeasuredError: The process has failed.
    """
    with running_python(arguments, log) as child:
        return wait_for(child, watch_memory)


@dataclass
class Child:
    """A process that has been started.

    Attributes:
        process: The process, which is the leader of its own session.
        log: File with its output.
        started: Time at which it was started, in seconds since 1970.
        clock: The same time on the clock of ``perf_counter``.
    """

    process: "subprocess.Popen[bytes]"
    log: Path
    started: float
    clock: float


@contextmanager
def running_python(arguments: Sequence[str], log: Path) -> Iterator[Child]:
    """Start Python in a new session, and end the process and all processes that it has started after the block.

    Ctrl-C in the terminal therefore reaches only this process, which then ends the others.
    """
    with log.open("wb") as file:
        started, clock = time(), perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=child_environment(),
            start_new_session=True,
        )
    try:
        yield Child(process, log, started, clock)
    finally:
        _end(process)


def wait_for(child: Child, watch_memory: bool = False) -> Finished:
    """Wait until a process ends, and return what it wrote.

    Raises:
        NotMeasuredError: The process has failed. The message contains the last line of its output.
    """
    samples = []
    while watch_memory and child.process.poll() is None:
        samples.append(Sample(time(), memory_of(child.process.pid)))
        sleep(_SECONDS_BETWEEN_SAMPLES)
    code = child.process.wait()
    seconds = perf_counter() - child.clock
    output = child.log.read_text(errors="replace")
    if code:
        lines = [line for line in output.splitlines() if line.strip()]
        raise NotMeasuredError(f"The command failed with exit code {code}: {lines[-1] if lines else 'no output'}")
    return Finished(child.started, seconds, output, samples)


def child_environment() -> Mapping[str, str]:
    """Return the environment for a process, with the variables for threads as the user has set them.

    The command line may have chosen other values for this process.
    """
    package = str(Path(celeba_lab.__file__).resolve().parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {name: text for name, text in os.environ.items() if not name.startswith(_THREADS)}
    try:  # what this process was started with
        given = (_PROC / "self" / "environ").read_bytes().split(b"\0")
    except OSError:
        given = [f"{name}={text}".encode() for name, text in os.environ.items()]
    own = dict(os.fsdecode(entry).partition("=")[::2] for entry in given if b"=" in entry)
    environment |= {name: text for name, text in own.items() if name.startswith(_THREADS)}
    return environment | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "80"}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all processes of its session. A process that does not react to SIGTERM is killed."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_SECONDS_TO_END)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def memory_of(session: int) -> int:
    """Return the proportional set size (PSS) of all processes of a session, in bytes.

    Memory that several processes share is divided among them, so the sum counts it once. The result is 0 if the
    operating system does not provide it.

    Args:
        session: Process id of the leader of the session.
    """
    return sum(_pss(path) for path in _PROC.glob("[0-9]*") if _session_of(path) == session)


def _session_of(process: Path) -> int | None:
    try:
        # The name of the process, in parentheses, can contain spaces.
        return int((process / "stat").read_text().rpartition(")")[2].split()[3])
    except (OSError, IndexError, ValueError):  # It has ended.
        return None


def _pss(process: Path) -> int:
    try:
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0
