"""Confusion matrices at a threshold, and histograms of predicted probabilities."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.predictions import check_predictions, why_undefined
from celeba_lab.figures.style import (
    BLACK,
    BLUE,
    CORRECT,
    LIGHT_GRAY,
    ORANGE,
    SMALL_SIZE,
    STYLE,
    WRONG,
    count_axis,
    finish_axes,
    grid_columns,
    ink,
    new_figure,
    panel_width,
    panels,
    wrap,
    write_centered,
)

_BINS = np.linspace(0, 1, 41)


@matplotlib.rc_context(STYLE)
def confusion_matrices(
    labels: ArrayLike,
    probabilities: ArrayLike,
    names: Sequence[str],
    *,
    threshold: float = 0.5,
    title: str,
) -> Figure:
    """Draw the confusion matrix for each attribute.

    Each cell shows the number of images and its percentage of the row total. A row contains all images of one true
    class. The shade represents the percentage, in blue for correct predictions and in orange for incorrect predictions.
    A single attribute is drawn as one large matrix. Several attributes are drawn as a grid of matrices in the order
    given.

    Args:
        labels: True labels of shape (N, K), each 0 or 1.
        probabilities: Predicted probabilities of shape (N, K), in [0, 1].
        names: Names of the K attributes.
        threshold: Probability at or above which an attribute is predicted to be present.
        title: Figure title.

    Raises:
        ValueError: The shapes of the arrays do not match, or a value is out of range.
    """
    truth, scores = check_predictions(labels, probabilities, names)
    matrices = [_count(truth[:, k], scores[:, k] >= threshold) for k in range(len(names))]
    note = f"{len(truth):,} images, threshold {threshold:.2f}"
    if len(names) == 1:
        return _one_matrix(matrices[0], names[0], title, note)
    columns = grid_columns(len(names))
    rows = -(-len(names) // columns)
    width = panel_width(columns)
    figure = new_figure(width * columns + 0.6, (0.82 * width + 0.4) * rows + 0.5, title, note)
    for k, ax in enumerate(panels(figure, len(names), columns)):
        _draw_matrix(ax, matrices[k], SMALL_SIZE)
        heading = f"{names[k]}\naccuracy {_percent(float(np.trace(matrices[k])), matrices[k].sum())}"
        ax.set_title(wrap(heading, 0.95 * width * 72, SMALL_SIZE), size=SMALL_SIZE, parse_math=False)
        ax.set(xticks=(0, 1), xticklabels=("no", "yes"), yticks=(0, 1), yticklabels=("no", "yes"))
    figure.supxlabel("predicted", size=10.5)
    figure.supylabel("true label", size=10.5)
    return figure


def _count(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> NDArray[np.int_]:
    """Return the confusion matrix, int (2, 2), even if there are no images or only one class."""
    if not len(truth):
        return np.zeros((2, 2), dtype=int)
    from sklearn.metrics import confusion_matrix  # It is slow to import, and other figures do not need it.

    matrix: NDArray[np.int_] = confusion_matrix(truth, predicted, labels=[False, True])
    return matrix


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "undefined"


def _one_matrix(matrix: NDArray[np.int_], name: str, title: str, note: str) -> Figure:
    """Draw the matrix for a single attribute, with the attribute's name in the tick labels."""
    accuracy = _percent(float(np.trace(matrix)), matrix.sum())
    figure = new_figure(5.6, 4.6, title, f"{note}, accuracy {accuracy}")
    ax = figure.add_subplot()
    _draw_matrix(ax, matrix, 15)
    ticks = [f"not {name}", name]
    ax.set(xticks=(0, 1), xticklabels=ticks, yticks=(0, 1), xlabel="predicted", ylabel="true label")
    ax.set_yticklabels(ticks, rotation=90, va="center")
    return figure


def _draw_matrix(ax: Axes, matrix: NDArray[np.int_], size: float) -> None:
    """Draw one matrix with true labels as rows and predicted labels as columns, "no" before "yes"."""
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    colors = np.empty((2, 2, 3))
    for row, column in np.ndindex(2, 2):
        hue = CORRECT if row == column else WRONG
        colors[row, column] = _tint(hue, shares[row, column]) if totals[row, 0] else to_rgb(LIGHT_GRAY)
        text = f"{matrix[row, column]:,}\n{_percent(int(matrix[row, column]), int(totals[row, 0]))}"
        ax.text(column, row, text, ha="center", va="center", size=size, color=ink(colors[row, column]))
    ax.imshow(colors, aspect="auto", interpolation="nearest")
    ax.axhline(0.5, color="white", linewidth=2)
    ax.axvline(0.5, color="white", linewidth=2)
    ax.spines[:].set_visible(False)
    finish_axes(ax, tick_size=max(SMALL_SIZE, 0.7 * size), grid=False)
    ax.tick_params(length=0)


