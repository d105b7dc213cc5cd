"""Reliability diagrams: observed frequencies against predicted probabilities."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from celeba_lab.analyses.calibration import Reliability, reliability
from celeba_lab.figures.predictions import check_predictions, why_undefined
from celeba_lab.figures.style import (
    BLUE,
    GRAY,
    ORANGE,
    SMALL_SIZE,
    STYLE,
    count_axis,
    finish_axes,
    grid_columns,
    new_figure,
    panel_width,
    panels,
    wrap,
    write_centered,
)

_SIZES = "The area of each marker shows the number of images in the bin on a logarithmic scale."


class _Curve(NamedTuple):
    """Reliability of all attributes before or after temperature scaling, and the style of the curves."""

    found: Reliability
    color: str
    marker: str
    label: str


@matplotlib.rc_context(STYLE)
def reliability_diagrams(
    labels: ArrayLike,
    before: ArrayLike,
    after: ArrayLike | None,
    names: Sequence[str],
    *,
    bins: int = 15,
    title: str,
    note: str = "",
) -> Figure:
    """Draw each attribute's observed frequency as a function of its predicted probability.

    The curve of a well-calibrated classifier lies on the diagonal. A curve below the diagonal means that the
    probabilities are too high. Larger markers represent bins with more images, and empty bins have no marker. For a
    single attribute, the figure also contains a histogram of the probabilities.

    Args:
        labels: True labels of shape (N, K), each 0 or 1.
        before: Probabilities predicted by the classifier, of shape (N, K), in [0, 1].
        after: Probabilities after temperature scaling, of shape (N, K), in [0, 1], or None to draw only ``before``.
        names: Names of the K attributes.
        bins: Number of equal-width bins; see :func:`~celeba_lab.analyses.calibration.reliability`.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: The shapes of the arrays do not match, a value is out of range, or ``bins`` is below 1.
    """
    if bins < 1:
        raise ValueError(f"The number of bins must be at least 1: got bins={bins}.")
    truth, scores = check_predictions(labels, before, names)
    curves = [_Curve(reliability(truth, scores, bins), ORANGE, "o", "predicted")]
    if after is not None:
        scaled = check_predictions(labels, after, names)[1]
        curves.append(_Curve(reliability(truth, scaled, bins), BLUE, "s", "temperature scaled"))
    note = "\n".join(
        filter(None, [note, f"{len(truth):,} images, {bins} bins; ECE is the expected calibration error", _SIZES])
    )
    reasons = [why_undefined(column) for column in truth.T]
    draw = _draw_one if len(names) == 1 else _draw_several
    figure = draw(curves, names, reasons, title, note)
    handles = [Line2D([], [], color=curve.color, marker=curve.marker, label=curve.label) for curve in curves]
    diagonal = Line2D([], [], color=GRAY, linestyle="--", linewidth=1.2, label="perfect calibration")
    figure.legend(handles=[*handles, diagonal], loc="outside lower center", ncols=3)
    return figure


def _draw_one(
    curves: Sequence[_Curve], names: Sequence[str], reasons: Sequence[str | None], title: str, note: str
) -> Figure:
    """Draw a single attribute's diagram above a histogram of its probabilities."""
    figure = new_figure(6.4, 6.6, title, note)
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 1))
    ax = figure.add_subplot(grid[0])
    _draw_histogram(figure.add_subplot(grid[1], sharex=ax), curves, names[0])
    ax.tick_params(labelbottom=False)
    _draw_curves(ax, curves, 0, reasons[0], 10.0)
    heading = f"{names[0]}\nECE {_errors(curves, 0)}"
    ax.set_title(wrap(heading, 0.95 * 4.6 * 72, SMALL_SIZE), size=10.5, parse_math=False)
    ax.set_ylabel(f"fraction of images with {names[0]}", parse_math=False)
    return figure


def _draw_several(
    curves: Sequence[_Curve], names: Sequence[str], reasons: Sequence[str | None], title: str, note: str
) -> Figure:
    """Draw a grid with one diagram per attribute."""
    columns = grid_columns(len(names))
    rows = -(-len(names) // columns)
    width = panel_width(columns)
    figure = new_figure(width * columns + 0.6, (0.95 * width + 0.5) * rows + 0.8, title, note)
    axes = panels(figure, len(names), columns)
    for ax in axes[-columns:]:
        ax.set_xlabel("predicted probability", size=SMALL_SIZE)
    for k, ax in enumerate(axes):
        _draw_curves(ax, curves, k, reasons[k], SMALL_SIZE)
        heading = f"{names[k]}\nECE {_errors(curves, k)}"
        ax.set_title(wrap(heading, 0.95 * width * 72, SMALL_SIZE), size=SMALL_SIZE, parse_math=False)
    figure.supylabel("fraction of images with the attribute", size=10.5)
    return figure


def _errors(curves: Sequence[_Curve], k: int) -> str:
    """Format the calibration errors for attribute ``k`` before and after temperature scaling."""
    errors = [curve.found.error[k] for curve in curves]
    return " → ".join("undefined" if np.isnan(value) else f"{value:.3f}" for value in errors)


def _draw_curves(ax: Axes, curves: Sequence[_Curve], k: int, reason: str | None, size: float) -> None:
    """Draw the curves for attribute ``k``, or write the reason why they are undefined."""
    ax.plot([0, 1], [0, 1], color=GRAY, linestyle="--", linewidth=1.2, zorder=1)
    for found, color, marker, _ in curves:
        count = found.count[k]
        held = count > 0
        x, y = found.confidence[k][held], found.frequency[k][held]
        ax.plot(x, y, color=color, linewidth=1, alpha=0.35)
        ax.scatter(x, y, s=_areas(count[held]), color=color, marker=marker, linewidth=0, alpha=0.9, zorder=3)
    if reason:
        write_centered(ax, reason, size=size, y=0.88)
    ticks = {
        "xticks": (0, 0.5, 1),
        "yticks": (0, 0.5, 1),
        "xticklabels": ("0", "0.5", "1"),
        "yticklabels": ("0", "0.5", "1"),
    }
    ax.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), **ticks)
    finish_axes(ax, tick_size=size)


def _areas(count: NDArray[np.integer]) -> NDArray[np.floating]:
    """Return marker areas in square points.

    The areas grow with the logarithm of the number of images. If the areas were proportional to the number of images,
    the markers of the fullest bins, near 0 and 1, would hide all other markers.
    """
    areas: NDArray[np.floating] = 6 + 8 * np.log10(count)
    return areas


def _draw_histogram(ax: Axes, curves: Sequence[_Curve], name: str) -> None:
    """Draw the number of images per bin on a logarithmic axis that includes 0."""
    edges = np.linspace(0, 1, curves[0].found.count.shape[1] + 1)
    for curve in curves:
        ax.stairs(curve.found.count[0], edges, color=curve.color, linewidth=1.6)
    highest = max(10, *(int(curve.found.count.max()) for curve in curves))
    decades = range(int(np.log10(highest)) + 1)
    count_axis(ax, highest, (10**d for d in decades[:: 1 + len(decades) // 4]))
    ax.set_ylabel("images per bin")
    ax.set_xlabel(f"predicted probability of {name}", parse_math=False)
    finish_axes(ax, tick_size=10.0)
