"""Reading one annotation file, in any of its common formats, as a validated table of whole numbers."""

import csv
import gzip
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.errors import ParserWarning

from celeba_lab.errors import UserError, did_you_mean, enumerate_names

MAX_BYTES = 2**29
"""Largest size of a table, uncompressed. The largest real one has 27 MB; a larger file is a mistake or a zip bomb."""

_FORBIDDEN = re.compile(r"[/\\:\x00-\x1f\x7f]")  # in a path out of the image folder, or invalid in some file systems
_AGAIN = "Download the file again or correct it"


@dataclass(frozen=True)
class Table:
    """The N rows of one annotation file, in the order of the file.

    Attributes:
        path: Path of the file, for messages.
        ids: File names of the images, str (N,), without folders and without repetition.
        values: Numbers, (N, number of columns); int8 if the allowed range fits, otherwise int32.
    """

    path: Path
    ids: np.ndarray
    values: np.ndarray

    def place(self, row: int) -> str:
        """Return the place of a row in the file, as ``FILE, line 17 (000016.jpg)``; reads the file again."""
        layout = _read_layout(read_table_bytes(self.path), self.path, None)
        for position, (line, _) in enumerate(_numbered_rows(layout, self.path)):
            if position == row:
                return f"{self.path}, line {line} ({self.ids[row]})"
        raise AssertionError(f"{self.path} changed while it was read")


def read_table(path: Path, columns: Sequence[str], allowed: range) -> Table:
    """Read a table whose rows have an image id followed by whole numbers.

    The fields are separated by commas, or by spaces as in the official files. The content decides whether there is a
    line with the number of rows, and whether the file is gzipped or zipped. A single column of numbers may come without
    a header; several columns must be named in a header, in any order.

    Args:
        path: Path of the file.
        columns: Names of the columns. All of them are required, and no others are allowed.
        allowed: Values that may occur.

    Returns:
        The table, with columns in the order of ``columns``.

    Raises:
        UserError: The file cannot be read or is not such a table; the sentence names the first wrong line and its id.
    """
    layout = _read_layout(read_table_bytes(path), path, columns)
    table = _parse_fast(layout, path, columns, allowed)
    if table is None:  # something is unusual, so the rows are read one by one to accept it or to name its place
        table = _parse_rows(layout, path, columns, allowed)
    if layout.count is not None and layout.count != len(table.ids):
        raise UserError(
            f"The first line of {path} announces {layout.count} rows, but there are {len(table.ids)}. The file is"
            " incomplete or was edited. Download it again or correct that line."
        )
    return table


# ------------------------------------------------------------------------------------------------ from disk to bytes


