"""Functions that read and write whole files, sort paths and locate ``conf/``. This module avoids slow imports."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from celeba_lab.errors import UserError

# Without O_NONBLOCK, opening a named pipe would block until another process opens it for writing. Windows does not have
# this flag, and without O_BINARY it would change line endings.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
MAX_WEIGHTS_BYTES = 2**35
"""Maximum size of a file with the weights of a network in bytes (32 GiB)."""


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key for natural order, which ignores case and places 2.jpg before 10.jpg."""
    parts = re.findall(r"[0-9]+|[^0-9]+", str(path))
    return [(0, int(part), part) if part[0].isdigit() else (1, 0, part.casefold()) for part in parts]


def config_directory() -> Path:
    """Return the absolute path to ``conf/``, which is inside the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def cache_directory() -> Path:
    """Return the user's folder for files that can be made again: ``~/.cache`` or ``$XDG_CACHE_HOME``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "celeba_lab"


def check_name(path: Path) -> None:
    """Check that a path is valid Unicode. Tables, figures and reports could not show other names.

    Raises:
        UserError: The path contains bytes that are not UTF-8, which Python represents by surrogates.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"The name of {path} is not UTF-8 text. Rename the file or folder.") from error


def read_file(path: Path, most_bytes: int) -> bytes:
    """Return the content of a regular file. Pipes and devices are rejected, because reading them might never end.

    Args:
        path: Path to the file.
        most_bytes: Maximum size of the file in bytes.

    Raises:
        OSError: The file cannot be opened, is not a regular file, or is too large.
    """
    # A file object would take longer to create than an image takes to read.
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        _check_status(path, status, most_bytes)
        content = os.read(descriptor, status.st_size)
        left = most_bytes - len(content)
        while left > 0 and (more := os.read(descriptor, min(left, 2**20))):  # The file may have grown.
            content += more
            left -= len(more)
        return content
    finally:
        os.close(descriptor)


def open_regular(path: Path, most_bytes: int) -> BinaryIO:
    """Open a regular file for reading; see :func:`read_file`."""
    descriptor = os.open(path, _READ)
    try:
        _check_status(path, os.fstat(descriptor), most_bytes)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: Path, most_bytes: int) -> None:
    """Check that a file that a library is about to read is a regular file, and not too large.

    Args:
        path: Path to the file.
        most_bytes: Maximum size of the file in bytes.

    Raises:
        OSError: The file does not exist, is not a regular file, or is too large.
    """
    _check_status(path, path.stat(), most_bytes)


def file_fault(path: Path) -> str | None:
    """Return why a path is not a regular file, as a phrase such as ``does not exist``, or None if it is one."""
    if path.is_file():
        return None
    if path.is_dir():
        return "is a folder"
    return "is not a regular file" if path.exists() else "does not exist"


def _check_status(path: Path, status: os.stat_result, most_bytes: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if status.st_size > most_bytes:
        raise OSError(errno.EINVAL, f"{status.st_size:,} bytes exceed the limit of {most_bytes:,}", str(path))


def prepare_folder(folder: Path) -> None:
    """Create the folder of files that are written later, so that a mistake in its path is reported before training.

    Raises:
        UserError: The folder cannot be created, or no files can be written to it.
    """
    probe = folder / f".{secrets.token_hex(4)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"No files can be written to the folder {folder} ({error.strerror}). Choose another folder."
        ) from None


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Call ``write`` with a temporary binary file, which replaces ``path`` once it is complete and on disk.

    The temporary file is in the same folder as ``path``, because atomic replacement is possible only within one file
    system. Even if the process is killed or the machine loses power, ``path`` is either the old file or the complete
    new one. The permissions follow the umask, as for a file that ``open`` creates.

    The folder of ``path`` is created if necessary, but its parent must exist. If the run folder is deleted during the
    run, an error is therefore raised, rather than creating a second folder with only some of the results.
    """
    path.parent.mkdir(exist_ok=True)
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with staged.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


def remove_staged(folder: Path) -> None:
    """Remove temporary files that a killed process has left behind in :func:`write_atomically`."""
    for path in folder.rglob(".*.part"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Flush the directory entries of a folder to disk. Otherwise, a power failure could undo the last replacement."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows cannot open folders, and a folder can be writable but not readable.
        return
    try:
        with suppress(OSError):  # Some network file systems cannot flush a folder.
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
