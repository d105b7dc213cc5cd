"""Reliability diagrams: whether probabilities mean what they say."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from celeba_lab.analyses.calibration import Reliability, reliability
from celeba_lab.figures.predictions import check_predictions, why_undefined
from celeba_lab.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    SMALL_SIZE,
    STYLE,
    finish_axes,
    grid_columns,
    new_figure,
    panel_width,
    panels,
    say,
    wrap,
)

_BEFORE, _AFTER = (ORANGE, "o", "as given"), (BLUE, "s", "temperature scaled")
_SIZES = "The larger a marker, the more images are in its bin (logarithmic)."


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
    """For every attribute, how often it is present among the images given about the same probability.

    A calibrated classifier lies on the diagonal; below it, it says yes too surely. A marker's area grows with the
    images of its bin; bins without images have none. One attribute also has a histogram of its probabilities.

    Args:
        labels: (N, K), 0 or 1.
        before: (N, K), probabilities in [0, 1] as the classifier gives them.
        after: (N, K), the same after temperature scaling; None for no second curve.
        names: The K attributes.
        bins: Of equal width; see :func:`~celeba_lab.analyses.calibration.reliability`.
        title: Shown above the panels.
        note: A second paragraph of the title.

    Raises:
        ValueError: The arrays do not fit together or hold values outside their range, or ``bins`` is not positive.
    """
    if bins < 1:
        raise ValueError(f"Probabilities must be sorted into at least one bin: got bins={bins}.")
    truth, scores = check_predictions(labels, before, names)
    curves = [(reliability(truth, scores, bins), *_BEFORE)]
    if after is not None:
        curves.append((reliability(truth, check_predictions(labels, after, names)[1], bins), *_AFTER))
    single = len(names) == 1
    columns = 1 if single else grid_columns(len(names))
    width = 4.6 if single else panel_width(columns)
    rows = -(-len(names) // columns)
    size = (6.4, 6.6) if single else (width * columns + 0.6, (0.95 * width + 0.5) * rows + 0.8)
    note = "\n".join(
        filter(None, [note, f"{len(truth):,} images, {bins} bins; ECE: expected calibration error", _SIZES])
    )
    figure = new_figure(*size, title, note)
    if single:
        grid = figure.add_gridspec(2, 1, height_ratios=(3, 1))
        axes = [figure.add_subplot(grid[0])]
        _draw_histogram(figure.add_subplot(grid[1], sharex=axes[0]), curves, bins, names[0])
        axes[0].tick_params(labelbottom=False)
    else:
        axes = panels(figure, len(names), columns)
        for ax in axes[-columns:]:
            ax.set_xlabel("predicted probability", size=SMALL_SIZE)
    for k, ax in enumerate(axes):
        _draw_curves(ax, curves, k, why_undefined(truth[:, k]), SMALL_SIZE if not single else 10.0)
        heading = f"{names[k]}\nECE {_errors(curves, k)}"
        ax.set_title(
            wrap(heading, 0.95 * width * 72, SMALL_SIZE), size=SMALL_SIZE if not single else 10.5, parse_math=False
        )
    if single:
        axes[0].set_ylabel(f"share that is {names[0]}", parse_math=False)
    else:
        figure.supylabel("share of the bin that has the attribute", size=10.5)
    handles = [Line2D([], [], color=colour, marker=marker, label=label) for _, colour, marker, label in curves]
    diagonal = Line2D([], [], color=GREY, linestyle="--", linewidth=1.2, label="calibrated")
    figure.legend(handles=[*handles, diagonal], loc="outside lower center", ncols=3)
    return figure


def _errors(curves: Sequence[tuple[Reliability, str, str, str]], k: int) -> str:
    return " → ".join("undefined" if np.isnan(value) else f"{value:.3f}" for value in (c[0].error[k] for c in curves))


def _draw_curves(
    ax: Axes, curves: Sequence[tuple[Reliability, str, str, str]], k: int, reason: str | None, size: float
) -> None:
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, zorder=1)
    for found, colour, marker, _ in curves:
        count = found.count[k]
        held = count > 0
        x, y = found.confidence[k][held], found.frequency[k][held]
        ax.plot(x, y, color=colour, linewidth=1, alpha=0.35)
        ax.scatter(x, y, s=_areas(count[held]), color=colour, marker=marker, linewidth=0, alpha=0.9, zorder=3)
    if reason:
        say(ax, reason, size=size, y=0.88)
    ticks = {
        "xticks": (0, 0.5, 1),
        "yticks": (0, 0.5, 1),
        "xticklabels": ("0", "0.5", "1"),
        "yticklabels": ("0", "0.5", "1"),
    }
    ax.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), **ticks)
    finish_axes(ax, tick_size=size)


def _areas(count: NDArray[np.integer]) -> NDArray[np.floating]:
    """Marker areas in square points: the logarithm of the images, else the bins at 0 and 1 would hide all others."""
    return 6 + 8 * np.log10(count)


def _draw_histogram(ax: Axes, curves: Sequence[tuple[Reliability, str, str, str]], bins: int, name: str) -> None:
    edges = np.linspace(0, 1, bins + 1)
    for found, colour, _, _ in curves:
        ax.stairs(found.count[0], edges, color=colour, linewidth=1.6)
    ax.set_yscale("symlog", linthresh=1, linscale=0.5)
    most = max(10, *(int(found.count.max()) for found, *_ in curves))
    ax.set_ylim(0, 1.5 * most)
    decades = range(int(np.log10(most)) + 1)
    ax.yaxis.set_major_locator(FixedLocator([0, *(10**d for d in decades[:: 1 + len(decades) // 4])]))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylabel("images per bin")
    ax.set_xlabel(f"predicted probability of {name}", parse_math=False)
    finish_axes(ax, tick_size=10.0)
