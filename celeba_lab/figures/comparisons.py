"""Figures that set several numbers of the same attribute side by side."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.matrices import value_text
from celeba_lab.figures.rows import ROW, name_rows, write_column
from celeba_lab.figures.style import BLACK, BLUE, GREEN, LIGHT_GREY, ORANGE, SMALL_SIZE, STYLE, new_figure, text_width

# The last series is what the figure is about: always blue, always a dot.
_LOOKS = ((BLACK, "|"), (ORANGE, "D"), (GREEN, "^"))
_LAST = (BLUE, "o")
_BAR = 0.36  # of a row


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
    """Several scores of every attribute on one line each, in the order given, with the values in columns.

    Args:
        scores: Name of a series to (K,) values, 2 to 4 series, NaN is undefined. The last is what the figure is about.
        names: The K attributes, from the top.
        metric: What the values are, with their unit; below the axis.
        title: Shown above the axes.
        note: A second paragraph of the title.
        low: (K,), lower ends of the last series' intervals, drawn as whiskers.
        high: (K,), upper ends.

    Raises:
        ValueError: There are too few or too many series, no attribute, or not one value for each,
            or an interval has one end.
    """
    series = {name: np.asarray(values, dtype=float) for name, values in scores.items()}
    if (low is None) != (high is None):
        raise ValueError("An interval has both ends: got only one of low and high.")
    limits = [] if low is None or high is None else [np.asarray(low, dtype=float), np.asarray(high, dtype=float)]
    shapes = [values.shape for values in [*series.values(), *limits]]
    if not names or not 2 <= len(series) <= 4 or any(shape != (len(names),) for shape in shapes):
        raise ValueError(
            "Two to four series, and the ends of intervals, must be (K,), at least one, with a name for each attribute:"
            f" got {', '.join(map(str, shapes)) or 'no series'} and {len(names)} names."
        )
    figure = new_figure(9.0, ROW * len(names) + 1.35, title, note)
    ax = figure.add_subplot()
    rows = np.arange(len(names))
    together = np.stack(list(series.values()))
    ends = [np.where(np.isfinite(together), together, fill) for fill in (np.inf, -np.inf)]
    known = np.isfinite(together).any(axis=0)
    ax.hlines(rows[known], ends[0].min(axis=0)[known], ends[1].max(axis=0)[known], colors=LIGHT_GREY, linewidth=2)
    handles, right = [], 0.0
    for k, (name, values) in enumerate(series.items()):
        last = k == len(series) - 1
        colour, marker = _LAST if last else _LOOKS[k]
        size, width = (90, 2) if marker == "|" else (34, 1)
        drawn = np.isfinite(values)
        if last and limits:
            ax.hlines(rows[drawn], limits[0][drawn], limits[1][drawn], colors=colour, linewidth=1.2, alpha=0.7)
        ax.scatter(values[drawn], rows[drawn], s=size, color=colour, marker=marker, linewidth=width, zorder=3 + k)
        texts = [_score_text(value) for value in values]
        right += max(text_width(text, SMALL_SIZE) for text in (name, *texts)) + 10
        write_column(ax, right, name, texts, colour=colour)
        handles.append(
            Line2D(
                [],
                [],
                linestyle="",
                color=colour,
                marker=marker,
                markersize=size**0.5,
                markeredgewidth=width,
                label=name,
            )
        )
    name_rows(ax, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel(metric, parse_math=False)
    ax.margins(x=0.04)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _score_text(value: float) -> str:
    return "undefined" if np.isnan(value) else value_text(value, ".3f")


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
    """Two counts of every row as bars, one below the other, with the count and its share of all images at their ends.

    Args:
        first: (R,) counts, from 0.
        second: (R,) counts.
        names: The R rows, from the top.
        series: What the two counts are of.
        total: Images, of which the shares are.
        title: Shown above the axes.
        note: A second paragraph of the title.

    Raises:
        ValueError: There is no row, or not two counts for each, or a count is negative.
    """
    counts = [np.asarray(values) for values in (first, second)]
    if not names or any(values.shape != (len(names),) for values in counts):
        raise ValueError(
            "Both counts must be (R,), at least one, with a name for each row:"
            f" got {counts[0].shape}, {counts[1].shape} and {len(names)} names."
        )
    if min(values.min() for values in counts) < 0:
        raise ValueError(f"A count cannot be negative: got {min(values.min() for values in counts)}.")
    figure = new_figure(9.0, 1.65 * ROW * len(names) + 1.35, title, note)
    ax = figure.add_subplot()
    rows = np.arange(len(names))
    for values, colour, side in ((counts[0], ORANGE, -1), (counts[1], BLUE, 1)):
        ax.barh(rows + side * _BAR / 2, values, height=_BAR, color=colour)
        _write_counts(ax, rows + side * _BAR / 2, values, total)
    name_rows(ax, names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, 1.18 * max(int(max(values.max() for values in counts)), 1))
    ax.set_xlabel("images")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    handles = [Patch(color=colour, label=name) for colour, name in zip((ORANGE, BLUE), series, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _write_counts(ax: Axes, heights: NDArray[np.floating], values: NDArray[np.integer], total: int) -> None:
    for height, value in zip(heights, values, strict=True):
        text = f"{value:,} ({_percent(value / total)})" if value and total else f"{value:,}"
        ax.annotate(text, (value, height), (3, 0), textcoords="offset points", va="center", size=8)


def _percent(share: float) -> str:
    """A share above 0, which is not to look like none."""
    return "<0.1%" if share < 0.0005 else f"{100 * share:.1f}%"
