"""Figures of several runs: how they learned, and how far they are from one of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.matrices import value_text
from celeba_lab.figures.style import (
    BLACK,
    BLUE,
    GREY,
    LINE_HEIGHT,
    LINE_STYLES,
    PALETTE,
    SMALL_SIZE,
    STYLE,
    VERMILLION,
    finish_axes,
    new_figure,
    say,
    text_width,
    wrap,
)

MOST_CURVES = 12
"""More runs than this cannot be told apart in one figure."""

_FEW = 4  # runs, up to which there is room for the training loss and the reported epochs
_MARKERS = "osD^vP*X<>ph"
_TRAINING: dict[str, Any] = {"linestyle": (0, (5, 1.5)), "linewidth": 1.2}
_WIDTH = 9.6  # inches
_HANDLE = 0.75  # inches of a line in a legend and of what separates it from its neighbours
_NAME_WIDTH = 3.2  # inches, above which a name is wrapped


@matplotlib.rc_context(STYLE)
def run_curves(
    histories: Mapping[str, pd.DataFrame],
    *,
    metric: str = "accuracy",
    title: str,
    note: str = "",
    best_epochs: Mapping[str, int] | None = None,
) -> Figure:
    """Validation loss and another validation metric of several runs, epoch by epoch.

    Colour and marker tell the runs apart. Of up to four runs the training loss is drawn too, dashed, and the reported
    epochs have a ring.

    Args:
        histories: Name of a run to a table with the columns ``epoch``, ``val/loss``, ``val/<metric>`` and
            ``train/loss``, of which all but the first may be missing; 1 to 12 runs.
        metric: What the right panel shows.
        title: Shown above the panels.
        note: A second paragraph of the title.
        best_epochs: Name of a run to the epoch whose checkpoint is reported.

    Raises:
        ValueError: There is no run, or more than can be told apart.
    """
    if not 1 <= len(histories) <= MOST_CURVES:
        raise ValueError(f"Curves of 1 to {MOST_CURVES} runs can be told apart: got {len(histories)}.")
    names, columns, legend_height = _lay_out_legend(list(histories))
    figure = new_figure(_WIDTH, 3.9 + legend_height, title, note)
    left, right = figure.subplots(1, 2, sharex=True)
    few = len(histories) <= _FEW
    handles: list[Line2D] = []
    others: dict[str, Line2D] = {}
    for k, (run, history) in enumerate(histories.items()):
        look = _look(k)
        handles.append(Line2D([], [], label=names[k], **look))
        table = history.set_index("epoch").sort_index()
        best = (best_epochs or {}).get(run) if few else None
        rings = [_draw_run(ax, table.get(f"val/{name}"), best, look) for ax, name in ((left, "loss"), (right, metric))]
        if any(rings):
            others["ring"] = _ring([], [])
        if few and "train/loss" in table:
            values = table["train/loss"].dropna()
            left.plot(values.index, values, color=look["color"], alpha=0.8, **_TRAINING)
            others["line"] = Line2D([], [], color=GREY, label="validation", linewidth=1.5)
            others["dashes"] = Line2D([], [], color=GREY, label="training", **_TRAINING)
    _finish_panel(left, "loss", "loss" if "dashes" in others else "validation loss")
    _finish_panel(right, metric, f"validation {metric}")
    handles += others.values()
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=2.2)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _lay_out_legend(names: Sequence[str]) -> tuple[list[str], int, float]:
    """Wrap names so that a legend below the panels holds them; returns them, its columns, and its height in inches."""
    size = float(STYLE["legend.fontsize"])
    longest = max(text_width(name, size) / 72 for name in names)
    count = len(names) + 3  # the reported epoch, validation, and training
    columns = int(np.clip(0.95 * _WIDTH // (min(longest, _WIDTH / 2 - _HANDLE) + _HANDLE), 1, min(4, count)))
    wrapped = [wrap(name, (0.95 * _WIDTH / columns - _HANDLE) * 72, size) for name in names]
    lines = max(name.count("\n") + 1 for name in wrapped)
    return wrapped, columns, -(-count // columns) * (lines * LINE_HEIGHT + 0.3) * size / 72


def _look(k: int) -> dict[str, Any]:
    """The line of run ``k``; where the colours start again it is dashed."""
    again = k >= len(PALETTE)
    line = {"color": PALETTE[k % len(PALETTE)], "linestyle": LINE_STYLES[int(again)], "linewidth": 1.5}
    return line | {"marker": _MARKERS[k], "markersize": 5.5}


def _draw_run(ax: Axes, values: pd.Series | None, best: int | None, look: dict[str, Any]) -> bool:
    """Draw one run's curve; returns whether the epoch that is reported could be marked."""
    drawn = pd.Series(dtype=float) if values is None else values.dropna()
    if drawn.empty:
        return False
    ax.plot(drawn.index, drawn, markevery=max(1, len(drawn) // 12), **look)
    if best is None or best not in drawn.index:
        return False
    ax.add_line(_ring([best], [drawn.loc[best]]))
    return True


def _ring(x: list[Any], y: list[Any]) -> Line2D:
    look: dict[str, Any] = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": BLACK}
    return Line2D(x, y, linestyle="", marker="o", markeredgewidth=1.2, zorder=5, label="reported epoch", **look)


def _finish_panel(ax: Axes, metric: str, label: str) -> None:
    if not any(len(line.get_xdata()) for line in ax.lines):  # type: ignore[arg-type]
        say(ax, f"no {metric} was recorded")
    ax.set_xlabel("epoch")
    ax.set_ylabel(label, parse_math=False)
    ax.margins(x=0.06, y=0.08)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    finish_axes(ax)


@matplotlib.rc_context(STYLE)
def run_differences(
    names: Sequence[str],
    differences: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    label: str,
    title: str,
    note: str = "",
) -> Figure:
    """How far each run is from one baseline, with the interval, the best on top (a forest plot).

    Blue is better than the baseline, orange worse; grey runs may be either: their interval holds 0.

    Args:
        names: R runs, without the baseline.
        differences: (R,), higher is better.
        low: (R,), the lower ends of the intervals.
        high: (R,), the upper ends.
        label: What the differences are, with their unit; below the axis.
        title: Shown above the axes.
        note: A second paragraph of the title.

    Raises:
        ValueError: There is no run, or not one number of each kind for it.
    """
    table = [np.asarray(values, dtype=float) for values in (differences, low, high)]
    if not names or any(values.shape != (len(names),) for values in table):
        raise ValueError(
            "Differences and both ends of their intervals must be (R,), at least one, with a name for each: got"
            f" {', '.join(str(values.shape) for values in table)} and {len(names)} names."
        )
    order = np.argsort(-table[0], kind="stable")
    values, lower, upper = (column[order] for column in table)
    wrapped = [wrap(names[k], _NAME_WIDTH * 72, SMALL_SIZE) for k in order]
    lines = max(name.count("\n") + 1 for name in wrapped)
    row = max(0.3, (lines * LINE_HEIGHT + 0.4) * SMALL_SIZE / 72)  # inches
    figure = new_figure(9.0, row * (len(names) + 1) + 1.25, title, note)
    ax = figure.add_subplot()
    colours = np.where(lower > 0, BLUE, np.where(upper < 0, VERMILLION, GREY)).tolist()
    rows = np.arange(len(names))
    ax.axvline(0, color=BLACK, linewidth=1)
    ax.hlines(rows, lower, upper, colors=colours, linewidth=2.4)
    ax.scatter(values, rows, s=46, color=colours, zorder=4)
    _write_numbers(ax, values, lower, upper)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.margins(x=0.06)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.set_xlabel(label, parse_math=False)
    finish_axes(ax)
    ax.set_yticks(rows, labels=wrapped, parse_math=False)
    ax.tick_params(axis="y", length=0, labelsize=SMALL_SIZE)
    ax.grid(False, axis="y")
    figure.legend(handles=_verdicts(colours), loc="outside lower center", ncols=3)
    return figure


def _write_numbers(
    ax: Axes, values: NDArray[np.floating], low: NDArray[np.floating], high: NDArray[np.floating]
) -> None:
    """Write difference and interval beside each row."""
    look: dict[str, Any] = {"textcoords": "offset points", "size": SMALL_SIZE, "annotation_clip": False}
    ax.annotate("difference (95 %)", (1, 1), (10, 3), xycoords="axes fraction", va="bottom", color=GREY, **look)
    for row, numbers in enumerate(zip(values, low, high, strict=True)):
        value, lower, upper = (value_text(number, "+.4f") for number in numbers)
        text = f"{value} ({lower} to {upper})"
        ax.annotate(text, (1, row), (10, 0), xycoords=("axes fraction", "data"), va="center", **look)


def _verdicts(colours: Sequence[str]) -> list[Line2D]:
    words = {BLUE: "better than the baseline", GREY: "no difference shown", VERMILLION: "worse than the baseline"}
    look: dict[str, Any] = {"linewidth": 2.4, "marker": "o", "markersize": 6.5}
    return [Line2D([], [], color=colour, label=word, **look) for colour, word in words.items() if colour in colours]
