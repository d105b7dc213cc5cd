"""Figures that compare several values for each attribute."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.numbers import score_text
from celeba_lab.figures.rows import ROW, name_rows, write_column
from celeba_lab.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    LIGHT_GRAY,
    ORANGE,
    SMALL_SIZE,
    STYLE,
    integer_ticks,
    new_figure,
    text_width,
)

# The last series is always drawn as blue dots.
_LOOKS = ((BLACK, "|"), (ORANGE, "D"), (GREEN, "^"))
_LAST = (BLUE, "o")
_BAR = 0.36  # bar height as a fraction of the row height


@matplotlib.rc_context(STYLE)
def score_comparison(
    scores: Mapping[str, ArrayLike],
    names: Sequence[str],
    *,
    metric: str,
    title: str,
    note: str = "",
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
) -> Figure:
    """Draw one row per attribute with several scores, and write their values in columns on the right.

    Args:
        scores: Two to four series of scores as a mapping from series names to arrays of shape (K,). NaN means
            undefined. The last series is highlighted.
        names: Names of the K attributes, from top to bottom.
        metric: Axis label that states the score and its unit.
        title: Figure title.
        note: Subtitle, shown below the title.
        low: Lower bounds of the intervals for the last series, of shape (K,). The intervals are drawn as whiskers.
        high: Upper bounds of the intervals for the last series, of shape (K,).

    Raises:
        ValueError: The number of series is not between 2 and 4, there are no attributes, an array does not have
            shape (K,), or only one of ``low`` and ``high`` is given.
    """
    if (low is None) != (high is None):
        raise ValueError("Intervals require both low and high, but only one of them was given.")
    series = {name: np.asarray(values, dtype=float) for name, values in scores.items()}
    limits = [np.asarray(end, dtype=float) for end in (low, high) if end is not None]
    shapes = [values.shape for values in [*series.values(), *limits]]
    if not names or not 2 <= len(series) <= 4 or any(shape != (len(names),) for shape in shapes):
        raise ValueError(
            "There must be two to four series. Each series and each bound must have shape (K,), with K at least 1"
            f" and one name per attribute: got {', '.join(map(str, shapes)) or 'no series'} and {len(names)} names."
        )
    figure = new_figure(9.0, ROW * len(names) + 1.35, title, note)
    ax = figure.add_subplot()
    _draw_ranges(ax, np.stack(list(series.values())))
    handles, right = [], 0.0
    for k, (name, values) in enumerate(series.items()):
        last = k == len(series) - 1
        color, marker = _LAST if last else _LOOKS[k]
        if last and limits:
            drawn = np.isfinite(values)
            ends = (limits[0][drawn], limits[1][drawn])
            ax.hlines(np.flatnonzero(drawn), *ends, colors=color, linewidth=1.2, alpha=0.7)
        handles.append(_draw_series(ax, name, values, color, marker, zorder=3 + k))
        texts = [score_text(value) for value in values]
        right += max(text_width(text, SMALL_SIZE) for text in (name, *texts)) + 10
        write_column(ax, right, name, texts, color=color)
    name_rows(ax, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel(metric, parse_math=False)
    ax.margins(x=0.04)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_ranges(ax: Axes, together: NDArray[np.floating]) -> None:
    """Draw a grey line from the lowest to the highest score in each row, given scores of shape (series, K)."""
    low, high = (np.where(np.isfinite(together), together, fill) for fill in (np.inf, -np.inf))
    known = np.isfinite(together).any(axis=0)
    rows = np.flatnonzero(known)
    ax.hlines(rows, low.min(axis=0)[known], high.max(axis=0)[known], colors=LIGHT_GRAY, linewidth=2)


def _draw_series(ax: Axes, name: str, values: NDArray[np.floating], color: str, marker: str, *, zorder: int) -> Line2D:
    """Draw the markers of one series and return its legend handle."""
    size, width = (90, 2) if marker == "|" else (34, 1)
    drawn = np.isfinite(values)
    rows = np.flatnonzero(drawn)
    ax.scatter(values[drawn], rows, s=size, color=color, marker=marker, linewidth=width, zorder=zorder)
    look: dict[str, Any] = {"marker": marker, "markersize": size**0.5, "markeredgewidth": width}
    return Line2D([], [], linestyle="", color=color, label=name, **look)


@matplotlib.rc_context(STYLE)
def paired_counts(
    first: ArrayLike,
    second: ArrayLike,
    names: Sequence[str],
    *,
    series: tuple[str, str],
    total: int,
    title: str,
    note: str = "",
) -> Figure:
    """Draw two bars per row, each labelled with a count and the corresponding percentage of all images.

    Args:
        first: Non-negative counts of the first series, of shape (R,).
        second: Non-negative counts of the second series, of shape (R,).
        names: Names of the R rows, from top to bottom.
        series: Names of the two series.
        total: Total number of images.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: There are no rows, the counts do not have shape (R,), or a count is negative.
    """
    counts = [np.asarray(values) for values in (first, second)]
    if not names or any(values.shape != (len(names),) for values in counts):
        raise ValueError(
            "Both series of counts must have shape (R,), with R at least 1 and one name per row:"
            f" got {counts[0].shape}, {counts[1].shape} and {len(names)} names."
        )
    if min(values.min() for values in counts) < 0:
        raise ValueError(f"Counts cannot be negative: got {min(values.min() for values in counts)}.")
    figure = new_figure(9.0, 1.65 * ROW * len(names) + 1.35, title, note)
    ax = figure.add_subplot()
    rows = np.arange(len(names))
    for values, color, side in ((counts[0], ORANGE, -1), (counts[1], BLUE, 1)):
        ax.barh(rows + side * _BAR / 2, values, height=_BAR, color=color)
        _write_counts(ax, rows + side * _BAR / 2, values, total)
    name_rows(ax, names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, 1.18 * max(int(max(values.max() for values in counts)), 1))
    ax.set_xlabel("images")
    integer_ticks(ax.xaxis, 8)
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    handles = [Patch(color=color, label=name) for color, name in zip((ORANGE, BLUE), series, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _write_counts(ax: Axes, heights: NDArray[np.floating], values: NDArray[np.integer], total: int) -> None:
    """Label each bar with its count and percentage."""
    for height, value in zip(heights, values, strict=True):
        text = f"{value:,} ({_percent(value / total)})" if value and total else f"{value:,}"
        ax.annotate(text, (value, height), (3, 0), textcoords="offset points", va="center", size=8)


def _percent(share: float) -> str:
    """Format a positive fraction as a percentage without rounding it to 0."""
    return "<0.1%" if share < 0.0005 else f"{100 * share:.1f}%"
