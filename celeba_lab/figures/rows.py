"""Row labels and value columns for figures with named rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from celeba_lab.figures.style import GRAY, SMALL_SIZE, finish_axes, text_width

ROW = 0.26  # row height in inches


def name_rows(ax: Axes, names: Sequence[str], heights: ArrayLike | None = None) -> None:
    """Label the rows of a figure and style its axes. By default, the rows are at y = 0, 1, 2, ..."""
    places = np.arange(len(names)) if heights is None else np.asarray(heights)
    ax.set_yticks(places, labels=names, parse_math=False)
    finish_axes(ax)
    ax.grid(False, axis="y")
    ax.tick_params(axis="y", length=0, labelsize=SMALL_SIZE)


def write_column(
    ax: Axes,
    right: float,
    heading: str,
    texts: Sequence[str],
    heights: Sequence[float] | None = None,
    color: str = GRAY,
) -> None:
    """Write a heading and one value per row in a column whose right edge is ``right`` points beyond the axes."""
    look: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "size": SMALL_SIZE, "annotation_clip": False}
    ax.annotate(heading, (1, 1), (right, 3), xycoords="axes fraction", va="bottom", color=color, **look)
    for height, text in zip(range(len(texts)) if heights is None else heights, texts, strict=True):
        width = max(right, text_width(text, SMALL_SIZE) + 10)
        ax.annotate(text, (1, height), (width, 0), xycoords=("axes fraction", "data"), va="center", **look)
