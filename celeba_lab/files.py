"""Functions that read and write files, sort paths and locate ``conf/``. This module avoids slow imports."""

import csv
import errno
import io
import json
import os
import re
import secrets
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from celeba_lab.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig, ListConfig

MAX_YAML_BYTES = 2**20
"""Maximum size of a YAML file in bytes. The settings of a run take about 5 KB."""
MAX_NODES = 100_000
"""Maximum number of values in a YAML file, in which every use of an alias counts as a copy."""
MAX_DEPTH = 50
"""Maximum depth of nested lists and mappings in YAML and JSON files."""
MAX_COLUMNS = 10_000
"""Maximum number of columns of a table of a run."""
_MAX_HEADER_BYTES = 2**20
_LARGEST_INTEGER = 2**63 - 1  # largest integer in a table
_LONGEST_REASON = 500  # characters of a library's message that are shown

# Characters with which a formula can begin. An apostrophe is included so that every quoted cell can be unquoted.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


# Without O_NONBLOCK, opening a named pipe would block until another process opens it for writing. Windows does not have
# this flag, and without O_BINARY it would change line endings.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key for natural order, which ignores case and places 2.jpg before 10.jpg."""
    parts = re.findall(r"[0-9]+|[^0-9]+", str(path))
    return [(0, int(part), part) if part[0].isdigit() else (1, 0, part.casefold()) for part in parts]


def config_directory() -> Path:
    """Return the absolute path to ``conf/``, which is inside the installed package, or next to it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


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
    with _open_regular(path, most_bytes) as file:
        return file.read(most_bytes)


def _open_regular(path: Path, most_bytes: int) -> BinaryIO:
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


def quote_cell(text: str) -> str:
    """Return a text for a CSV file, with an apostrophe in front if a spreadsheet would run it as a formula.

    Example:
        >>> quote_cell("=1+2.jpg"), quote_cell("000001.jpg")
        ("'=1+2.jpg", '000001.jpg')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def unquote_cell(text: str) -> str:
    """Return the text from which :func:`quote_cell` made a cell."""
    return text[1:] if text.startswith(tuple(f"'{start}" for start in _FORMULA)) else text


def write_csv(path: Path, frame: "pd.DataFrame") -> None:
    """Write a table atomically, without its index. Names of columns and texts are quoted; see :func:`quote_cell`.

    Undefined values are empty cells. Bytes in names of files that are not UTF-8 are escaped.
    """
    quoted = frame.copy(deep=False)
    for position, kind in enumerate(frame.dtypes):
        if kind.kind == "O":
            texts = [quote_cell(value) if isinstance(value, str) else value for value in frame.iloc[:, position]]
            quoted.isetitem(position, texts)
    header = [quote_cell(name) if isinstance(name, str) else name for name in frame.columns]
    write_atomically(path, lambda file: quoted.to_csv(file, index=False, header=header, errors="backslashreplace"))


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


_REMEDY = "Leave this run out, or run it again."


def unusable(path: Path, reason: str, remedy: str = _REMEDY) -> UserError:
    """Return an error that explains why a file in a run folder cannot be used."""
    from celeba_lab.console import display_path  # slow import that --help does not need

    # The file itself may be a link, and the message must not name the file to which it leads.
    shown = display_path(path.parent) / path.name
    return UserError(f"{shown} cannot be used: {reason.rstrip('.')}. {remedy}")


@contextmanager
def naming_file(path: Path, remedy: str = _REMEDY) -> Iterator[None]:
    """Raise a ``UserError`` that names ``path`` if the ``with`` block fails to read this file of a run.

    Args:
        path: Path to the file.
        remedy: Advice in complete sentences, which ends the message.

    Raises:
        UserError: The file is missing, or it is not valid JSON, YAML or CSV.
    """
    from omegaconf.errors import OmegaConfBaseException  # slow imports that --help does not need
    from yaml import YAMLError

    try:
        yield
    except OSError as error:
        raise unusable(path, error.strerror or str(error), remedy) from error
    except RecursionError as error:
        raise unusable(path, "it is nested too deeply", remedy) from error
    except MemoryError as error:
        raise unusable(path, "it does not fit into the memory", remedy) from error
    # JSON, pandas and Unicode errors are subclasses of ValueError. Very large numbers raise OverflowError.
    except (ValueError, OverflowError, csv.Error, YAMLError, OmegaConfBaseException) as error:
        reason = " ".join(str(error).split())
        shown = reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]} ..."
        raise unusable(path, shown, remedy) from error


# ------------------------------------------------------------------------------------------------------ files of a run


def _open_in_run(path: Path, most_bytes: int, folder: Path) -> BinaryIO:
    """Open a file of a run. Links that lead out of the run folder are rejected, because reports show their targets.

    Args:
        path: Path to the file.
        most_bytes: Maximum size of the file in bytes.
        folder: The run folder, which may itself be a link.

    Raises:
        OSError: The file cannot be opened, is outside the folder, is not a regular file, or is too large.
    """
    target = Path(os.path.realpath(path))  # Path.resolve fails with other errors if links form a circle.
    if not target.is_relative_to(os.path.realpath(folder)):
        raise OSError(errno.EINVAL, "it is a link that leads out of the run folder", str(path))
    return _open_regular(target, most_bytes)


def read_json(path: Path, most_bytes: int) -> Any:
    """Read a JSON file in a run folder.

    Args:
        path: Path to the file, whose parent is the run folder.
        most_bytes: Maximum size of the file in bytes.

    Raises:
        UserError: The file is missing, too large or not a regular file, leads out of the folder, is not JSON, is
            nested too deeply, or contains an integer of more than 64 bits or text that is not valid Unicode.
    """
    with naming_file(path):
        with _open_in_run(path, most_bytes, path.parent) as file:
            content = json.loads(file.read(most_bytes).decode("utf-8"))
        _check_values(content)
    return content


