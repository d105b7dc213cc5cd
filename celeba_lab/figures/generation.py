"""Training curves of a GAN."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from celeba_lab.figures.style import BLACK, BLUE, ORANGE, STYLE, finish_axes, integer_ticks, new_figure, write_centered

# Colour, line style and marker each distinguish the two networks.
_GENERATOR: dict[str, Any] = {"color": BLUE, "linestyle": "-", "marker": "s"}
_DISCRIMINATOR: dict[str, Any] = {
    "color": ORANGE,
    "linestyle": (0, (5, 1.5)),
    "marker": "o",
    "markerfacecolor": "white",
}
_NETWORKS = {"generator": _GENERATOR, "discriminator": _DISCRIMINATOR}
_PALE: dict[str, Any] = {"alpha": 0.5, "linewidth": 1.2}


@matplotlib.rc_context(STYLE)
def adversarial_curves(history: pd.DataFrame, *, title: str) -> Figure:
    """Draw curves of a GAN's losses, discriminator outputs, gradient norms and training speed.

    Args:
        history: Table with the column ``epoch`` and any of the columns ``train/D(x)``, ``train/D(G(z))``,
            ``train/images_per_second``, ``train/<network>_loss``, ``train/<network>_attribute_loss`` and
            ``train/<network>_gradient_norm``, where ``<network>`` is ``generator`` or ``discriminator``. Values can be
            NaN.
        title: Figure title.
    """
    table = history.set_index("epoch")
    figure = new_figure(9.6, 6.6, title, "Mean values per epoch")
    losses, probabilities, norms, speed = figure.subplots(2, 2, sharex=True).flat
    _draw_losses(losses, table)
    _draw_probabilities(probabilities, table)
    _draw_gradient_norms(norms, table)
    _draw_speed(speed, table)
    for ax in figure.axes:
        if len(ax.lines) > 1:
            ax.legend(loc="best", fontsize=9)
    return figure


def _draw_losses(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the losses of both networks and, for a conditional GAN, their attribute losses."""
    for network, look in _NETWORKS.items():
        _draw_column(ax, table, f"train/{network}_loss", network, look)
    for network, look in _NETWORKS.items():
        _draw_column(ax, table, f"train/{network}_attribute_loss", f"{network}, attribute loss", look | _PALE)
    _finish(ax, "loss")
    _extend_to_zero(ax)
    if len(ax.lines) > 2:  # A legend with four entries needs space above the curves.
        bottom, top = ax.get_ylim()
        ax.set_ylim(top=bottom + 1.35 * (top - bottom))


def _draw_probabilities(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the discriminator's mean output for generated and real faces."""
    _draw_column(ax, table, "train/D(G(z))", "D(G(z)), generated faces", _GENERATOR)
    _draw_column(ax, table, "train/D(x)", "D(x), real faces", _DISCRIMINATOR)
    _finish(ax, "mean probability of being real")
    ax.set_ylim(-0.02, 1.02)


def _draw_gradient_norms(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the gradient norms of both networks on a logarithmic axis."""
    for network, look in _NETWORKS.items():
        _draw_column(ax, table, f"train/{network}_gradient_norm", network, look)
    _finish(ax, "gradient norm")
    if ax.lines:
        ax.set_yscale("log")


def _draw_speed(ax: Axes, table: pd.DataFrame) -> None:
    """Draw the number of training images per second."""
    look = {"color": BLACK, "linestyle": "-", "marker": "^"}
    _draw_column(ax, table, "train/images_per_second", "images per second", look)
    _finish(ax, "training images per second")
    _extend_to_zero(ax)


def _draw_column(ax: Axes, table: pd.DataFrame, column: str, label: str, look: dict[str, Any]) -> None:
    """Draw a column of the history as a line, skipping epochs without a value."""
    values = table.get(column, pd.Series(dtype=float)).dropna()
    if len(values):
        ax.plot(values.index, values, markevery=_every(len(values)), markersize=5, label=label, **look)


def _extend_to_zero(ax: Axes) -> None:
    """Start the y-axis at 0, or lower if there are negative values."""
    bottom, top = ax.get_ylim()
    bottom = bottom if ax.dataLim.ymin < 0 else 0.0
    ax.set_ylim(bottom, top + 0.05 * (top - bottom))


@matplotlib.rc_context(STYLE)
def distance_curves(
    distances: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    floor: float,
    metric: str,
    title: str,
    note: str,
) -> Figure:
    """Draw curves of the distance between generated and real faces.

    Args:
        distances: Mapping from the names of at most two series to their epochs and values.
        floor: Distance between two sets of real faces, drawn as a dotted line.
        metric: Name of the distance metric.
        title: Figure title.
        note: Subtitle that states how the distances were measured.
    """
    figure = new_figure(9.0, 4.4, title, note)
    ax = figure.add_subplot()
    for (name, (epochs, values)), look in zip(distances.items(), _NETWORKS.values(), strict=False):
        ax.plot(epochs, values, markevery=_every(len(epochs)), markersize=5, label=name, **look)
        if len(values):
            ax.annotate(f" {values[-1]:.0f}", (epochs[-1], values[-1]), va="center", size=9)
    ax.axhline(floor, color=BLACK, linestyle=":", linewidth=1.5, label=f"distance between real faces: {floor:.1f}")
    _finish(ax, metric)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.legend(loc="best", fontsize=9)
    return figure


def _every(count: int) -> int:
    """Return the marker spacing at which a line with ``count`` points has about twenty markers."""
    return max(1, count // 20)


def _finish(ax: Axes, ylabel: str) -> None:
    """Label the axes, and show a message if there are no values."""
    ax.set(xlabel="epoch", ylabel=ylabel)
    integer_ticks(ax.xaxis)
    finish_axes(ax)
    values = [np.asarray(line.get_ydata(), float) for line in ax.lines]
    if not values or not np.isfinite(np.concatenate(values)).any():
        write_centered(ax, "no values were recorded")
