"""Bars that compare the candidates of a benchmark, with one panel for each measurement."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from celeba_lab.figures.style import BLACK, BLUE, GRAY, LINE_HEIGHT, SMALL_SIZE, STYLE, finish_axes, new_figure

_COLUMNS = 2
_WIDTH = 10.5  # inches
_BAR, _FRAME = 0.3, 0.75  # height of a bar, and of the title and the ticks of a panel, in inches
_ROOM = 1.5  # length of the x-axis as a multiple of the longest bar, so that the texts fit


@dataclass(frozen=True)
class Bars:
    """Bars of one panel.

    Attributes:
        title: Title of the panel.
        labels: Names of the bars, from top to bottom.
        values: Lengths of the bars, in the same order.
        ranges: Lowest and highest value of each bar.
        texts: Texts at the ends of the bars.
        marked: Whether each bar is drawn in the colour of this project.
    """

    title: str
    labels: Sequence[str]
    values: Sequence[float]
    ranges: Sequence[tuple[float, float]]
    texts: Sequence[str]
    marked: Sequence[bool]


@matplotlib.rc_context(STYLE)
def benchmark_bars(panels: Sequence[Bars], *, title: str, note: str = "") -> Figure:
    """Draw one panel of horizontal bars for each measurement. Thin lines show the lowest and the highest value.

    Args:
        panels: The panels, in reading order.
        title: Figure title.
        note: Subtitle.
    """
    rows = [panels[start : start + _COLUMNS] for start in range(0, len(panels), _COLUMNS)]
    heights = [_FRAME + _BAR * max(len(panel.labels) for panel in row) for row in rows]
    figure = new_figure(_WIDTH, sum(heights), title, note)
    grid = figure.add_gridspec(len(rows), _COLUMNS, height_ratios=heights)
    for k, row in enumerate(rows):
        for j, panel in enumerate(row):
            _draw_bars(figure.add_subplot(grid[k, j]), panel, max(len(each.labels) for each in row))
    return figure


def _draw_bars(ax: Axes, panel: Bars, rows: int) -> None:
    """Draw one panel with room for a number of bars, so that the bars of all panels have the same height."""
    heights = [float(k) for k in range(len(panel.labels))]
    colors = [BLUE if is_marked else GRAY for is_marked in panel.marked]
    ax.barh(heights, np.nan_to_num(panel.values), height=0.65, color=colors, alpha=0.85)
    reach = max((high for _, high in panel.ranges if not math.isnan(high)), default=1.0) or 1.0
    for y, (low, high), text in zip(heights, panel.ranges, panel.texts, strict=True):
        end = 0.0 if math.isnan(high) else high
        if end > low:
            ax.plot([low, high], [y, y], color=BLACK, linewidth=1.2, solid_capstyle="butt")
        ax.text(end + 0.02 * reach, y, text, va="center", size=SMALL_SIZE, parse_math=False)
    ax.set_yticks(heights, labels=list(panel.labels), parse_math=False)
    ax.set_ylim(rows - 0.45, -0.55)
    ax.set_xlim(0, _ROOM * reach)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    ax.set_title(panel.title, loc="left", size=SMALL_SIZE + 1, pad=LINE_HEIGHT * 3, parse_math=False)
    finish_axes(ax, tick_size=SMALL_SIZE)
    ax.grid(False, axis="y")
