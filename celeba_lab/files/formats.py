"""JSON, YAML and CSV files, which are read with limits because they may come from other people."""

import csv
import errno
import io
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from celeba_lab.errors import UserError
from celeba_lab.files.storage import open_regular, write_atomically

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig, ListConfig

MAX_YAML_BYTES = 2**20
"""Maximum size of a YAML file in bytes. The settings of a run take about 5 KB."""
MAX_NODES = 10_000
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
    return open_regular(target, most_bytes)


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
