"""Functions that read and validate an annotation file in any of its common formats."""

import csv
import gzip
import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.errors import ParserWarning

from celeba_lab.errors import UserError, did_you_mean, enumerate_names
from celeba_lab.files import read_file

MAX_BYTES = 2**29
"""Maximum size of an uncompressed table in bytes. The size of CelebA's largest table is 27 MB."""
# Maximum number of rows. CelebA has 202,599 images.
_MOST_ROWS = 5_000_000
# Lines of this many bytes may be rejected, and lines of twice as many always are. CelebA's longest line has 472 bytes.
_LONG_LINE = 2**15

# A file name with these characters could refer to a file outside the image folder, or be invalid on some file systems.
_FORBIDDEN = re.compile(r"[/\\:\x00-\x1f\x7f]")
_LONGEST_ID = 255  # longest file name of common file systems, in bytes
_LONGEST_COUNT = 12  # digits of a row count; Python does not convert numbers with thousands of digits
_AGAIN = "Download the file again or correct it"


@dataclass(frozen=True)
class Table:
    """The N rows of an annotation file, in file order.

    Attributes:
        path: Path to the file, for error messages.
        ids: Unique file names of the images, without folders, str (N,).
        values: Values of the K columns, (N, K). The dtype is int8 if it covers the allowed range, otherwise int32.

    Example:
        >>> table = Table(Path("list_attr_celeba.csv"), np.array(["1.jpg", "2.jpg"]), np.array([[1], [-1]], np.int8))
        >>> len(table.ids), table.values.dtype
        (2, dtype('int8'))
    """

    path: Path
    ids: np.ndarray
    values: np.ndarray

    def place(self, row: int) -> str:
        """Read the file again, and return the location of a row, such as ``FILE, line 17 (000016.jpg)``."""
        layout = _read_layout(read_table_bytes(self.path), self.path, None)
        for position, (line, _) in enumerate(_numbered_rows(layout, self.path)):
            if position == row:
                return f"{self.path}, line {line} ({self.ids[row]})"
        raise AssertionError(f"{self.path} changed while it was being read")


def read_table(path: Path, columns: Sequence[str], allowed: range) -> Table:
    """Read a table in which each row contains an image id and one or more integers.

    Fields are separated by commas, or by spaces as in the official files. Compression (gzip or zip) and a row count in
    the first line are detected from the content. A table with a single column of integers does not need a header.
    Otherwise, the header must name all columns, in any order.

    Args:
        path: Path to the file.
        columns: Names of the columns. All these columns are required, and no other columns are allowed.
        allowed: Range of allowed values.

    Returns:
        The table, with columns in the order of ``columns``.

    Raises:
        UserError: The file cannot be read or is not a valid table. The message names the first invalid line and
            its image id.
    """
    layout = _read_layout(read_table_bytes(path), path, columns)
    table = _parse_fast(layout, path, columns, allowed)
    if table is None:  # the slow parser accepts more formats, and locates errors
        table = _parse_rows(layout, path, columns, allowed)
    if layout.count is not None and layout.count != len(table.ids):
        raise UserError(
            f"The first line of {path} specifies {layout.count} rows, but {len(table.ids)} were found. The file is"
            " incomplete or was edited. Download it again or correct that line."
        )
    return table


# ------------------------------------------------------------------------------------------------ from disk to bytes


def read_table_bytes(path: Path) -> bytes:
    """Return the UTF-8 text of a file, decompressed if necessary and without a byte order mark.

    Raises:
        UserError: The file cannot be read, is empty, is a web page, is not UTF-8 text, or is a damaged or ambiguous
            archive.
    """
    try:
        data = read_file(path, MAX_BYTES)
        # Archives are detected by their content, because Kaggle serves zipped tables under the names of plain tables.
        if data.startswith(b"PK\x03\x04"):
            data = _unzip(data, path)
        elif data.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(data)) as stream:
                data = stream.read(MAX_BYTES + 1)
        elif path.suffix in (".zip", ".gz") and not _is_web_page(data):
            raise UserError(f"{path} is not a {path.suffix[1:]} archive. Download it again.")
    except UserError:
        raise
    except Exception as error:  # A damaged archive can make zipfile and gzip raise many types of exceptions.
        raise UserError(f"{path} cannot be read ({error or type(error).__name__}). Download it again.") from error
    if len(data) > MAX_BYTES:
        raise UserError(
            f"{path} is larger than {MAX_BYTES >> 20} MiB when uncompressed, which is too large for an annotation"
            " table."
        )
    data = data.removeprefix(b"\xef\xbb\xbf")
    if _is_web_page(data):
        raise UserError(f"{path} is a web page (HTML), not a table. The download failed. Download it again.")
    if not data.strip():
        raise UserError(f"{path} is empty. Download it again.")
    if b"\0" in data[:4096]:
        raise UserError(f"{path} is not UTF-8 text. Save it as UTF-8 or download it again.")
    if b"\n" not in data:  # line endings from old Macs and some spreadsheets
        data = data.replace(b"\r", b"\n")
    _check_extent(data, path)
    return data