def _tint(color: str, strength: float) -> NDArray[np.floating]:
    """Mix a colour with white. At least 12% of the colour remains, so that cells with 0% are still visible."""
    weight = 0.12 + 0.88 * strength
    return 1 - weight * (1 - np.asarray(to_rgb(color)))


@matplotlib.rc_context(STYLE)
def score_histograms(
    labels: ArrayLike,
    probabilities: ArrayLike,
    names: Sequence[str],
    *,
    threshold: float = 0.5,
    title: str,
) -> Figure:
    """Draw the distribution of each attribute's predicted probabilities, separately for each true class.

    The bins are 0.025 wide. The count axis is logarithmic above 1 and includes 0, so that a few confident mistakes are
    visible next to thousands of correct predictions.

    Args:
        labels: True labels of shape (N, K), each 0 or 1.
        probabilities: Predicted probabilities of shape (N, K), in [0, 1].
        names: Names of the K attributes.
        threshold: Threshold drawn as a vertical line, in [0, 1].
        title: Figure title.

    Raises:
        ValueError: The shapes of the arrays do not match, or a value is out of range.
    """
    truth, scores = check_predictions(labels, probabilities, names)
    columns = grid_columns(len(names))
    rows = -(-len(names) // columns)
    single = len(names) == 1
    width = panel_width(columns)
    size = (7.0, 4.3) if single else (width * columns + 0.6, 0.85 * width * rows + 0.8)
    figure = new_figure(*size, title, f"{len(truth):,} images, bin width 0.025, logarithmic scale")
    text_size = 10.5 if single else SMALL_SIZE
    for k, ax in enumerate(panels(figure, len(names), columns)):
        _draw_scores(ax, truth[:, k], scores[:, k], threshold, text_size)
        if k + columns >= len(names):
            label = f"predicted probability of {names[0]}" if single else "predicted probability"
            ax.set_xlabel(label, size=text_size, parse_math=False)
        if k % columns == 0:
            ax.set_ylabel("images per bin", size=text_size)
        if not single:
            ax.set_title(wrap(names[k], 0.9 * width * 72, SMALL_SIZE), size=SMALL_SIZE, parse_math=False)
    _scale_counts(figure.axes[0], truth, scores, finer=single)
    # For a single attribute, the legend contains the name twice and may be too wide for one row.
    handles = _score_handles(truth, names, threshold)
    figure.legend(handles=handles, loc="outside lower center", ncols=2 if single else 3)
    return figure


def _draw_scores(
    ax: Axes, truth: NDArray[np.bool_], scores: NDArray[np.floating], threshold: float, size: float
) -> None:
    """Draw one attribute's histograms, with one class filled and the other outlined, so that both are visible."""
    ax.stairs(np.histogram(scores[~truth], _BINS)[0], _BINS, fill=True, color=ORANGE, alpha=0.55)
    ax.stairs(np.histogram(scores[truth], _BINS)[0], _BINS, color=BLUE, linewidth=1.6)
    ax.axvline(threshold, color=BLACK, linestyle="--", linewidth=1.2)
    reason = why_undefined(truth)
    if reason:
        write_centered(ax, reason, size=size, y=0.88)
    ax.set(xlim=(0, 1), xticks=(0, 0.5, 1), xticklabels=("0", "0.5", "1"))
    finish_axes(ax, tick_size=size)


def _scale_counts(ax: Axes, truth: NDArray[np.bool_], scores: NDArray[np.floating], *, finer: bool) -> None:
    """Show counts on a logarithmic axis that includes 0, in ``ax`` and all panels that share its axes.

    The ticks are at 0, 1, 10, 100 and so on. If ``finer`` is true, there are also ticks at 3, 30, 300 and so on.
    """
    columns = range(truth.shape[1])
    highest = max(np.histogram(scores[truth[:, k] == c, k], _BINS)[0].max() for k in columns for c in (False, True))
    decades = range(int(np.ceil(np.log10(max(highest, 10)))) + 1)
    count_axis(ax, highest, (step * 10**d for d in decades for step in ((1, 3) if finer else (1,))))


def _score_handles(truth: NDArray[np.bool_], names: Sequence[str], threshold: float) -> list[Patch | Line2D]:
    """Return the legend handles for both classes and the threshold."""
    absent, present = "true label: absent", "true label: present"
    if len(names) == 1:
        positives = int(truth.sum())
        absent, present = f"not {names[0]} ({len(truth) - positives:,})", f"{names[0]} ({positives:,})"
    return [
        Patch(facecolor=ORANGE, alpha=0.55, label=absent),
        Patch(facecolor="none", edgecolor=BLUE, linewidth=1.6, label=present),
        Line2D([], [], color=BLACK, linestyle="--", linewidth=1.2, label=f"threshold {threshold:.2f}"),
    ]
