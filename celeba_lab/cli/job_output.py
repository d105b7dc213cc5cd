"""Send the output of a job of a sweep to a file of its own, while the sweep goes on to use the terminal."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

OUTPUT = "output.log"
"""Name of the file in the folder of a job that contains everything that the job printed."""


@contextmanager
def output_to(path: Path) -> Iterator[TextIO]:
    """Within this block, everything that this process and its child processes print is appended to a file.

    Yields:
        The file.
    """
    with path.open("a", buffering=1, encoding="utf-8", errors="backslashreplace") as file, ExitStack() as stack:
        for descriptor in (1, 2):
            stack.enter_context(_descriptor_to(descriptor, file))
        with redirect_stdout(file), redirect_stderr(file):
            yield file


@contextmanager
def _descriptor_to(descriptor: int, file: TextIO) -> Iterator[None]:
    """Within this block, a file descriptor of this process refers to a file, also for libraries written in C."""
    _flush()
    saved = os.dup(descriptor)
    os.dup2(file.fileno(), descriptor)
    try:
        yield
    finally:
        file.flush()
        _flush()
        os.dup2(saved, descriptor)
        os.close(saved)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # The terminal may have been closed.
            stream.flush()


def keep_terminal() -> TextIO:
    """Return a stream to the current standard output, which :func:`output_to` does not redirect."""
    try:
        descriptor = os.dup(sys.stdout.fileno())
    except (OSError, io.UnsupportedOperation):  # In a test or a notebook, the standard output may not be a file.
        return sys.stdout
    return os.fdopen(descriptor, "w", buffering=1, encoding=sys.stdout.encoding, errors="backslashreplace")