def _check_extent(data: bytes, path: Path) -> None:
    """Check the number and the length of the lines, because a parsed table takes many times the memory of its text."""
    if max(data.count(b"\n"), data.count(b"\r")) > _MOST_ROWS:
        raise UserError(f"{path} has more than {_MOST_ROWS:,} rows, which is too many for an annotation table.")
    for start in range(0, len(data) - _LONG_LINE + 1, _LONG_LINE):
        part = data[start : start + _LONG_LINE]
        if b"\n" not in part and b"\r" not in part:
            line = data.count(b"\n", 0, start) + 1
            raise UserError(
                f"{path}, line {line} is longer than {_LONG_LINE:,} bytes, which is too long for a row of an annotation"
                " table."
            )


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
                f"{path} must contain exactly one table, but it contains {names}."
                " Unpack the correct table into the same folder."
            )
        with archive.open(members[0]) as stream:
            return stream.read(MAX_BYTES + 1)


# ----------------------------------------------------------------------------------------------------------- layout


@dataclass(frozen=True)
class _Layout:
    """Position and format of the rows in a file."""

    data: bytes
    offset: int  # byte position of the first row
    line: int  # line number of the first row, counted from 1
    comma: bool  # true if fields are separated by commas, false if they are separated by spaces or tabs
    columns: tuple[str, ...]  # names of the numeric columns, in the order of the file
    count: int | None  # number of rows given in the first line of an official file


def _read_layout(data: bytes, path: Path, columns: Sequence[str] | None) -> _Layout:
    """Detect the row count, header and separator. If ``columns`` is None, do not validate the header."""
    count, offset, line = None, 0, 0
    for raw in io.BytesIO(data):
        line += 1
        try:
            text = raw.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}, line {line} is not UTF-8 text. {_AGAIN}.") from error
        if text and count is None and text.isdecimal():
            if len(text) > _LONGEST_COUNT:
                raise UserError(f"{path}, line {line} is a number of {len(text):,} digits, not a row count. {_AGAIN}.")
            count = int(text)
        elif text:
            break
        offset += len(raw)
    else:
        raise UserError(f"{path} contains no rows. Download it again.")
    comma = "," in text
    try:
        fields = [field.strip() for field in next(csv.reader([text], strict=True))] if comma else text.split()
    except csv.Error as error:
        raise UserError(f"{path}, line {line}: the header cannot be read ({error}). {_AGAIN}.") from error
    # The official partition and identity tables do not have a header.
    if len(fields) == 2 and _as_integer(fields[1]) is not None:
        return _Layout(data, offset, line, comma, tuple(columns or ("",)), count)
    if columns is not None:
        named = fields if fields[0] in columns else fields[1:]  # the official header does not name the id column
        _check_header(named, columns, f"{path}, line {line}")
        fields = ["image_id", *named]
    return _Layout(data, offset + len(raw), line + 1, comma, tuple(fields[1:]), count)


def _check_header(named: Sequence[str], columns: Sequence[str], where: str) -> None:
    for position, name in enumerate(named):
        if name not in columns:
            hint = did_you_mean(name, columns)
            raise UserError(f"{where}: the header contains an unknown column '{name}'. Rename or remove it.{hint}")
        if name in named[:position]:
            raise UserError(f"{where}: the header contains the column '{name}' twice. Remove one of the two.")
    missing = [name for name in columns if name not in named]
    if missing:
        raise UserError(f"{where}: columns missing from the header: {enumerate_names(missing)}. {_AGAIN}.")


# ---------------------------------------------------------------------------------------------------------- parsing


def _dtype(allowed: range) -> type[np.integer]:
    return np.int8 if allowed[0] >= -128 and allowed[-1] <= 127 else np.int32


def _parse_fast(layout: _Layout, path: Path, columns: Sequence[str], allowed: range) -> Table | None:
    """Parse all rows at once with pandas. Return None if any row might be invalid."""
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
                # pandas would silently drop surplus fields if there were no additional column for them.
                names=list(dtypes),
                dtype=dtypes,
                index_col=False,
                na_filter=False,  # an empty field is an error here, and "NA" is a valid name
                quoting=csv.QUOTE_NONE,
            )
    except (ValueError, OverflowError, ParserWarning):  # includes ParserError and UnicodeDecodeError
        return None
    if len(frame) == 0 or (frame["beyond"] != "").any():
        return None
    # The data frame does not reveal trailing commas, so the commas in the file are counted.
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
    """Parse the rows one by one. The error for an invalid row names the line and the image id."""
    order = [layout.columns.index(name) for name in columns]
    lines: dict[str, int] = {}  # line number of each id
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
    """Yield the line number and the fields of each row, skipping blank lines."""
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
    """Parse an integer, which may be written as ``1``, ``1.0`` or ``True``. Return None for any other text."""
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
    if len(name.encode()) > _LONGEST_ID:
        return f"is longer than {_LONGEST_ID} bytes"
    if _FORBIDDEN.search(name) or not name.strip(".") or name != name.strip():
        return "is not a plain file name"
    return None
