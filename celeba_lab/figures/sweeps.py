"""Figures that show how the score of a sweep depends on the settings that it varies."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.style import BLUE, GRAY, SMALL_SIZE, STYLE, VERMILLION, finish_axes, new_figure, wrap

MOST_PANELS = 12
"""Maximum number of settings in one figure."""

_PANEL = 3.1  # width of a panel in inches
_MOST_VALUES = 12  # Texts with more different values are not shown below the axis.
_POINT: dict[str, Any] = {"s": 34, "alpha": 0.75, "linewidths": 0, "zorder": 3}


@matplotlib.rc_context(STYLE)
def sweep_scores(
    settings: pd.DataFrame, scores: ArrayLike, *, best: int, label: str, title: str, pruned: ArrayLike | None = None
) -> Figure:
    """Draw one panel per setting, with the score of each run above its value of the setting.

    A line connects the mean scores for the values of the setting, without pruned runs. Positive numbers that differ by
    a factor of at least 10 have a logarithmic axis, and texts have equal distances.

    Args:
        settings: Settings of N runs, with one column per setting, for 1 to 12 settings.
        scores: Scores of the runs, of shape (N,).
        best: Row of the best run, which is highlighted.
        label: Name of the score.
        title: Figure title.
        pruned: Whether each run was stopped early, of shape (N,). By default, none was.

    Raises:
        ValueError: The number of settings is not between 1 and 12, or the shapes do not match.
    """
    values = np.asarray(scores, dtype=float)
    count = settings.shape[1]
    if not 1 <= count <= MOST_PANELS or values.shape != (len(settings),):
        raise ValueError(
            f"There must be 1 to {MOST_PANELS} settings and one score per run: got {count} settings,"
            f" {len(settings)} runs and scores of shape {values.shape}."
        )
    stopped = np.zeros(len(values), dtype=bool) if pruned is None else np.asarray(pruned, dtype=bool)
    columns = 2 if count == 4 else min(3, count)
    rows = -(-count // columns)
    figure = new_figure(max(6.0, _PANEL * columns), 3.0 * rows + 0.3, title)
    first: Axes | None = None
    for position, name in enumerate(settings.columns):
        ax = figure.add_subplot(rows, columns, position + 1, sharey=first)
        first = first or ax
        _draw_panel(ax, settings[name].tolist(), values, best, stopped)
        ax.set_xlabel(wrap(str(name), (_PANEL - 0.6) * 72, 10.5), parse_math=False)
        if position % columns == 0:
            ax.set_ylabel(label, parse_math=False)
        ax.tick_params(labelleft=position % columns == 0)
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 6}
    handles = [
        Line2D([], [], color=BLUE, label="run", **look),
        Line2D([], [], color=VERMILLION, label="best run", **look),
        Line2D([], [], color=GRAY, linewidth=1.3, label="mean"),
    ]
    if stopped.any():
        handles.append(Line2D([], [], color=BLUE, markerfacecolor="none", label="pruned run (last score)", **look))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_panel(
    ax: Axes, settings: Sequence[object], scores: NDArray[np.floating], best: int, pruned: NDArray[np.bool_]
) -> None:
    places, names = _places_of(settings)
    ax.scatter(places[~pruned], scores[~pruned], color=BLUE, **_POINT)
    hollow: dict[str, Any] = _POINT | {"facecolors": "none", "edgecolors": BLUE, "linewidths": 1.2}
    ax.scatter(places[pruned], scores[pruned], **hollow)
    ax.scatter(places[best : best + 1], scores[best : best + 1], color=VERMILLION, **(_POINT | {"s": 60, "alpha": 1}))
    means = pd.Series(scores[~pruned]).groupby(places[~pruned]).mean()
    ax.plot(means.index, means, color=GRAY, linewidth=1.3, zorder=2)
    if names is None and places.min() > 0 and places.max() >= 10 * places.min():
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(NullLocator())
    elif names is None:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=bool((places % 1 == 0).all())))
    finish_axes(ax)
    ax.margins(x=0.12, y=0.1)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))
    if names is not None:
        shown = names if len(names) <= _MOST_VALUES else []
        width = (_PANEL - 0.8) * 72 / max(1, len(shown))
        labels = [wrap(name, max(width, 20), SMALL_SIZE) for name in shown]
        ax.set_xticks(range(len(shown)), labels=labels, parse_math=False)
        ax.tick_params(axis="x", labelsize=SMALL_SIZE)
        ax.set_xlim(-0.6, len(names) - 0.4)


def _places_of(settings: Sequence[object]) -> tuple[NDArray[np.floating], list[str] | None]:
    """Return the position of each run on the x-axis, and the names of the positions unless they are numbers."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in settings):
        numbers = np.array(settings, dtype=float)
        if np.isfinite(numbers).all():
            return numbers, None
    texts = ["null" if value is None else str(value) for value in settings]
    names = list(dict.fromkeys(texts))
    return np.array([names.index(text) for text in texts], dtype=float), names