def load_yaml(path: Path, folder: Path | None = None) -> "DictConfig | ListConfig":
    """Read a YAML file of a run.

    Args:
        path: Path to the file.
        folder: The run folder. Defaults to the folder that contains the file.

    Raises:
        UserError: The file is missing or not a regular file, leads out of the run folder, or is not valid; see
            :func:`check_yaml`.
    """
    from omegaconf import OmegaConf  # slow import that --help does not need

    with naming_file(path):
        with _open_in_run(path, MAX_YAML_BYTES, path.parent if folder is None else folder) as file:
            text = file.read(MAX_YAML_BYTES).decode("utf-8")
        _check_nodes(text)
        loaded = OmegaConf.load(io.StringIO(text))
        _check_values(OmegaConf.to_container(loaded))
    return loaded


def check_yaml(text: str, path: Path, remedy: str = _REMEDY) -> None:
    """Check that a YAML text can be loaded with little time and memory.

    Aliases make it possible to describe billions of values in a few lines, because OmegaConf copies the value of an
    alias. The check reads the text once, without building any values.

    Args:
        text: Content of the file.
        path: Path to the file, for error messages.
        remedy: Advice in complete sentences, which ends an error message.

    Raises:
        UserError: The text is too long, is not YAML, is nested too deeply, or contains too many values.
    """
    with naming_file(path, remedy):
        _check_nodes(text)


@dataclass
class _Node:
    """Anchor of a YAML node, number of values in it, and depth of the nodes in it, with aliases replaced by copies."""

    anchor: str | None
    size: int = 1
    depth: int = 1


def _check_nodes(text: str) -> None:
    import yaml  # slow import that --help does not need

    if len(text) > MAX_YAML_BYTES:
        raise ValueError(f"{len(text):,} characters exceed the limit of {MAX_YAML_BYTES:,}")
    parents: list[_Node] = []
    anchored: dict[str, _Node] = {}
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            parents.append(_Node(event.anchor))
            if len(parents) > MAX_DEPTH:
                raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
            continue
        if isinstance(event, yaml.AliasEvent):
            if any(parent.anchor == event.anchor for parent in parents):
                raise ValueError(f"the alias {event.anchor} contains itself")
            node = anchored.get(event.anchor, _Node(None))  # The loader explains aliases that do not exist.
        elif isinstance(event, yaml.ScalarEvent):
            node = _Node(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            node = parents.pop()
        else:
            continue
        if node.anchor is not None:
            anchored[node.anchor] = node
        if parents:
            _add_child(parents, node)


def _add_child(parents: list[_Node], child: _Node) -> None:
    """Add a node to the innermost of the nodes that contain it."""
    parent = parents[-1]
    parent.size += child.size
    parent.depth = max(parent.depth, 1 + child.depth)
    if parent.size > MAX_NODES:
        raise ValueError(f"it contains more than {MAX_NODES:,} values, where every use of an alias counts as a copy")
    if len(parents) - 1 + parent.depth > MAX_DEPTH + 1:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")


def _check_values(content: Any) -> None:
    """Check that a value that was read from a file can be shown and written to other files."""
    waiting = [(content, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, dict):
            waiting += [(each, depth + 1) for pair in value.items() for each in pair]
        elif isinstance(value, list):
            waiting += [(each, depth + 1) for each in value]
        elif isinstance(value, str):
            value.encode()  # Escapes such as \ud800 are not characters, and cannot be written.
        elif isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
            raise ValueError("it contains an integer of more than 64 bits")


def read_csv(path: Path, most_bytes: int, **options: Any) -> "pd.DataFrame":
    """Read a CSV table of a run.

    Args:
        path: Path to the table, which is in the run folder or in its subfolder ``tables``.
        most_bytes: Maximum size of the file in bytes.
        **options: Keyword arguments for ``pandas.read_csv``.

    Raises:
        UserError: The table is missing, too large or not a regular file, leads out of the run folder, is damaged, or
            has too many columns.
    """
    import pandas as pd  # slow import that --help does not need
    from pandas.errors import ParserWarning

    folder = path.parents[1] if path.parent.name == "tables" else path.parent
    with naming_file(path), _open_in_run(path, most_bytes, folder) as file, warnings.catch_warnings():
        warnings.simplefilter("error", ParserWarning)
        _check_header(file)
        file.seek(0)
        try:
            # Without index_col, surplus cells in the first row would become levels of an index.
            table: pd.DataFrame = pd.read_csv(file, index_col=False, **options)
        except ParserWarning as error:
            raise ValueError("a row has more cells than the header") from error
    return table


def _check_header(file: BinaryIO) -> None:
    """Check the number of columns before pandas parses the table, which takes minutes for very wide tables."""
    rows = (row for row in csv.reader(_first_lines(file)) if any(cell.strip() for cell in row))
    if (count := len(next(rows, []))) > MAX_COLUMNS:
        raise ValueError(f"{count:,} columns exceed the limit of {MAX_COLUMNS:,}")


def _first_lines(file: BinaryIO) -> Iterator[str]:
    left = _MAX_HEADER_BYTES
    while line := file.readline(left + 1):
        left -= len(line)
        if left < 0:
            raise ValueError(f"its header is longer than {_MAX_HEADER_BYTES:,} bytes")
        yield line.decode("utf-8")
