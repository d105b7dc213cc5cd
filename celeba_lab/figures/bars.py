"""Horizontal bars that start at 0, with text at the end of each bar."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import offset_copy
from numpy.typing import NDArray

from celeba_lab.figures.matrices import NEGATIVE, POSITIVE
from celeba_lab.figures.numbers import value_format, value_text
from celeba_lab.figures.style import BLACK, SMALL_SIZE

_HATCH = "////"  # hatch pattern for truncated bars


def draw_values(ax: Axes, heights: NDArray[np.floating], values: NDArray[np.floating], *, room: float) -> None:
    """Draw one bar per value, write the value at the bar's end, and set the limits of both axes.

    Infinite values are drawn as hatched bars of finite length.

    Args:
        ax: Axes to draw on.
        heights: Vertical positions of the bars, of shape (R,), from top to bottom.
        values: Values of shape (R,), without NaN.
        room: Space for the text on each side that has bars, as a fraction of the range covered by the bars.
    """
    reach = 1.15 * (np.abs(values[np.isfinite(values)]).max(initial=0) or 1.0)
    lengths = np.clip(values, -reach, reach)
    form = value_format(values)
    texts = [value_text(value, form) for value in values]
    draw_signed_bars(ax, heights, lengths, texts, height=0.72, hatched=np.isinf(values))
    ax.axvline(0, color=BLACK, linewidth=1)
    low, high = min(lengths.min(initial=0), 0), max(lengths.max(initial=0), 0)
    space = room * (high - low)
    ax.set_xlim(low - space * (low < 0), high + space * (high > 0))
    ax.set_ylim(heights.max(initial=-1) + 0.6, -0.6)


def draw_signed_bars(
    ax: Axes,
    heights: NDArray[np.floating],
    lengths: NDArray[np.floating],
    texts: Sequence[str],
    *,
    height: float,
    hatched: NDArray[np.bool_],
) -> None:
    """Draw bars coloured by their sign, and write text at the end of each bar.

    Args:
        ax: Axes to draw on.
        heights: Vertical positions of the bars, of shape (R,).
        lengths: Lengths of the bars, of shape (R,). Bars with a negative length extend to the left.
        texts: Text to write at the end of each of the R bars.
        height: Height of each bar, as a fraction of the distance between rows.
        hatched: Whether each bar is hatched, of shape (R,).
    """
    colors = np.where(lengths > 0, POSITIVE, NEGATIVE).tolist()
    hatches = np.where(hatched, _HATCH, "").tolist()
    ax.barh(heights, lengths, height=height, color=colors, hatch=hatches, edgecolor="white", linewidth=0)
    for y, length, text in zip(heights, lengths, texts, strict=True):
        write_at_end(ax, length, y, text, is_right=length >= 0)


def write_at_end(ax: Axes, x: float, y: float, text: str, *, is_right: bool) -> None:
    """Write text to the right or to the left of the point (x, y)."""
    sign, side = (1, "left") if is_right else (-1, "right")
    # An annotation would look the same, but take longer to lay out.
    moved = offset_copy(ax.transData, ax.get_figure(root=True), x=3 * sign, units="points")
    ax.text(x, y, text, transform=moved, ha=side, va="center", size=SMALL_SIZE)
