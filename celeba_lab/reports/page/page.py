"""The HTML page for a report: a self-contained file with tables and pictures."""

import base64
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from celeba_lab import __version__
from celeba_lab.errors import format_value
from celeba_lab.files import write_atomically
from celeba_lab.reports.page.pictures import embed

_FILTERED = 12  # Tables with more rows than this have a filter box.
_PRINTED = 60  # Maximum number of rows per table when the page is printed.


@dataclass(frozen=True)
class PageTable:
    """A table on the page.

    Attributes:
        caption: Caption above the table.
        frame: Contents of the table. The first column contains names and stays in place while the other columns scroll.
        file: Path to the full table, relative to the run folder, such as ``tables/attributes_test.csv``.
        rows: Maximum number of rows to show. If 0, only the caption is shown. By default (None), all rows are shown.
        settings: Names of columns with settings, whose numbers are shown as they would be typed.

    Example:
        >>> table = PageTable("Scores", pd.DataFrame({"attribute": ["Smiling"], "accuracy": [0.93]}), rows=10)
        >>> len(table.frame)
        1
    """

    caption: str
    frame: pd.DataFrame
    file: str | None = None
    rows: int | None = None
    settings: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A picture on the page.

    Attributes:
        path: Path to the PNG file. The picture is embedded, so the finished page does not need the file.
        caption: Text below the picture.
        alt: Alternative text for readers who cannot see the picture.
    """

    path: Path
    caption: str
    alt: str


@dataclass(frozen=True)
class Section:
    """A section of the page, with an entry in the table of contents.

    Attributes:
        title: Section title. Like all text on the page, the title is plain text, not HTML.
        text: Text of the section, with blank lines between paragraphs.
        tables: Tables below the text.
        pictures: Pictures below the tables.

    Example:
        >>> Section("Training", "The reported checkpoint is from epoch 4.").pictures
        ()
    """

    title: str
    text: str
    tables: Sequence[PageTable] = ()
    pictures: Sequence[Picture] = ()


def write_page(
    path: Path, title: str, facts: Mapping[str, str], sections: Sequence[Section], warning: str | None = None
) -> Path:
    """Write the page rendered by :func:`render_page`, and return the path to the file."""
    page = render_page(title, facts, sections, warning)
    write_atomically(path, lambda file: file.write(page.encode()))
    return path


def render_page(title: str, facts: Mapping[str, str], sections: Sequence[Section], warning: str | None = None) -> str:
    """Return the page as HTML.

    Args:
        title: Page title.
        facts: Facts about the run, as a mapping from names to strings.
        sections: Sections of the page, in reading order.
        warning: Warning to show above all results. If None, no warning is shown.

    Raises:
        FileNotFoundError: A picture file does not exist.
    """
    # Names of attributes, files and runs are untrusted, so all text is escaped.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "sha256": _sha256,
        "paragraphs": _paragraphs,
        "breakable": _breakable,
        "grid": _grid,
        "embedded": embed,
    }
    return environment.get_template("page.html.jinja").render(
        title=title, facts=facts, sections=sections, warning=warning, printed=_PRINTED, version=__version__
    )


def _sha256(text: str) -> str:
    """Return the hash that allows an inline style or script under the page's Content-Security-Policy."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _paragraphs(text: str) -> list[str]:
    return [paragraph for paragraph in re.split(r"\n\s*\n", text.strip()) if paragraph]


def _breakable(name: str) -> Markup:
    """Allow a line break after each underscore in a long name."""
    return Markup("_<wbr>").join(name.split("_"))


class _Cell(NamedTuple):
    text: str | None  # None if undefined
    value: str = ""  # the number at full precision, used for sorting


class _Heading(NamedTuple):
    text: str
    is_number: bool


class _Grid(NamedTuple):
    extent: str
    headings: list[_Heading]
    rows: list[tuple[_Cell, ...]]
    has_filter: bool
    is_cut_in_print: bool


def _grid(table: PageTable) -> _Grid:
    """Prepare a table for the template."""
    shown = table.frame if table.rows is None else table.frame.head(table.rows)
    headings, columns = [], []
    for k, name in enumerate(map(str, shown.columns)):
        # The format depends on the whole column, so that a row looks the same regardless of the number of rows shown.
        is_number, write = _writer(table.frame.iloc[:, k].infer_objects(), name in table.settings)
        headings.append(_Heading(name, is_number))
        columns.append([_Cell(None) if pd.isna(value) else write(value) for value in shown.iloc[:, k].to_numpy()])
    return _Grid(
        extent=_extent(len(shown), len(table.frame)),
        headings=headings,
        rows=list(zip(*columns, strict=True)),
        has_filter=len(shown) > _FILTERED,
        is_cut_in_print=table.file is not None and len(shown) > _PRINTED,
    )


def _extent(shown: int, total: int) -> str:
    rows = f"{total:,} row{'' if total == 1 else 's'}"
    return f"first {shown:,} of {rows}" if 0 < shown < total else rows


def _writer(column: pd.Series, as_typed: bool) -> tuple[bool, Callable[[Any], _Cell]]:
    """Return whether a column is numeric, and a function that formats its defined values."""
    if pd.api.types.is_bool_dtype(column):
        return False, lambda value: _Cell("yes" if value else "no")
    if not pd.api.types.is_numeric_dtype(column):
        return False, lambda value: _Cell(str(value))
    digits = _digits(column)

    def write(value: Any) -> _Cell:
        exact = str(value).replace("inf", "Infinity")  # JavaScript's spelling
        return _Cell(format_value(value) if as_typed else _number(float(value), digits), exact)

    return True, write


def _digits(column: pd.Series) -> int:
    """Return the number of decimal places for a column.

    Whole numbers have no decimal places, even if the column is stored as floats because of missing values. A float
    column that contains only zeros and ones is treated as a column of scores and keeps its decimal places.
    """
    if pd.api.types.is_integer_dtype(column):
        return 0
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    sizes = np.abs(values[np.isfinite(values)])
    largest = sizes.max(initial=0)
    if largest > 1 and np.array_equal(sizes, np.rint(sizes)):
        return 0
    return 4 if largest < 100 else 2


def _number(value: float, digits: int) -> str:
    if math.isinf(value):
        text = "∞" if value > 0 else "-∞"
    elif digits and (0 < abs(value) < 0.5 * 10**-digits or abs(value) >= 1e9):  # avoid 0.0000 and very long numbers
        text = f"{value:.1e}"
    else:
        text = f"{value + 0.0:,.{digits}f}"  # adding 0.0 turns -0.0 into 0.0
    return text.replace("-", "−")