def read_table_bytes(path: Path) -> bytes:
    """Return the UTF-8 text of a file without a byte order mark; zip and gzip files are uncompressed.

    Raises:
        UserError: The file is unreadable, empty, a web page, not UTF-8 text, or a damaged or ambiguous archive.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES >> 20} MiB, too large for an annotation table.")
        data = path.read_bytes()
        # The content decides, not the name, because Kaggle serves zipped tables under the name of the plain table.
        if data.startswith(b"PK\x03\x04"):
            data = _unzip(data, path)
        elif data.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(data)) as stream:
                data = stream.read(MAX_BYTES + 1)
        elif path.suffix in (".zip", ".gz") and not _is_web_page(data):
            raise UserError(f"{path} is not a {path.suffix[1:]} archive. Download it again.")
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} cannot be read ({error or type(error).__name__}). Download it again.") from error
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{path} is larger than {MAX_BYTES >> 20} MiB when uncompressed, too large for an annotation table."
        )
    data = data.removeprefix(b"\xef\xbb\xbf")
    if _is_web_page(data):
        raise UserError(f"{path} is a web page (HTML), not a table: the download was refused. Download it again.")
    if not data.strip():
        raise UserError(f"{path} is empty. Download it again.")
    if b"\0" in data[:4096]:
        raise UserError(f"{path} is not UTF-8 text. Save it as UTF-8 or download it again.")
    return data if b"\n" in data else data.replace(b"\r", b"\n")  # line ends of old Macs and of some spreadsheets


def _is_web_page(data: bytes) -> bool:
    return data[:1024].lstrip().startswith(b"<")


def _unzip(data: bytes, path: Path) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
        if len(members) != 1:
            named = [m for m in members if Path(m.filename).stem == path.name.split(".")[0]]
            members = named if len(named) == 1 else members
        if len(members) != 1:
            names = enumerate_names(m.filename for m in members) or "no file"
            raise UserError(
                f"{path} must contain exactly one table, but it contains {names}. Unpack the right one next to it."
            )
        with archive.open(members[0]) as stream:
            return stream.read(MAX_BYTES + 1)


# ----------------------------------------------------------------------------------------------------------- layout


@dataclass(frozen=True)
class _Layout:
    """Where the rows start, and how they are written."""

    data: bytes
    offset: int  # position of the first row in bytes
    line: int  # line number of the first row, from 1
    comma: bool  # whether fields are separated by commas, otherwise by spaces or tabs
    columns: tuple[str, ...]  # names of the columns of numbers, in the order of the file
    count: int | None  # number of rows that the first line of an official file announces


def _read_layout(data: bytes, path: Path, columns: Sequence[str] | None) -> _Layout:
    """Find the line with the number of rows, the header and the separator; with ``columns=None``, trust the header."""
    count, offset, line = None, 0, 0
    for raw in io.BytesIO(data):
        line += 1
        text = raw.decode("utf-8", errors="replace").strip()
        if text and count is None and text.isdecimal():
            count = int(text)
        elif text:
            break
        offset += len(raw)
    else:
        raise UserError(f"{path} contains no rows. Download it again.")
    comma = "," in text
    fields = [field.strip() for field in next(csv.reader([text]))] if comma else text.split()
    if len(fields) == 2 and _as_integer(fields[1]) is not None:  # no header, as in the official partition and identity
        return _Layout(data, offset, line, comma, tuple(columns or ("",)), count)
    if columns is not None:
        named = fields if fields[0] in columns else fields[1:]  # the official header has no name for the column of ids
        _check_header(named, columns, f"{path}, line {line}")
        fields = ["image_id", *named]
    return _Layout(data, offset + len(raw), line + 1, comma, tuple(fields[1:]), count)


def _check_header(named: Sequence[str], columns: Sequence[str], where: str) -> None:
    for position, name in enumerate(named):
        if name not in columns:
            hint = did_you_mean(name, columns)
            raise UserError(f"{where}: the header has an unknown column '{name}'. Rename or remove it.{hint}")
        if name in named[:position]:
            raise UserError(f"{where}: the header has the column '{name}' twice. Remove one of the two.")
    missing = [name for name in columns if name not in named]
    if missing:
        raise UserError(f"{where}: the header lacks the column {enumerate_names(missing)}. {_AGAIN}.")


# ---------------------------------------------------------------------------------------------------------- parsing


def _dtype(allowed: range) -> type[np.integer]:
    return np.int8 if allowed[0] >= -128 and allowed[-1] <= 127 else np.int32


def _parse_fast(layout: _Layout, path: Path, columns: Sequence[str], allowed: range) -> Table | None:
    """Read all rows at once with pandas; return None unless every row is certainly valid."""
    if layout.comma and b'"' in layout.data:  # a quoted field may contain a comma
        return None
    stream = io.BytesIO(layout.data)
    stream.seek(layout.offset)
    dtypes: dict[str, type] = {"image_id": str, **dict.fromkeys(layout.columns, _dtype(allowed)), "beyond": str}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)
            frame = pd.read_csv(
                stream,
                sep="," if layout.comma else r"\s+",
                header=None,
                # Without an additional column, pandas silently drops an additional field.
                names=list(dtypes),
                dtype=dtypes,
                index_col=False,
                na_filter=False,  # an empty field is an error here, and "NA" is a valid name
                quoting=csv.QUOTE_NONE,
            )
    except (
        ValueError,
        OverflowError,
        ParserWarning,
    ):  # includes ParserError and UnicodeDecodeError
        return None
    if len(frame) == 0 or (frame["beyond"] != "").any():
        return None
    # A comma after the last field is not visible in the frame.
    if layout.comma and layout.data.count(b",", layout.offset) != len(frame) * len(layout.columns):
        return None
    ids = frame["image_id"].tolist()
    values = np.ascontiguousarray(frame[list(columns)].to_numpy())
    if values.min() < allowed[0] or values.max() > allowed[-1]:
        return None
    if len(set(ids)) != len(ids) or any(_id_fault(name) for name in ids):
        return None
    return Table(path, np.array(ids), values)


def _parse_rows(layout: _Layout, path: Path, columns: Sequence[str], allowed: range) -> Table:
    """Read row by row; the error for an invalid row names its place."""
    order = [layout.columns.index(name) for name in columns]
    lines: dict[str, int] = {}  # id -> its line
    values: list[list[int]] = []
    for line, fields in _numbered_rows(layout, path):
        where = f"{path}, line {line} ({fields[0]})"
        if len(fields) != 1 + len(columns):
            kind = "has too few fields" if len(fields) < 1 + len(columns) else "has too many fields"
            raise UserError(f"{where} {kind}: {len(fields)} fields instead of {1 + len(columns)}. {_AGAIN}.")
        fault = _id_fault(fields[0])
        if fault:
            raise UserError(f"{path}, line {line}: the image id '{fields[0]}' {fault}. {_AGAIN}.")
        if fields[0] in lines:
            raise UserError(f"{where} repeats the image id of line {lines[fields[0]]}. Remove one of the two rows.")
        lines[fields[0]] = line
        values.append(_parse_values([fields[1 + i] for i in order], columns, allowed, where))
    if not values:
        raise UserError(f"{path} has a header but no rows. Download it again.")
    return Table(path, np.array(list(lines)), np.array(values, dtype=_dtype(allowed)))


def _parse_values(texts: Sequence[str], columns: Sequence[str], allowed: range, where: str) -> list[int]:
    values = []
    for name, text in zip(columns, texts, strict=True):
        value = _as_integer(text)
        if value is None or value not in allowed:
            found = f"is '{text}'" if text else "is empty"
            choices = f"one of {', '.join(map(str, allowed))}" if len(allowed) <= 3 else "a whole number"
            raise UserError(f"{where}: '{name}' {found}, but must be {choices}. {_AGAIN}.")
        values.append(value)
    return values


def _numbered_rows(layout: _Layout, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with its line number as an editor shows it; blank lines are skipped."""
    try:
        text = layout.data[layout.offset :].decode("utf-8")
    except UnicodeDecodeError as error:
        line = layout.line + layout.data.count(b"\n", layout.offset, layout.offset + error.start)
        raise UserError(f"{path}, line {line} is not UTF-8 text. {_AGAIN}.") from error
    for line, content in enumerate(io.StringIO(text, newline=None), start=layout.line):
        if not content.strip():
            continue
        try:
            fields = next(csv.reader([content], strict=True)) if layout.comma else content.split()
        except csv.Error as error:
            raise UserError(f"{path}, line {line} has unbalanced quotes. {_AGAIN}.") from error
        yield line, [field.strip() for field in fields]


def _as_integer(text: str) -> int | None:
    """Return the whole number that a text represents, also as ``1.0`` or ``True``; None for other texts."""
    if text.lower() in ("true", "false"):
        return int(text.lower() == "true")
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _id_fault(name: str) -> str | None:
    if not name:
        return "is empty"
    if _FORBIDDEN.search(name) or not name.strip(".") or name != name.strip():
        return "is not a plain file name"
    return None
