"""Figures of how well a classifier does in groups of images."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from celeba_lab.figures.rows import ROW, name_rows, write_column
from celeba_lab.figures.style import BLACK, BLUE, GREY, SMALL_SIZE, STYLE, VERMILLION, new_figure, say

_COLUMNS = ("target", "group", "label", "member", "images", "accuracy", "low", "high", "few")
_GAP = 1.35  # rows between the blocks, which hold their heading


@matplotlib.rc_context(STYLE)
def subgroup_accuracy(cells: pd.DataFrame, *, title: str, note: str = "") -> Figure:
    """The accuracy in the four cells of each pair of target and group, with its interval: a block of rows per pair.

    The worst cell of a pair is orange. Cells of few images are grey and hollow, and are no worst cell.

    Args:
        cells: Rows of pairs one after the other, in the order shown, with the columns ``target``, ``group``, ``label``
            and ``member`` (0 or 1), ``images``, ``accuracy``, ``low`` and ``high`` (NaN without images) and ``few``.
        title: Shown above the axes.
        note: A second paragraph of the title.

    Raises:
        ValueError: A column is missing.
    """
    missing = [name for name in _COLUMNS if name not in cells]
    if missing:
        raise ValueError(f"A table of cells needs the columns {', '.join(_COLUMNS)}: {', '.join(missing)} missing.")
    pairs = cells.groupby(["target", "group"], sort=False).ngroup().to_numpy()
    heights = np.arange(len(cells)) + _GAP * (pairs + 1)
    figure = new_figure(9.0, ROW * (heights.max(initial=1) + 1) + 1.2, title, note)
    ax = figure.add_subplot()
    if cells.empty:
        say(ax, "no pair has two cells with enough images")
        ax.set(xticks=(), yticks=())
        return figure
    counted = (~cells["few"] & (cells["images"] > 0)).to_numpy()
    lowest = cells["accuracy"].where(counted).groupby(pairs).transform("min").to_numpy()
    worst = counted & (cells["accuracy"].to_numpy() == lowest)
    colours = np.where(~counted, GREY, np.where(worst, VERMILLION, BLUE))
    known = (cells["images"] > 0).to_numpy()
    values, low, high = (cells[name].to_numpy() for name in ("accuracy", "low", "high"))
    ax.hlines(heights[known], low[known], high[known], colors=colours[known].tolist(), linewidth=2)
    faces = np.where(counted, colours, "white")
    ax.scatter(
        values[known],
        heights[known],
        s=40,
        color=faces[known],
        edgecolors=colours[known].tolist(),
        linewidth=1.4,
        zorder=4,
    )
    names = [_cell_name(*row) for row in cells[["target", "group", "label", "member"]].itertuples(index=False)]
    name_rows(ax, names, heights)
    write_column(ax, 52, "images", [f"{count:,}" for count in cells["images"]], heights.tolist())
    accuracies = ["no image" if np.isnan(value) else f"{value:.3f}" for value in values]
    write_column(ax, 112, "accuracy", accuracies, heights.tolist())
    for pair in np.unique(pairs):
        first = int(np.flatnonzero(pairs == pair)[0])
        heading = f"{cells['target'].iloc[first]} by {cells['group'].iloc[first]}"
        ax.annotate(
            heading,
            (0, heights[first] - 0.95),
            (4, 0),
            textcoords="offset points",
            xycoords=("axes fraction", "data"),
            size=SMALL_SIZE + 0.5,
            weight="bold",
            color=BLACK,
            va="center",
            parse_math=False,
        )
    ax.set_ylim(heights.max() + 0.7, heights.min() - _GAP - 0.3)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("accuracy, with its 95 % interval")
    figure.legend(handles=_handles(colours[known]), loc="outside lower center", ncols=3)
    return figure


def _cell_name(target: str, group: str, label: int, member: int) -> str:
    return f"{'' if label else 'not '}{target}, {'' if member else 'not '}{group}"


def _handles(colours: np.ndarray) -> list[Line2D]:
    looks = {BLUE: "cell", VERMILLION: "worst cell of the pair", GREY: "few images: not counted"}
    return [
        Line2D(
            [], [], color=colour, linewidth=2, marker="o", markersize=6.3, label=label,
            markerfacecolor="white" if colour == GREY else colour,
        )
        for colour, label in looks.items()
        if (colours == colour).any()
    ]  # fmt: skip
