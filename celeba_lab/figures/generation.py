"""Figures of a GAN in training."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from celeba_lab.figures.style import BLACK, BLUE, ORANGE, STYLE, finish_axes, new_figure, say

# Colour, line style and marker of the two players: each alone tells them apart.
_GENERATOR: dict[str, Any] = {"color": BLUE, "linestyle": "-", "marker": "s"}
_DISCRIMINATOR: dict[str, Any] = {
    "color": ORANGE,
    "linestyle": (0, (5, 1.5)),
    "marker": "o",
    "markerfacecolor": "white",
}
_ON_ATTRIBUTES = {"alpha": 0.5, "linewidth": 1.2}  # of a conditional model: beside the loss on being real

# Panel -> its logarithmic axis, and column of the history -> (label, look).
_PANELS: Mapping[str, tuple[bool, Mapping[str, tuple[str, dict[str, Any]]]]] = {
    "loss": (
        False,
        {
            "train/generator_loss": ("generator", _GENERATOR),
            "train/discriminator_loss": ("discriminator", _DISCRIMINATOR),
            "train/generator_attribute_loss": ("generator, on attributes", _GENERATOR | _ON_ATTRIBUTES),
            "train/discriminator_attribute_loss": ("discriminator, on attributes", _DISCRIMINATOR | _ON_ATTRIBUTES),
        },
    ),
    "mean probability of being real": (
        False,
        {
            "train/D(G(z))": ("D(G(z)), generated faces", _GENERATOR),
            "train/D(x)": ("D(x), real faces", _DISCRIMINATOR),
        },
    ),
    "gradient norm": (
        True,
        {
            "train/generator_gradient_norm": ("generator", _GENERATOR),
            "train/discriminator_gradient_norm": ("discriminator", _DISCRIMINATOR),
        },
    ),
    "training images per second": (
        False,
        {"train/images_per_second": ("images per second", {"color": BLACK, "linestyle": "-", "marker": "^"})},
    ),
}


@matplotlib.rc_context(STYLE)
def adversarial_curves(history: pd.DataFrame, *, title: str) -> Figure:
    """Losses, probabilities, gradient norms and speed of the two players, epoch by epoch.

    Args:
        history: columns ``epoch``, ``train/D(x)``, ``train/D(G(z))``, ``train/images_per_second``, and of either player
            (``train/generator_``, ``train/discriminator_``) ``loss``, ``attribute_loss`` and ``gradient_norm``; any may
            be missing and any value NaN.
        title: Shown above the panels.
    """
    figure = new_figure(9.6, 6.6, title, "Means of each epoch")
    for ax, (name, (logarithmic, lines)) in zip(figure.subplots(2, 2, sharex=True).flat, _PANELS.items(), strict=True):
        for column, (label, look) in lines.items():
            values = history.set_index("epoch").get(column, pd.Series(dtype=float)).dropna()
            if len(values):
                ax.plot(values.index, values, markevery=_every(len(values)), markersize=5, label=label, **look)
        _finish(ax, name)
        if logarithmic and ax.lines:
            ax.set_yscale("log")
        if name.startswith("mean probability"):
            ax.set_ylim(-0.02, 1.02)
        if not logarithmic and not name.startswith("mean"):
            bottom, top = ax.get_ylim()
            bottom = bottom if ax.dataLim.ymin < 0 else 0.0  # losses may lie below 0
            ax.set_ylim(bottom, top + 0.05 * (top - bottom))
        if len(ax.lines) > 1:
            ax.legend(loc="best", fontsize=9)
    return figure


@matplotlib.rc_context(STYLE)
def distance_curves(
    distances: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    floor: float,
    metric: str,
    title: str,
    note: str,
) -> Figure:
    """A distance of generated from real faces, epoch by epoch.

    Args:
        distances: Name of a series (at most two) to its epochs and its values.
        floor: The distance of real faces from other real faces.
        metric: What the values are.
        title: Shown above the axes.
        note: A second paragraph of the title: in which features, of how many faces.
    """
    figure = new_figure(9.0, 4.4, title, note)
    ax = figure.add_subplot()
    for (name, (epochs, values)), look in zip(distances.items(), (_GENERATOR, _DISCRIMINATOR), strict=False):
        ax.plot(epochs, values, markevery=_every(len(epochs)), markersize=5, label=name, **look)
        if len(values):
            ax.annotate(f" {values[-1]:.0f}", (epochs[-1], values[-1]), va="center", size=9)
    ax.axhline(floor, color=BLACK, linestyle=":", linewidth=1.5, label=f"real against real {floor:.1f}")
    _finish(ax, metric)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.legend(loc="best", fontsize=9)
    return figure


def _every(count: int) -> int:
    """About twenty markers are enough to tell lines apart; a hundred hide them."""
    return max(1, count // 20)


def _finish(ax: Axes, ylabel: str) -> None:
    ax.set(xlabel="epoch", ylabel=ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    finish_axes(ax)
    if (
        not ax.lines
        or not np.isfinite(np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.lines])).any()
    ):
        say(ax, "nothing was recorded")
