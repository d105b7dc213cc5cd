"""Figures of a classifier's accuracy by subgroup."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from celeba_lab.figures.rows import ROW, name_rows, write_column
from celeba_lab.figures.style import BLACK, BLUE, GRAY, SMALL_SIZE, STYLE, VERMILLION, new_figure, write_centered

_COLUMNS = ("target", "group", "label", "member", "images", "accuracy", "low", "high", "few")
_GAP = 1.35  # height of a pair's heading, in rows


@matplotlib.rc_context(STYLE)
def subgroup_accuracy(subgroups: pd.DataFrame, *, title: str, note: str = "") -> Figure:
    """Draw the accuracy and its confidence interval for the four subgroups of each target-group pair.

    The subgroup with the lowest accuracy in each pair is orange. Subgroups with few images are drawn in grey with
    hollow markers and are never highlighted as the worst.

    Args:
        subgroups: Table with four consecutive rows per pair, in the order in which they are drawn. The columns are
            ``target``, ``group``, ``label`` (0 or 1), ``member`` (0 or 1), ``images``, ``accuracy``, ``low``, ``high``
            and ``few``. ``few`` marks subgroups with too few images. ``accuracy``, ``low`` and ``high`` are NaN for
            subgroups without images.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: A column is missing.
    """
    missing = [name for name in _COLUMNS if name not in subgroups]
    if missing:
        raise ValueError(
            f"The subgroup table must have the columns {', '.join(_COLUMNS)}, but these are missing:"
            f" {', '.join(missing)}."
        )
    pairs = subgroups.groupby(["target", "group"], sort=False).ngroup().to_numpy()
    heights = np.arange(len(subgroups)) + _GAP * (pairs + 1)
    figure = new_figure(9.0, ROW * (heights.max(initial=1) + 1) + 1.2, title, note)
    ax = figure.add_subplot()
    if subgroups.empty:
        write_centered(ax, "no pair has two subgroups with enough images")
        ax.set(xticks=(), yticks=())
        return figure
    colors = _choose_colors(subgroups, pairs)
    _draw_intervals(ax, subgroups, heights, colors)
    name_rows(ax, [_name(*row) for row in subgroups[["target", "group", "label", "member"]].to_numpy()], heights)
    write_column(ax, 52, "images", [f"{count:,}" for count in subgroups["images"]], heights.tolist())
    accuracies = ["no images" if np.isnan(value) else f"{value:.3f}" for value in subgroups["accuracy"]]
    write_column(ax, 112, "accuracy", accuracies, heights.tolist())
    _write_headings(ax, subgroups, pairs, heights)
    ax.set_ylim(heights.max() + 0.7, heights.min() - _GAP - 0.3)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel("accuracy with 95% interval")
    shown = colors[(subgroups["images"] > 0).to_numpy()]
    figure.legend(handles=_handles(shown), loc="outside lower center", ncols=3)
    return figure


def _choose_colors(subgroups: pd.DataFrame, pairs: np.ndarray) -> np.ndarray:
    """Return the row colours: grey for few images, orange for the worst subgroup of a pair, and blue otherwise."""
    counted = (~subgroups["few"] & (subgroups["images"] > 0)).to_numpy()
    lowest = subgroups["accuracy"].where(counted).groupby(pairs).transform("min").to_numpy()
    worst = counted & (subgroups["accuracy"].to_numpy() == lowest)
    return np.where(~counted, GRAY, np.where(worst, VERMILLION, BLUE))


def _draw_intervals(ax: Axes, subgroups: pd.DataFrame, heights: np.ndarray, colors: np.ndarray) -> None:
    """Draw the accuracy and its interval for each row that has images."""
    known = (subgroups["images"] > 0).to_numpy()
    values, low, high = (subgroups[name].to_numpy()[known] for name in ("accuracy", "low", "high"))
    edges = colors[known].tolist()
    faces = np.where(colors == GRAY, "white", colors)[known]
    ax.hlines(heights[known], low, high, colors=edges, linewidth=2)
    ax.scatter(values, heights[known], s=40, color=faces, edgecolors=edges, linewidth=1.4, zorder=4)


def _write_headings(ax: Axes, subgroups: pd.DataFrame, pairs: np.ndarray, heights: np.ndarray) -> None:
    """Write the target and group of each pair above its rows."""
    for pair in np.unique(pairs):
        first = int(np.flatnonzero(pairs == pair)[0])
        ax.annotate(
            f"{subgroups['target'].iloc[first]} by {subgroups['group'].iloc[first]}",
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


def _name(target: str, group: str, label: int, member: int) -> str:
    return f"{'' if label else 'not '}{target}, {'' if member else 'not '}{group}"


def _handles(colors: np.ndarray) -> list[Line2D]:
    labels = {BLUE: "subgroup", VERMILLION: "worst subgroup of the pair", GRAY: "too few images"}
    return [
        Line2D(
            [], [], color=color, linewidth=2, marker="o", markersize=6.3, label=label,
            markerfacecolor="white" if color == GRAY else color,
        )
        for color, label in labels.items()
        if (colors == color).any()
    ]  # fmt: skip
