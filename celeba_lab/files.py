"""Functions that read and write files, sort paths and locate ``conf/``. This module avoids slow imports."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from celeba_lab.errors import UserError


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key for natural order, which ignores case and places 2.jpg before 10.jpg."""
    parts = re.findall(r"[0-9]+|[^0-9]+", str(path))
    return [(0, int(part), part) if part[0].isdigit() else (1, 0, part.casefold()) for part in parts]


def config_directory() -> Path:
    """Return the absolute path of ``conf/``, which is next to the package in a checkout, or else in the package."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Call ``write`` with a temporary binary file, which replaces ``path`` once it is complete and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, staged = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        Path(staged).chmod(0o644)  # mkstemp creates files that only their owner can read
        Path(staged).replace(path)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise


def unusable(path: Path, reason: str, remedy: str = "Leave this run out, or run it again.") -> UserError:
    """Return an error that explains why a file in a run folder cannot be used."""
    from celeba_lab.console import display_path  # slow import that --help does not need

    return UserError(f"{display_path(path)} cannot be used: {reason.rstrip('.')}. {remedy}")


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Convert errors that occur while a run's file is read in this block into a ``UserError`` that names the file.

    Raises:
        UserError: The file is missing, or it is not valid JSON, YAML or CSV.
    """
    from omegaconf.errors import OmegaConfBaseException  # slow imports that --help does not need
    from yaml import YAMLError

    try:
        yield
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error
    # JSON, pandas and Unicode errors are subclasses of ValueError. Very large numbers raise OverflowError.
    except (ValueError, OverflowError, YAMLError, OmegaConfBaseException) as error:
        raise unusable(path, " ".join(str(error).split())) from error
