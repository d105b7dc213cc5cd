"""Figures of associations between attributes."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.matrices import NEGATIVE, POSITIVE, check_matrix
from celeba_lab.figures.numbers import ratio_text, ratio_ticks, value_format, value_text
from celeba_lab.figures.rows import ROW, name_rows, write_column
from celeba_lab.figures.style import (
    BLACK,
    BLUE,
    SMALL_SIZE,
    STYLE,
    VERMILLION,
    finish_axes,
    grid_columns,
    new_figure,
    panels,
    text_width,
    write_centred,
)

_BAR = 0.175  # height of a bar in a small panel in inches
_HATCH = "////"  # pattern of bars that are longer than their axis
_CUT = 2.0  # length at which bars are cut, as a multiple of their 90th percentile


@matplotlib.rc_context(STYLE)
def attribute_scores(
    scores: ArrayLike, baselines: ArrayLike, names: Sequence[str], *, metric: str, title: str, note: str = ""
) -> Figure:
    """Draw the score of each attribute and a baseline, with the best score on top.

    The segment between the two is the gain, which is orange if the score is below the baseline. Score and gain are
    written at the right. Attributes without a score are last and labelled "undefined".

    Args:
        scores: Scores, (K,), where higher is better; NaN is undefined.
        baselines: Baselines in the same unit, (K,), such as the accuracy of always predicting the majority class. NaN
            is not drawn.
        names: Names of the K attributes.
        metric: Label of the axis: the score and its unit.
        title: Title of the figure.
        note: Second paragraph of the title.

    Raises:
        ValueError: There are no attributes, or the arrays are not (K,).
    """
    values, floors = np.asarray(scores, dtype=float), np.asarray(baselines, dtype=float)
    if not names or values.shape != (len(names),) or floors.shape != values.shape:
        raise ValueError(
            "Scores and baselines must both be (K,), at least one, with a name for each: "
            f"got scores {values.shape}, baselines {floors.shape} and {len(names)} names."
        )
    order = np.argsort(np.where(np.isnan(values), np.inf, -values), kind="stable")
    values, floors = values[order], floors[order]
    figure = new_figure(8.4, ROW * len(names) + 1.35, title, note)
    ax = figure.add_subplot()
    _draw_scores(ax, values, floors)
    name_rows(ax, [names[k] for k in order])
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel(metric, parse_math=False)
    figure.legend(handles=_score_handles(values, floors), loc="outside lower center", ncols=3)
    return figure


def _draw_scores(ax: Axes, values: NDArray[np.floating], floors: NDArray[np.floating]) -> None:
    """Draw scores, baselines and gains, and write the numbers at the right."""
    rows = np.arange(len(values))
    drawn = np.isfinite(values)
    known = np.isfinite(floors)
    both = drawn & known
    colours = np.where(values < floors, VERMILLION, BLUE)
    ax.hlines(rows[both], floors[both], values[both], colors=colours[both], linewidth=3.5, alpha=0.45)
    ax.scatter(floors[known], rows[known], marker="|", s=90, linewidth=2, color=BLACK, zorder=3)
    ax.scatter(values[drawn], rows[drawn], s=42, color=colours[drawn], zorder=4)
    write_column(ax, 48, "score", [_score_text(value) for value in values])
    gains = [f"{value:+.3f}".replace("-", "−") for value in (values - floors)[both]]
    if gains:
        cells = dict(zip(rows[both], gains, strict=True))
        write_column(ax, 104, "gain", [cells.get(row, "") for row in rows])
    ax.margins(x=0.04)


def _score_text(value: float) -> str:
    return "undefined" if np.isnan(value) else value_text(value, ".3f")


def _score_handles(values: NDArray[np.floating], floors: NDArray[np.floating]) -> list[Line2D]:
    dot: dict[str, Any] = {"linestyle": "-", "linewidth": 3.5, "marker": "o", "markersize": 6.5}
    tick: dict[str, Any] = {"linestyle": "", "marker": "|", "markersize": 10, "markeredgewidth": 2, "color": BLACK}
    handles = [Line2D([], [], color=BLUE, label="score", **dot), Line2D([], [], label="baseline", **tick)]
    if (values[np.isfinite(values)] < floors[np.isfinite(values)]).any():
        handles.append(Line2D([], [], color=VERMILLION, label="score below the baseline", **dot))
    return handles


@matplotlib.rc_context(STYLE)
def strongest_pairs(
    values: ArrayLike, names: Sequence[str], *, label: str, title: str, n: int = 15, note: str = ""
) -> Figure:
    """Draw the pairs of attributes with the largest positive and the largest negative values as bars.

    The largest positive value is at the top, and the largest negative value is at the bottom. Bars of infinite values
    are hatched and end at the limit of the axis. Undefined pairs are left out and counted in the title.

    Args:
        values: Symmetric values, (K, K). The diagonal is ignored, and NaN is undefined.
        names: Names of the K attributes.
        label: Label of the axis: the quantity and its unit.
        title: Title of the figure.
        n: Maximum number of pairs of either sign.
        note: Second paragraph of the title.

    Raises:
        ValueError: ``values`` is empty, not (K, K) or not symmetric, or ``n`` is below 1.
    """
    table = check_matrix(values, names, names)
    # The tolerance covers the rounding of float32.
    if not np.allclose(table, table.T, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise ValueError("Values of pairs must be symmetric: the value of (A, B) differs from that of (B, A).")
    if n < 1:
        raise ValueError(f"The number of pairs must be at least 1: got n={n}.")
    first, second = np.triu_indices(len(names), k=1)
    pairs = table[first, second]
    note = "\n".join(filter(None, [note, _count_undefined(pairs)]))
    chosen = _ends(pairs, n)
    heights = np.arange(len(chosen)) + 0.7 * (pairs[chosen] < 0)  # a gap between the signs
    texts = [f"{names[first[k]]} · {names[second[k]]}" for k in chosen]
    width = max((text_width(text, SMALL_SIZE) / 72 for text in texts), default=0) + 5.6
    figure = new_figure(width, ROW * max(len(chosen) + 1, 3) + 0.75, title, note)
    ax = figure.add_subplot()
    if len(chosen):
        _draw_signed_bars(ax, heights, pairs[chosen])
    else:
        write_centred(ax, "every pair is undefined or 0")
        ax.set(xticks=())
    name_rows(ax, texts, heights)
    ax.set_xlabel(label, parse_math=False)
    return figure


def _count_undefined(pairs: NDArray[np.floating]) -> str:
    count = int(np.isnan(pairs).sum())
    return f"{count:,} of {len(pairs):,} pairs are undefined and left out" if count else ""


def _ends(values: NDArray[np.floating], n: int) -> NDArray[np.intp]:
    """Return the positions of the ``n`` largest positive and the ``n`` smallest negative values, the largest first."""
    order = np.argsort(-values, kind="stable")  # NaN is sorted to the end.
    positive, negative = order[values[order] > 0], order[values[order] < 0]
    return np.concatenate([positive[:n], negative[-n:]])


def _draw_signed_bars(ax: Axes, heights: NDArray[np.floating], values: NDArray[np.floating]) -> None:
    """Draw bars from 0 with their values at their ends."""
    reach = 1.15 * (np.abs(values[np.isfinite(values)]).max(initial=0) or 1.0)
    lengths = np.clip(values, -reach, reach)
    form = value_format(values)
    colours = np.where(values > 0, POSITIVE, NEGATIVE).tolist()
    hatches = np.where(np.isinf(values), _HATCH, "").tolist()
    ax.barh(heights, lengths, height=0.72, color=colours, hatch=hatches, edgecolor="white", linewidth=0)
    for height, value, length in zip(heights, values, lengths, strict=True):
        sign = 1 if value > 0 else -1
        _write_at_end(ax, length, height, value_text(value, form), sign)
    ax.axvline(0, color=BLACK, linewidth=1)
    # The texts next to the bars are up to 7 characters long.
    room = 0.16 * (max(lengths.max(), 0) - min(lengths.min(), 0))
    ax.set_xlim(min(lengths.min(), 0) - room * (lengths.min() < 0), max(lengths.max(), 0) + room * (lengths.max() > 0))
    ax.set_ylim(heights.max() + 0.6, -0.6)


def _write_at_end(ax: Axes, x: float, y: float, text: str, sign: int) -> None:
    """Write a text next to the end of a bar that points to the right (``sign`` 1) or to the left (-1)."""
    side = "left" if sign > 0 else "right"
    ax.annotate(text, (x, y), (3 * sign, 0), textcoords="offset points", ha=side, va="center", size=SMALL_SIZE)


@matplotlib.rc_context(STYLE)
def top_associations(odds_ratios: ArrayLike, names: Sequence[str], *, n: int = 3, title: str, note: str = "") -> Figure:
    """Draw the predictors with the largest and the smallest odds ratios of each attribute, in one panel per attribute.

    All panels share one logarithmic axis, so the bars of 1/4 and 4 have the same length. The odds ratio is written at
    the end of each bar, and the name of the predictor on the other side of 1. Bars that are much longer than the others
    are cut and hatched. The panel of an attribute without odds ratios shows "no model".

    Args:
        odds_ratios: Odds ratios, at least 0, (K, K). The row is the predicted attribute, and the column is the
            predictor. NaN, as on the diagonal, is ignored.
        names: Names of the K attributes.
        n: Maximum number of predictors above 1, and of predictors below 1.
        title: Title of the figure.
        note: Second paragraph of the title.

    Raises:
        ValueError: ``odds_ratios`` is empty, not (K, K) or has negative values, or ``n`` is below 1.
    """
    table = check_matrix(odds_ratios, names, names)
    if (table < 0).any():
        raise ValueError(f"An odds ratio cannot be negative: got {np.nanmin(table)} (coefficients without exp?).")
    if n < 1:
        raise ValueError(f"The number of predictors must be at least 1: got n={n}.")
    n = max(1, min(n, len(names) - 1))
    np.fill_diagonal(table, np.nan)
    with np.errstate(divide="ignore"):
        logarithms = np.log2(table)
    chosen = [_ends(row, n) for row in logarithms]
    reach = _common_reach(np.concatenate([row[k] for row, k in zip(logarithms, chosen, strict=True)]))
    if any((np.abs(row[k]) > reach).any() for row, k in zip(logarithms, chosen, strict=True)):
        note = "\n".join(filter(None, [note, "Hatched bars are longer than the axis."]))
    columns = min(5, grid_columns(len(names)))
    rows = -(-len(names) // columns)
    # Width in inches on either side of 1.
    half = max(1.0, max(text_width(name, SMALL_SIZE) for name in names) / 72 + 0.25)
    size = (max(2 * half * columns + 0.5, 4.5), ((2 * n + 0.6) * _BAR + 0.4) * rows + 0.6)
    figure = new_figure(*size, title, note)
    axes = panels(figure, len(names), columns)
    # The values next to the bars need half an inch, whatever the width of a panel is.
    span = reach * half / (half - 0.5)
    axes[0].set(xlim=(-span, span), ylim=(2 * n + 0.1, -0.6))
    ticks, labels = ratio_ticks(-reach, reach, most=5)
    axes[0].set_xticks(ticks, labels=labels)
    for k, ax in enumerate(axes):
        _draw_odds(ax, logarithms[k, chosen[k]], [names[j] for j in chosen[k]], reach, n)
        if not len(chosen[k]):
            write_centred(ax, "no model" if np.isnan(table[k]).all() else "all odds ratios are 1", size=SMALL_SIZE)
        ax.set_title(names[k], size=SMALL_SIZE, weight="bold", pad=4, parse_math=False)
    figure.supxlabel("odds ratio (logarithmic)", size=10.5)
    return figure


def _common_reach(logarithms: NDArray[np.floating]) -> float:
    """Return the limit of the shared axis as a base 2 logarithm: the longest bar that is not an outlier."""
    lengths = np.abs(logarithms[np.isfinite(logarithms)])
    if not lengths.size:
        return 1.0
    return max(1.0, min(float(lengths.max()), _CUT * float(np.percentile(lengths, 90))))


def _draw_odds(ax: Axes, logarithms: NDArray[np.floating], names: Sequence[str], reach: float, n: int) -> None:
    """Draw the bars of one panel, the largest first. Those below 1 are always at the bottom of the panel."""
    below = int((logarithms < 0).sum())
    heights = np.concatenate([np.arange(len(logarithms) - below), 2 * n - 0.5 - np.arange(below)[::-1]])
    lengths = np.clip(logarithms, -reach, reach)
    colours = np.where(logarithms > 0, POSITIVE, NEGATIVE).tolist()
    hatches = np.where(np.abs(logarithms) > reach, _HATCH, "").tolist()
    ax.barh(heights, lengths, height=0.78, color=colours, hatch=hatches, edgecolor="white", linewidth=0)
    for height, logarithm, length, name in zip(heights, logarithms, lengths, names, strict=True):
        sign = 1 if logarithm > 0 else -1
        _write_at_end(ax, length, height, ratio_text(float(np.exp2(logarithm))), sign)
        _write_at_end(ax, 0, height, name, -sign)
    ax.axvline(0, color=BLACK, linewidth=0.8)
    finish_axes(ax, tick_size=SMALL_SIZE)
    ax.grid(False, axis="y")
    ax.set_yticks(())
    ax.spines["left"].set_visible(False)


@matplotlib.rc_context(STYLE)
def dendrogram(linkage: ArrayLike, names: Sequence[str], *, label: str, title: str, note: str = "") -> Figure:
    """Draw the tree of a hierarchical clustering, where two branches meet at the distance at which they were joined.

    Args:
        linkage: Linkage matrix from ``scipy.cluster.hierarchy.linkage``, (K - 1, 4).
        names: Names of the K leaves, at least two.
        label: Label of the axis: the distance.
        title: Title of the figure.
        note: Second paragraph of the title.

    Raises:
        ValueError: ``linkage`` is not a linkage matrix of this number of leaves.
    """
    steps = np.asarray(linkage, dtype=float)
    if len(names) < 2 or steps.shape != (len(names) - 1, 4):
        raise ValueError(
            f"The linkage of K leaves must be (K - 1, 4), with K at least 2: got {steps.shape} and {len(names)} names."
        )
    if not np.isfinite(steps).all() or not _is_tree(steps):
        raise ValueError(
            "The linkage is not valid: it contains NaN or infinity, or joins clusters that do not exist or are"
            " already joined."
        )
    from scipy.cluster import hierarchy  # an import of a second that other figures do not need

    tree = hierarchy.dendrogram(steps, no_plot=True)
    figure = new_figure(8.6, 0.235 * len(names) + 1.0, title, note)
    ax = figure.add_subplot()
    branches = [np.column_stack(branch) for branch in zip(tree["dcoord"], tree["icoord"], strict=True)]
    ax.add_collection(LineCollection(branches, colors=BLUE, linewidths=1.4, capstyle="projecting"))
    ax.set(xlim=(0, 1.03 * float(steps[:, 2].max()) or 1.0), ylim=(10 * len(names), 0))
    ax.set_xlabel(label, parse_math=False)
    # SciPy's leaves are at 5, 15, 25, ...
    name_rows(ax, [names[k] for k in tree["leaves"]], 10 * np.arange(len(names)) + 5)
    return figure


def _is_tree(steps: NDArray[np.floating]) -> bool:
    """Return whether every cluster except the last is joined exactly once, after it was formed.

    SciPy's check accepts some tables in which a single step is wrong.
    """
    leaves = len(steps) + 1
    joined = steps[:, :2]
    once = np.array_equal(np.sort(joined.ravel()), np.arange(2 * len(steps)))
    return once and bool((joined.max(axis=1) < leaves + np.arange(len(steps))).all())
