"""Heat maps of matrices."""

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

from celeba_lab.figures.numbers import ratio_text, ratio_ticks, value_format, value_text, whole_number_text
from celeba_lab.figures.style import (
    BLUE,
    GRAY,
    LIGHT_GRAY,
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
"""Bar colours for positive and negative values, or for ratios above and below 1, as in diverging heat maps."""

Scale = Literal["sequential", "diverging", "ratio"]

_COLORMAPS = {"sequential": "viridis", "diverging": "RdBu_r", "ratio": "RdBu_r"}
_ANNOTATED = 200  # maximum number of cells for which the cell values are written by default
_NAME_WIDTH = 2.6  # width in inches at which names are wrapped


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
    """Draw a matrix as a heat map with named rows and columns.

    NaN values are drawn in grey and labelled "undefined" in the legend. Infinite values are drawn in the colour at the
    corresponding end of the scale.

    Args:
        values: Values of shape (R, C).
        row_names: Names of the R rows, from top to bottom.
        column_names: Names of the C columns, from left to right.
        label: Colour bar label that states the quantity and its unit.
        title: Figure title.
        note: Subtitle, shown below the title.
        scale: "sequential" for magnitudes such as probabilities; "diverging" for positive and negative values, such as
            correlations or z-scores; "ratio" for values below and above 1, such as odds ratios or lift. The colour
            scale for ratios is logarithmic, so the colours of 1/4 and 4 are equally intense.
        limits: Values at the two ends of the colour scale. If values lie outside these limits, the colour bar has a
            pointed end. By default, the limits include all values except a few outliers. On a diverging or ratio scale,
            the default limits are symmetric about the centre, and the diagonal is ignored if the rows and columns have
            the same names.
        annotate: Format specification for the values in the cells, such as ".2f", or "" to hide the values. By default,
            the values are shown in matrices of up to 200 cells.
        row_title: Label of the y-axis.
        column_title: Label of the x-axis.

    Raises:
        ValueError: ``values`` is empty or does not have shape (R, C), a ratio is negative, ``scale`` is unknown, or
            ``limits`` does not consist of two finite numbers in ascending order (above 0 for ratios).
    """
    table = check_matrix(values, row_names, column_names)
    measured = table.copy()  # values from which the limits are computed
    if list(row_names) == list(column_names) and scale != "sequential" and len(row_names) > 1:
        np.fill_diagonal(measured, np.nan)
    colors = _colors(table, measured, scale, limits)
    texts = _cell_texts(table, annotate, scale)
    small = table.size > _ANNOTATED
    layout = _lay_out(row_names, column_names, texts, size=7.0 if small else SMALL_SIZE)
    return _draw(colors, texts, layout, label, title, note, names=(row_title, column_title))


@matplotlib.rc_context(STYLE)
def cluster_profile(
    means: ArrayLike, attributes: Sequence[str], clusters: Sequence[str], *, label: str, title: str, note: str = ""
) -> Figure:
    """Draw cluster profiles as a heat map with one column per cluster and one row per attribute.

    Attributes that have their largest mean in the same cluster form a block. Within a block, attributes are sorted by
    this mean in descending order. Lines separate the blocks, and the attribute names next to a block describe its
    cluster. NaN values are drawn in grey, as in :func:`matrix_heatmap`.

    Args:
        means: Mean of each attribute in each cluster, of shape (C, K). The overall mean of each attribute should be 0,
            as for z-scores.
        attributes: Names of the K attributes.
        clusters: Short descriptions of the C clusters.
        label: Colour bar label that states the quantity and its unit.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: ``means`` is empty or does not have shape (C, K).
    """
    table = check_matrix(means, clusters, attributes).T
    home = np.array([_strongest(row) for row in table])
    peak = np.array([row[k] if k < len(clusters) else np.nan for row, k in zip(table, home, strict=True)])
    order = np.lexsort((-peak, home))
    table, home = table[order], home[order]
    texts = _cell_texts(table, ".1f", "diverging")
    layout = _lay_out([attributes[k] for k in order], clusters, texts, size=SMALL_SIZE, cell_width=1.15, on_top=True)
    figure = _draw(_colors(table, table, "diverging", None), texts, layout, label, title, note)
    for row in np.flatnonzero(np.diff(home)):
        figure.axes[0].axhline(row + 0.5, color="black", linewidth=1.2)
    return figure


def check_matrix(values: ArrayLike, row_names: Sequence[str], column_names: Sequence[str]) -> NDArray[np.floating]:
    """Check a matrix and return it as floats of shape (R, C).

    Raises:
        ValueError: The matrix is empty, or its shape does not match the number of names.
    """
    table = np.array(values, dtype=float)
    if table.shape != (len(row_names), len(column_names)) or not table.size:
        raise ValueError(
            "A matrix must have shape (R, C) and must not be empty, with one name per row and per column: "
            f"got {table.shape}, {len(row_names)} row names and {len(column_names)} column names."
        )
    return table


@dataclass(frozen=True)
class _Colors:
    """Values and their colours. Ratios are stored as base-2 logarithms."""

    values: NDArray[np.floating]
    map: Colormap
    low: float
    high: float
    ratio: bool

    @property
    def norm(self) -> Normalize:
        return Normalize(self.low, self.high)

    def rgb(self) -> NDArray[np.floating]:
        """Return the colours of the cells, float (R, C, 3), in [0, 1]."""
        # imshow would not draw infinite values.
        undefined = np.isnan(self.values)
        clipped = np.clip(np.where(undefined, self.low, self.values), self.low, self.high)
        colors: NDArray[np.floating] = self.map(self.norm(clipped))[..., :3]
        colors[undefined] = to_rgb(LIGHT_GRAY)
        return colors

    def extend(self) -> Literal["neither", "min", "max", "both"]:
        """Return the ends of the colour scale beyond which some values lie."""
        below, above = bool((self.values < self.low).any()), bool((self.values > self.high).any())
        if below and above:
            return "both"
        return "min" if below else "max" if above else "neither"


def _colors(
    table: NDArray[np.floating], measured: NDArray[np.floating], scale: Scale, limits: tuple[float, float] | None
) -> _Colors:
    """Choose the colours of ``table``. By default, the limits are computed from ``measured``, ignoring NaN."""
    if scale not in _COLORMAPS:
        raise ValueError(f"The scale must be one of {', '.join(_COLORMAPS)}: got {scale!r}.")
    ratio = scale == "ratio"
    if ratio and (table < 0).any():
        raise ValueError(
            f"Ratios cannot be negative: got {np.nanmin(table)}. For signed values, use scale='diverging'."
        )
    if limits is not None and not (np.isfinite(limits).all() and limits[0] < limits[1]):
        raise ValueError(f"Limits must be two finite numbers in ascending order: got {limits}.")
    if limits is not None and ratio and limits[0] <= 0:
        raise ValueError(f"Limits of ratios must be above 0: got {limits}.")
    if ratio:
        with np.errstate(divide="ignore"):
            table, measured = np.log2(table), np.log2(measured)
        limits = None if limits is None else (float(np.log2(limits[0])), float(np.log2(limits[1])))
    low, high = limits or _limits(measured, scale)
    colormap = matplotlib.colormaps[_COLORMAPS[scale]]
    if scale != "sequential":
        colormap = _centered(colormap, low, high)
    return _Colors(table, colormap, low, high, ratio)


def _limits(measured: NDArray[np.floating], scale: Scale) -> tuple[float, float]:
    """Return limits that include all values except a few outliers."""
    if scale == "sequential":
        low, high = -_reach(-measured[measured < 0]), _reach(measured[measured > 0])
        return (low, high) if low < high else (0.0, 1.0)
    reach = _reach(np.abs(measured)) or 1.0
    if scale == "ratio":
        reach = max(reach, 1.0)  # Ratios between 1/2 and 2 indicate weak associations and should have pale colours.
    return -reach, reach


def _reach(magnitudes: NDArray[np.floating]) -> float:
    """Return the largest finite magnitude, or the 98th percentile if a few outliers far exceed that percentile."""
    finite = magnitudes[np.isfinite(magnitudes)]
    if not finite.size:
        return 0.0
    usual, largest = float(np.percentile(finite, 98)), float(finite.max())
    return usual if 0 < 1.5 * usual < largest else largest


def _centered(colormap: Colormap, low: float, high: float) -> Colormap:
    """Return the section of a diverging colormap from ``low`` to ``high``, with the middle colour at 0."""
    reach = max(abs(low), abs(high))
    return ListedColormap(colormap(0.5 + 0.5 * np.linspace(low, high, 256) / reach))


def _cell_texts(table: NDArray[np.floating], annotate: str | None, scale: Scale) -> list[list[str]]:
    """Return the text of each cell, or an empty list if the cells have no text."""
    if annotate == "" or (annotate is None and table.size > _ANNOTATED):
        return []
    if annotate is None and scale == "ratio":
        return [["" if np.isnan(value) else ratio_text(value) for value in row] for row in table]
    form = value_format(table) if annotate is None else annotate
    return [["" if np.isnan(value) else value_text(value, form) for value in row] for row in table]


def _strongest(row: NDArray[np.floating]) -> int:
    """Return the column index of the largest value, or the number of columns if all values are NaN."""
    return len(row) if np.isnan(row).all() else int(np.nanargmax(row))


class _Layout(NamedTuple):
    """Names and dimensions (in inches) of a matrix figure. ``size`` is the font size of the cell text, in points."""

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
    """Compute dimensions that fit the cell texts and the names. ``cell_width`` is the minimum width of a cell."""
    line = SMALL_SIZE * LINE_HEIGHT / 72
    side = min(0.5, max(0.25, 10 / max(len(row_names), len(column_names))))
    rows = [wrap(name, _NAME_WIDTH * 72, SMALL_SIZE) for name in row_names]
    longest = max((text_width(text, size) / 72 for row in texts for text in row), default=0)
    cell_width = max(cell_width, side, longest + 0.1)
    cell_height = max(0.26 if texts else side, line * max(name.count("\n") + 1 for name in rows))
    names_width = max(text_width(part, SMALL_SIZE) for name in rows for part in name.split("\n")) / 72
    # The title and colour bar need a minimum width, so cells are wider if there are few columns.
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
    """Return whether a name fits within ``width`` inches on at most three lines without breaking a word."""
    words = re.findall(r"[^\s_/\\-]+[_/\\-]?", name)
    fits = all(text_width(word, SMALL_SIZE) <= 0.9 * width * 72 for word in words)
    return fits and wrap(name, 0.94 * width * 72, SMALL_SIZE).count("\n") < 3


def _draw(
    colors: _Colors,
    texts: list[list[str]],
    layout: _Layout,
    label: str,
    title: str,
    note: str,
    names: tuple[str, str] = ("", ""),
) -> Figure:
    """Draw the matrix in a new figure. ``names`` are the labels of the y-axis and the x-axis."""
    upright = layout.height > 1.8  # If false, the colour bar is below the matrix.
    undefined = bool(np.isnan(colors.values).any())
    width = layout.width + layout.names_width + 0.35 + 0.25 * bool(names[0]) + (1.0 if upright else 0.0)
    height = layout.height + layout.names_height + 0.35 + 0.25 * bool(names[1]) + (0.0 if upright else 0.95)
    figure = new_figure(max(width, 4.5), height, title, note)
    ax = figure.add_subplot()
    rgb = colors.rgb()
    ax.imshow(rgb, aspect="auto", interpolation="nearest")
    for row, column in np.ndindex(*rgb.shape[:2] if texts else (0, 0)):
        color = ink(rgb[row, column])
        ax.text(column, row, texts[row][column], ha="center", va="center", size=layout.size, color=color)
    _name_cells(ax, layout)
    ax.set_ylabel(names[0], parse_math=False)
    ax.set_xlabel(names[1], parse_math=False)
    _draw_bar(figure, colors, label, layout, upright=upright)
    if undefined:
        # The legend is in the corner that the row and column names leave empty.
        corner, place = ("lower right", (0, 1)) if layout.on_top else ("upper right", (0, 0))
        gray = Patch(facecolor=LIGHT_GRAY, edgecolor=GRAY, linewidth=0.5, label="undefined")
        look: dict[str, Any] = {"loc": corner, "bbox_to_anchor": place, "borderpad": 0.1, "handlelength": 1.2}
        ax.legend(handles=[gray], fontsize=SMALL_SIZE, **look)
    return figure


def _draw_bar(figure: Figure, colors: _Colors, label: str, layout: _Layout, *, upright: bool) -> None:
    """Draw the colour bar to the right of the matrix if ``upright`` is true, and below it otherwise."""
    along = layout.height if upright else layout.width
    across = figure.get_size_inches()[0 if upright else 1]
    length = min(5.0, along)  # in inches
    bar = figure.colorbar(
        ScalarMappable(colors.norm, colors.map),
        ax=figure.axes[0],
        extend=colors.extend(),
        location="right" if upright else "bottom",
        shrink=length / along,
        aspect=length / 0.18,
        fraction=min(0.4, 0.5 / across),
        pad=(0.15 if upright else 0.25) / across,
    )
    bar.set_label(wrap(label, along * 72, 10.5), parse_math=False)
    if colors.ratio:
        ticks, labels = ratio_ticks(colors.low, colors.high)
        bar.set_ticks(ticks, labels=labels)
    elif colors.high >= 1000:
        bar.formatter = FuncFormatter(whole_number_text)
    finish_axes(bar.ax, tick_size=SMALL_SIZE, grid=False)


def _name_cells(ax: Axes, layout: _Layout) -> None:
    """Label the rows and columns, and draw white lines between the cells."""
    look: dict[str, Any] = {"parse_math": False, "linespacing": 1.1}
    ax.set_yticks(range(len(layout.rows)), labels=layout.rows, **look)
    ax.set_xticks(range(len(layout.columns)), labels=layout.columns, rotation=90 * layout.rotated, **look)
    finish_axes(ax, tick_size=SMALL_SIZE, grid=False)
    ax.tick_params(length=0)
    ax.tick_params(axis="x", top=False, labeltop=layout.on_top, labelbottom=not layout.on_top)
    ax.spines[:].set_visible(False)
    for column in range(1, len(layout.columns)):
        ax.axvline(column - 0.5, color="white", linewidth=0.6)
    for row in range(1, len(layout.rows)):
        ax.axhline(row - 0.5, color="white", linewidth=0.6)
