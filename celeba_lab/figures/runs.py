"""Figures that compare several runs."""

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

from celeba_lab.figures.numbers import value_text
from celeba_lab.figures.style import (
    BLACK,
    BLUE,
    GRAY,
    LINE_HEIGHT,
    LINE_STYLES,
    PALETTE,
    SMALL_SIZE,
    STYLE,
    VERMILLION,
    finish_axes,
    integer_ticks,
    new_figure,
    text_width,
    wrap,
    write_centered,
)

MOST_CURVES = 12
"""Maximum number of runs whose curves can be distinguished in one figure."""

_FEW = 4  # maximum number of runs for which training losses and reported epochs are drawn
_MARKERS = "osD^vP*X<>ph"
_TRAINING: dict[str, Any] = {"linestyle": (0, (5, 1.5)), "linewidth": 1.2}
_WIDTH = 9.6  # figure width in inches
_HANDLE = 0.75  # width in inches of a legend line, including the space around it
_NAME_WIDTH = 3.2  # width in inches at which names are wrapped


@matplotlib.rc_context(STYLE)
def run_curves(
    histories: Mapping[str, pd.DataFrame],
    *,
    metric: str = "accuracy",
    title: str,
    note: str = "",
    best_epochs: Mapping[str, int] | None = None,
) -> Figure:
    """Draw curves of the validation loss and one other validation metric for several runs.

    Runs are distinguished by colour and marker. If there are at most four runs, dashed lines show the training losses,
    and rings mark the reported epochs.

    Args:
        histories: Mapping from run names to history tables, for 1 to 12 runs. Each table has the column ``epoch`` and
            any of the columns ``val/loss``, ``val/<metric>`` and ``train/loss``.
        metric: Name of the metric in the right panel.
        title: Figure title.
        note: Subtitle, shown below the title.
        best_epochs: Mapping from run names to the epochs of the reported checkpoints.

    Raises:
        ValueError: The number of runs is not between 1 and 12.
    """
    if not 1 <= len(histories) <= MOST_CURVES:
        raise ValueError(f"The number of runs must be between 1 and {MOST_CURVES}: got {len(histories)}.")
    names, columns, legend_height = _lay_out_legend(list(histories))
    figure = new_figure(_WIDTH, 3.9 + legend_height, title, note)
    left, right = figure.subplots(1, 2, sharex=True)
    few = len(histories) <= _FEW
    extra: dict[str, Line2D] = {}  # legend handles that are not specific to one run
    for k, (run, history) in enumerate(histories.items()):
        table = history.set_index("epoch").sort_index()
        best = (best_epochs or {}).get(run) if few else None
        rings = [
            _draw_run(ax, table.get(f"val/{name}"), best, _look(k)) for ax, name in ((left, "loss"), (right, metric))
        ]
        if any(rings):
            extra["ring"] = _ring([], [])
        if few and "train/loss" in table:
            extra |= _draw_training(left, table["train/loss"].dropna(), _look(k)["color"])
    _finish_panel(left, "loss", "loss" if "training" in extra else "validation loss")
    _finish_panel(right, metric, f"validation {metric}")
    handles = [Line2D([], [], label=name, **_look(k)) for k, name in enumerate(names)]
    legend = figure.legend(
        handles=[*handles, *extra.values()], loc="outside lower center", ncols=columns, handlelength=2.2
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _draw_training(ax: Axes, values: pd.Series, color: str) -> dict[str, Line2D]:
    """Draw the training loss of one run, and return legend handles for training and validation lines."""
    ax.plot(values.index, values, color=color, alpha=0.8, **_TRAINING)
    return {
        "validation": Line2D([], [], color=GRAY, label="validation", linewidth=1.5),
        "training": Line2D([], [], color=GRAY, label="training", **_TRAINING),
    }


def _lay_out_legend(names: Sequence[str]) -> tuple[list[str], int, float]:
    """Return the wrapped names for a legend below the panels, and the legend's column count and height in inches."""
    size = float(STYLE["legend.fontsize"])
    longest = max(text_width(name, size) / 72 for name in names)
    count = len(names) + 3  # including the entries "reported epoch", "validation" and "training"
    columns = int(np.clip(0.95 * _WIDTH // (min(longest, _WIDTH / 2 - _HANDLE) + _HANDLE), 1, min(4, count)))
    wrapped = [wrap(name, (0.95 * _WIDTH / columns - _HANDLE) * 72, size) for name in names]
    lines = max(name.count("\n") + 1 for name in wrapped)
    return wrapped, columns, -(-count // columns) * (lines * LINE_HEIGHT + 0.3) * size / 72


def _look(k: int) -> dict[str, Any]:
    """Return the style of run ``k``. The line is dashed if a previous run has the same colour."""
    again = k >= len(PALETTE)
    line = {"color": PALETTE[k % len(PALETTE)], "linestyle": LINE_STYLES[int(again)], "linewidth": 1.5}
    return line | {"marker": _MARKERS[k], "markersize": 5.5}


def _draw_run(ax: Axes, values: pd.Series | None, best: int | None, look: dict[str, Any]) -> bool:
    """Draw the curve of one run, and return whether the reported epoch was marked."""
    drawn = pd.Series(dtype=float) if values is None else values.dropna()
    if drawn.empty:
        return False
    ax.plot(drawn.index, drawn, markevery=max(1, len(drawn) // 12), **look)
    if best is None or best not in drawn.index:
        return False
    ax.add_line(_ring([best], [drawn.loc[best]]))
    return True


def _ring(x: list[Any], y: list[Any]) -> Line2D:
    """Return a ring that marks a reported epoch."""
    look: dict[str, Any] = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": BLACK}
    return Line2D(x, y, linestyle="", marker="o", markeredgewidth=1.2, zorder=5, label="reported epoch", **look)


def _finish_panel(ax: Axes, metric: str, label: str) -> None:
    """Label the axes, and show a message if there are no curves."""
    if not any(len(line.get_xdata()) for line in ax.lines):  # type: ignore[arg-type]
        write_centered(ax, f"no {metric} was recorded")
    ax.set_xlabel("epoch")
    ax.set_ylabel(label, parse_math=False)
    ax.margins(x=0.06, y=0.08)
    integer_ticks(ax.xaxis)
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
    """Draw a forest plot of the difference between each run and a baseline, with the best run at the top.

    Runs are blue if they are better than the baseline, orange if they are worse, and grey if their interval includes 0.

    Args:
        names: Names of the R runs, excluding the baseline.
        differences: Differences from the baseline, of shape (R,). Higher is better.
        low: Lower bounds of the intervals, of shape (R,).
        high: Upper bounds of the intervals, of shape (R,).
        label: Axis label that states the difference and its unit.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: There are no runs, or an array does not have shape (R,).
    """
    table = [np.asarray(values, dtype=float) for values in (differences, low, high)]
    if not names or any(values.shape != (len(names),) for values in table):
        raise ValueError(
            "Differences and their interval bounds must have shape (R,), with R at least 1 and one name per run: got"
            f" {', '.join(str(values.shape) for values in table)} and {len(names)} names."
        )
    order = np.argsort(-table[0], kind="stable")
    values, lower, upper = (column[order] for column in table)
    wrapped = [wrap(names[k], _NAME_WIDTH * 72, SMALL_SIZE) for k in order]
    lines = max(name.count("\n") + 1 for name in wrapped)
    row = max(0.3, (lines * LINE_HEIGHT + 0.4) * SMALL_SIZE / 72)  # row height in inches
    figure = new_figure(9.0, row * (len(names) + 1) + 1.25, title, note)
    ax = figure.add_subplot()
    colors = np.where(lower > 0, BLUE, np.where(upper < 0, VERMILLION, GRAY)).tolist()
    _draw_differences(ax, values, lower, upper, colors)
    ax.set_xlabel(label, parse_math=False)
    finish_axes(ax)
    ax.set_yticks(range(len(names)), labels=wrapped, parse_math=False)
    ax.tick_params(axis="y", length=0, labelsize=SMALL_SIZE)
    ax.grid(False, axis="y")
    figure.legend(handles=_outcomes(colors), loc="outside lower center", ncols=3)
    return figure


def _draw_differences(
    ax: Axes,
    values: NDArray[np.floating],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    colors: Sequence[str],
) -> None:
    """Draw one row per run with its difference and interval, and write their values on the right."""
    rows = np.arange(len(values))
    ax.axvline(0, color=BLACK, linewidth=1)
    ax.hlines(rows, low, high, colors=colors, linewidth=2.4)
    ax.scatter(values, rows, s=46, color=colors, zorder=4)
    _write_numbers(ax, values, low, high)
    ax.set_ylim(len(values) - 0.4, -0.6)
    ax.margins(x=0.06)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6))


def _write_numbers(
    ax: Axes, values: NDArray[np.floating], low: NDArray[np.floating], high: NDArray[np.floating]
) -> None:
    """Write the difference and its interval to the right of each row."""
    look: dict[str, Any] = {"textcoords": "offset points", "size": SMALL_SIZE, "annotation_clip": False}
    ax.annotate("difference (95% interval)", (1, 1), (10, 3), xycoords="axes fraction", va="bottom", color=GRAY, **look)
    for row, numbers in enumerate(zip(values, low, high, strict=True)):
        value, lower, upper = (value_text(number, "+.4f") for number in numbers)
        text = f"{value} ({lower} to {upper})"
        ax.annotate(text, (1, row), (10, 0), xycoords=("axes fraction", "data"), va="center", **look)


def _outcomes(colors: Sequence[str]) -> list[Line2D]:
    """Return legend handles for the colours that are used."""
    words = {BLUE: "better than the baseline", GRAY: "no significant difference", VERMILLION: "worse than the baseline"}
    look: dict[str, Any] = {"linewidth": 2.4, "marker": "o", "markersize": 6.5}
    return [Line2D([], [], color=color, label=word, **look) for color, word in words.items() if color in colors]
