"""Heat maps: one colour per cell of a table, on a scale that suits its numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.style import (
    BLUE,
    GREY,
    LIGHT_GREY,
    LINE_HEIGHT,
    SMALL_SIZE,
    STYLE,
    VERMILLION,
    finish_axes,
    ink,
    new_figure,
    text_width,
    wrap,
)

POSITIVE, NEGATIVE = VERMILLION, BLUE
"""Of signed values in bars, as warm and cold in the diverging heat maps; of ratios, above and below 1."""

Scale = Literal["sequential", "diverging", "ratio"]

_COLORMAPS = {"sequential": "viridis", "diverging": "RdBu_r", "ratio": "RdBu_r"}
_ANNOTATED = 200  # a table of more cells is read by its colours
_NAME_WIDTH = 2.6  # inches, above which a name is wrapped


@matplotlib.rc_context(STYLE)
def matrix_heatmap(
    values: ArrayLike,
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    label: str,
    title: str,
    note: str = "",
    scale: Scale = "sequential",
    limits: tuple[float, float] | None = None,
    annotate: str | None = None,
    row_title: str = "",
    column_title: str = "",
) -> Figure:
    """A matrix as coloured cells, with every row and column named.

    NaN is grey and called "undefined" in a legend. An infinite value has the colour of the end of the scale.

    Args:
        values: (R, C).
        row_names: The R rows, from the top.
        column_names: The C columns, from the left.
        label: What the values are, with their unit; beside the colour bar.
        title: Shown above the matrix.
        note: A second paragraph of the title.
        scale: "sequential" for magnitudes such as probabilities; "diverging" for values around 0, such as correlations
            or z-scores; "ratio" for values around 1, such as odds ratios or lift, whose colours are logarithmic: 1/4
            is as strong as 4.
        limits: The values of the first and last colour; the colour bar points beyond them where there are values.
            By default they cover the values but for a few outliers. On a scale with a centre they lie symmetrically
            around it, and where rows and columns have the same names, the diagonal does not count.
        annotate: Format of the values written in the cells, for example ".2f"; "" for none. By default a matrix of up
            to 200 cells is annotated.
        row_title: What the rows are; beside their names.
        column_title: What the columns are; below their names.

    Raises:
        ValueError: ``values`` is not (R, C) or empty, a ratio is negative, ``scale`` is unknown, or ``limits`` are not
            two finite ascending numbers (for ratios: positive).
    """
    table = check_matrix(values, row_names, column_names)
    measured = table.copy()
    if list(row_names) == list(column_names) and scale != "sequential" and len(row_names) > 1:
        np.fill_diagonal(measured, np.nan)
    colours = _colours(table, measured, scale, limits)
    texts = _cell_texts(table, annotate, scale)
    small = table.size > _ANNOTATED
    layout = _lay_out(row_names, column_names, texts, size=7.0 if small else SMALL_SIZE)
    return _draw(colours, texts, layout, label, title, note, names=(row_title, column_title))


@matplotlib.rc_context(STYLE)
def cluster_profile(
    means: ArrayLike, attributes: Sequence[str], clusters: Sequence[str], *, label: str, title: str, note: str = ""
) -> Figure:
    """What is typical of every cluster: a column each, and a row for every attribute, with the values written.

    An attribute stands with the others that are strongest in the same cluster, the strongest on top, and lines part
    these blocks. So the names beside a block describe its cluster. NaN is grey, as in :func:`matrix_heatmap`.

    Args:
        means: (C, K), relative to what is usual (which is 0), for example a mean of z-scores.
        attributes: The K attributes.
        clusters: The C clusters, described in a few words; wrapped.
        label: What the values are, with their unit; beside the colour bar.
        title: Shown above the matrix.
        note: A second paragraph of the title.

    Raises:
        ValueError: ``means`` is not (C, K) or empty.
    """
    table = check_matrix(means, clusters, attributes).T
    home = np.array([_strongest(row) for row in table])
    peak = np.array([row[k] if k < len(clusters) else np.nan for row, k in zip(table, home, strict=True)])
    order = np.lexsort((-peak, home))
    table, home = table[order], home[order]
    texts = _cell_texts(table, ".1f", "diverging")
    layout = _lay_out([attributes[k] for k in order], clusters, texts, size=SMALL_SIZE, cell_width=1.15, on_top=True)
    figure = _draw(_colours(table, table, "diverging", None), texts, layout, label, title, note)
    for row in np.flatnonzero(np.diff(home)):
        figure.axes[0].axhline(row + 0.5, color="black", linewidth=1.2)
    return figure


def check_matrix(values: ArrayLike, row_names: Sequence[str], column_names: Sequence[str]) -> NDArray[np.floating]:
    """The matrix as floats, (R, C).

    Raises:
        ValueError: Its shape is not that of the names, or it is empty.
    """
    table = np.array(values, dtype=float)
    if table.shape != (len(row_names), len(column_names)) or not table.size:
        raise ValueError(
            "A matrix must be (R, C), not empty, with a name for each row and each column: "
            f"got {table.shape}, {len(row_names)} row names and {len(column_names)} column names."
        )
    return table


def value_text(value: float, form: str) -> str:
    """A number as it is written in a figure: a true minus, no "-0.0", a sign for infinity."""
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = format(value, form)
    # What was rounded to zero has no sign.
    return text.replace("-", "−") if re.search("[1-9]", text) else text.removeprefix("-")


def value_format(values: NDArray[np.floating]) -> str:
    """A format for numbers of one table: no decimals for whole numbers, and fewer the larger the largest is."""
    finite = np.abs(values[np.isfinite(values)])
    largest = finite.max(initial=0)
    if largest >= 1000 or (largest > 1 and (finite == np.round(finite)).all()):
        return ",.0f"
    return ".1f" if largest >= 100 else ".2f" if largest >= 0.1 else ".3f"


def ratio_text(value: float) -> str:
    """An odds ratio or another ratio (0 or more) as a short decimal number."""
    if np.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    if not 1e-3 <= value < 1e6:
        return f"{value:.0e}".replace("-", "−")
    if value >= 9.95:
        return f"{value:,.0f}"
    if value >= 0.0995:
        return f"{value:.1f}" if value >= 1.995 else f"{value:.2f}"
    return f"{value:.3f}"


def ratio_ticks(low: float, high: float, most: int = 7) -> tuple[list[float], list[str]]:
    """Ticks of a logarithmic axis of ratios, as base 2 logarithms, and their labels: 1/8, 1/2, 1, 2, 8.

    Args:
        low: Base 2 logarithm of the lowest ratio.
        high: Base 2 logarithm of the highest ratio.
        most: How many ticks fit.
    """
    step = 1
    while np.floor(high / step) - np.ceil(low / step) + 1 > most:
        step += 1
    ticks = [float(step * k) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]
    if len(ticks) < 3:  # hardly more than a factor of two
        ticks = sorted({low, high, *(tick for tick in ticks if low + 0.1 < tick < high - 0.1)})
    return ticks, [_ratio_label(tick) for tick in ticks]


def _ratio_label(exponent: float) -> str:
    if exponent != round(exponent):
        return f"{2**exponent:.3g}"
    if abs(exponent) > 16:
        return f"{2.0**exponent:.0e}".replace("-", "−")
    return f"{2 ** int(exponent):,}" if exponent >= 0 else f"1/{2 ** int(-exponent):,}"


@dataclass(frozen=True)
class _Colours:
    """The values as they are coloured; those of ratios are base 2 logarithms."""

    values: NDArray[np.floating]
    map: Colormap
    low: float
    high: float
    ratio: bool

    @property
    def norm(self) -> Normalize:
        return Normalize(self.low, self.high)

    def rgb(self) -> NDArray[np.floating]:
        """The colours of the cells, (R, C, 3) in [0, 1]."""
        # Left to itself, imshow would leave out infinite values.
        undefined = np.isnan(self.values)
        clipped = np.clip(np.where(undefined, self.low, self.values), self.low, self.high)
        colours = self.map(self.norm(clipped))[..., :3]
        colours[undefined] = to_rgb(LIGHT_GREY)
        return colours

    def extend(self) -> Literal["neither", "min", "max", "both"]:
        """Where there are values beyond the limits."""
        below, above = bool((self.values < self.low).any()), bool((self.values > self.high).any())
        if below and above:
            return "both"
        return "min" if below else "max" if above else "neither"


def _colours(
    table: NDArray[np.floating], measured: NDArray[np.floating], scale: Scale, limits: tuple[float, float] | None
) -> _Colours:
    """Choose the colours of ``table``; without ``limits`` those of ``measured`` (NaN does not count)."""
    if scale not in _COLORMAPS:
        raise ValueError(f"A scale is {', '.join(_COLORMAPS)}: got {scale!r}.")
    ratio = scale == "ratio"
    if ratio and (table < 0).any():
        raise ValueError(f"A ratio cannot be negative: got {np.nanmin(table)} (logarithms, or a correlation?).")
    if limits is not None and not (np.isfinite(limits).all() and limits[0] < limits[1]):
        raise ValueError(f"Limits are two finite numbers, the lower first: got {limits}.")
    if limits is not None and ratio and limits[0] <= 0:
        raise ValueError(f"The limits of ratios lie above 0: got {limits}.")
    if ratio:
        with np.errstate(divide="ignore"):
            table, measured = np.log2(table), np.log2(measured)
        limits = None if limits is None else (float(np.log2(limits[0])), float(np.log2(limits[1])))
    low, high = limits or _limits(measured, scale)
    colormap = matplotlib.colormaps[_COLORMAPS[scale]]
    if scale != "sequential":
        colormap = _centred(colormap, low, high)
    return _Colours(table, colormap, low, high, ratio)


def _limits(measured: NDArray[np.floating], scale: Scale) -> tuple[float, float]:
    if scale == "sequential":
        low, high = -_reach(-measured[measured < 0]), _reach(measured[measured > 0])
        return (low, high) if low < high else (0.0, 1.0)
    reach = _reach(np.abs(measured)) or 1.0
    if scale == "ratio":
        reach = max(reach, 1.0)  # between 1/2 and 2 all ratios are weak, and should look so
    return -reach, reach


def _reach(magnitudes: NDArray[np.floating]) -> float:
    """The largest of finite magnitudes, or, where a few outliers are far above the others, the 98th percentile."""
    finite = magnitudes[np.isfinite(magnitudes)]
    if not finite.size:
        return 0.0
    usual, largest = float(np.percentile(finite, 98)), float(finite.max())
    return usual if 0 < 1.5 * usual < largest else largest


def _centred(colormap: Colormap, low: float, high: float) -> Colormap:
    """The colours of ``low`` to ``high`` if 0 has the middle one and both sides become stronger at the same pace."""
    reach = max(abs(low), abs(high))
    return ListedColormap(colormap(0.5 + 0.5 * np.linspace(low, high, 256) / reach))


def _cell_texts(table: NDArray[np.floating], annotate: str | None, scale: Scale) -> list[list[str]]:
    """What is written in each cell, or no rows for nothing."""
    if annotate == "" or (annotate is None and table.size > _ANNOTATED):
        return []
    if annotate is None and scale == "ratio":
        return [["" if np.isnan(value) else ratio_text(value) for value in row] for row in table]
    form = value_format(table) if annotate is None else annotate
    return [["" if np.isnan(value) else value_text(value, form) for value in row] for row in table]


def _strongest(row: NDArray[np.floating]) -> int:
    """The column of the largest value; one more than the last where all are undefined."""
    return len(row) if np.isnan(row).all() else int(np.nanargmax(row))


class _Layout(NamedTuple):
    """Texts and sizes (inches) of a matrix; ``size`` is the font size (points) in the cells."""

    rows: list[str]
    columns: list[str]
    cell_width: float
    cell_height: float
    names_width: float
    names_height: float
    rotated: bool
    on_top: bool
    size: float

    @property
    def width(self) -> float:
        return self.cell_width * len(self.columns)

    @property
    def height(self) -> float:
        return self.cell_height * len(self.rows)


def _lay_out(
    row_names: Sequence[str],
    column_names: Sequence[str],
    texts: list[list[str]],
    *,
    size: float,
    cell_width: float = 0.0,
    on_top: bool = False,
) -> _Layout:
    """Give a cell the room that its text and its names need; ``cell_width`` is the least width."""
    line = SMALL_SIZE * LINE_HEIGHT / 72
    side = min(0.5, max(0.25, 10 / max(len(row_names), len(column_names))))
    rows = [wrap(name, _NAME_WIDTH * 72, SMALL_SIZE) for name in row_names]
    longest = max((text_width(text, size) / 72 for row in texts for text in row), default=0)
    cell_width = max(cell_width, side, longest + 0.1)
    cell_height = max(0.26 if texts else side, line * max(name.count("\n") + 1 for name in rows))
    names_width = max(text_width(part, SMALL_SIZE) for name in rows for part in name.split("\n")) / 72
    # A figure has room for its title and its colour bar, so a few columns share it.
    cell_width = max(cell_width, min(1.6, 3.0 / len(column_names)))
    columns = [wrap(name, 0.94 * cell_width * 72, SMALL_SIZE) for name in column_names]
    rotated = not on_top and not all(_wraps_well(name, cell_width) for name in column_names)
    if rotated:
        columns = [wrap(name, _NAME_WIDTH * 72, SMALL_SIZE) for name in column_names]
        cell_width = max(cell_width, line * max(name.count("\n") + 1 for name in columns))
        names_height = max(text_width(part, SMALL_SIZE) for name in columns for part in name.split("\n")) / 72
    else:
        names_height = line * max(name.count("\n") + 1 for name in columns)
    return _Layout(rows, columns, cell_width, cell_height, names_width, names_height, rotated, on_top, size)


def _wraps_well(name: str, width: float) -> bool:
    """Whether ``name`` fits into ``width`` inches on three lines without a break inside a word."""
    words = re.findall(r"[^\s_/\\-]+[_/\\-]?", name)
    fits = all(text_width(word, SMALL_SIZE) <= 0.9 * width * 72 for word in words)
    return fits and wrap(name, 0.94 * width * 72, SMALL_SIZE).count("\n") < 3


def _draw(
    colours: _Colours,
    texts: list[list[str]],
    layout: _Layout,
    label: str,
    title: str,
    note: str,
    names: tuple[str, str] = ("", ""),
) -> Figure:
    """Draw the matrix into its first axes; ``names`` say what the rows and the columns are."""
    upright = layout.height > 1.8  # else the colour bar lies below
    undefined = bool(np.isnan(colours.values).any())
    width = layout.width + layout.names_width + 0.35 + 0.25 * bool(names[0]) + (1.0 if upright else 0.0)
    height = layout.height + layout.names_height + 0.35 + 0.25 * bool(names[1]) + (0.0 if upright else 0.95)
    figure = new_figure(max(width, 4.5), height, title, note)
    ax = figure.add_subplot()
    rgb = colours.rgb()
    ax.imshow(rgb, aspect="auto", interpolation="nearest")
    for row, column in np.ndindex(*rgb.shape[:2] if texts else (0, 0)):
        colour = ink(rgb[row, column])
        ax.text(column, row, texts[row][column], ha="center", va="center", size=layout.size, color=colour)
    _name_cells(ax, layout)
    ax.set_ylabel(names[0], parse_math=False)
    ax.set_xlabel(names[1], parse_math=False)
    _draw_bar(figure, colours, label, layout, upright=upright)
    if undefined:
        # In the corner that the names of the rows and of the columns leave free.
        corner, place = ("lower right", (0, 1)) if layout.on_top else ("upper right", (0, 0))
        grey = Patch(facecolor=LIGHT_GREY, edgecolor=GREY, linewidth=0.5, label="undefined")
        look: dict[str, Any] = {"loc": corner, "bbox_to_anchor": place, "borderpad": 0.1, "handlelength": 1.2}
        ax.legend(handles=[grey], fontsize=SMALL_SIZE, **look)
    return figure


def _draw_bar(figure: Figure, colours: _Colours, label: str, layout: _Layout, *, upright: bool) -> None:
    along = layout.height if upright else layout.width
    across = figure.get_size_inches()[0 if upright else 1]
    length = min(5.0, along)  # inches; on a large figure a bar from end to end would be longer than it is useful
    bar = figure.colorbar(
        ScalarMappable(colours.norm, colours.map),
        ax=figure.axes[0],
        extend=colours.extend(),
        location="right" if upright else "bottom",
        shrink=length / along,
        aspect=length / 0.18,
        fraction=min(0.4, 0.5 / across),
        pad=(0.15 if upright else 0.25) / across,
    )
    bar.set_label(wrap(label, along * 72, 10.5), parse_math=False)
    if colours.ratio:
        ticks, labels = ratio_ticks(colours.low, colours.high)
        bar.set_ticks(ticks, labels=labels)
    elif colours.high >= 1000:
        bar.formatter = FuncFormatter(lambda value, _: value_text(value, ",.0f"))
    finish_axes(bar.ax, tick_size=SMALL_SIZE, grid=False)


def _name_cells(ax: Axes, layout: _Layout) -> None:
    look: dict[str, Any] = {"parse_math": False, "linespacing": 1.1}
    ax.set_yticks(range(len(layout.rows)), labels=layout.rows, **look)
    ax.set_xticks(range(len(layout.columns)), labels=layout.columns, rotation=90 * layout.rotated, **look)
    finish_axes(ax, tick_size=SMALL_SIZE, grid=False)
    ax.tick_params(length=0)
    ax.tick_params(axis="x", top=False, labeltop=layout.on_top, labelbottom=not layout.on_top)
    ax.spines[:].set_visible(False)
    # White lines between the cells guide the eye along a row.
    for column in range(1, len(layout.columns)):
        ax.axvline(column - 0.5, color="white", linewidth=0.6)
    for row in range(1, len(layout.rows)):
        ax.axhline(row - 0.5, color="white", linewidth=0.6)
