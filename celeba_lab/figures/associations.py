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

from celeba_lab.figures.bars import draw_signed_bars, draw_values, write_at_end
from celeba_lab.figures.matrices import check_matrix
from celeba_lab.figures.numbers import ratio_text, ratio_ticks, score_text
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
    write_centered,
)

_BAR = 0.175  # bar height in a small panel, in inches
_CUT = 2.0  # maximum axis limit, as a multiple of the 90th percentile of the bar lengths


@matplotlib.rc_context(STYLE)
def attribute_scores(
    scores: ArrayLike, baselines: ArrayLike, names: Sequence[str], *, metric: str, title: str, note: str = ""
) -> Figure:
    """Draw each attribute's score next to its baseline, with the best score at the top.

    A line connects the score and the baseline. The line and the score are orange if the score is below the baseline.
    The score and the gain are shown on the right. Attributes without a score come last and are labelled "undefined".

    Args:
        scores: Scores of shape (K,). Higher scores are better. NaN means undefined.
        baselines: Baselines of shape (K,), such as the accuracy of always predicting the majority class, in the same
            unit as the scores. NaN values are not drawn.
        names: Names of the K attributes.
        metric: Axis label that states the score and its unit.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: There are no attributes, or an array does not have shape (K,).
    """
    values, floors = np.asarray(scores, dtype=float), np.asarray(baselines, dtype=float)
    if not names or values.shape != (len(names),) or floors.shape != values.shape:
        raise ValueError(
            "Scores and baselines must both have shape (K,), with K at least 1 and one name per attribute: "
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
    """Draw the scores, baselines and gains, with their values on the right."""
    rows = np.arange(len(values))
    drawn = np.isfinite(values)
    known = np.isfinite(floors)
    both = drawn & known
    colors = np.where(values < floors, VERMILLION, BLUE)
    ax.hlines(rows[both], floors[both], values[both], colors=colors[both], linewidth=3.5, alpha=0.45)
    ax.scatter(floors[known], rows[known], marker="|", s=90, linewidth=2, color=BLACK, zorder=3)
    ax.scatter(values[drawn], rows[drawn], s=42, color=colors[drawn], zorder=4)
    write_column(ax, 48, "score", [score_text(value) for value in values])
    gains = [f"{value:+.3f}".replace("-", "−") for value in (values - floors)[both]]
    if gains:
        cells = dict(zip(rows[both], gains, strict=True))
        write_column(ax, 104, "gain", [cells.get(row, "") for row in rows])
    ax.margins(x=0.04)


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
    """Draw a bar chart of the attribute pairs with the most positive and the most negative values.

    The most positive value is at the top, and the most negative value is at the bottom. Infinite values are drawn as
    hatched bars of finite length. Pairs with undefined values are not shown, but are counted in the subtitle.

    Args:
        values: Symmetric matrix of shape (K, K). The diagonal is ignored, and NaN means undefined.
        names: Names of the K attributes.
        label: Axis label that states the quantity and its unit.
        title: Figure title.
        n: Maximum number of pairs to show for each sign.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: ``values`` is empty, does not have shape (K, K) or is not symmetric, or ``n`` is below 1.
    """
    table = check_matrix(values, names, names)
    # The tolerance allows for float32 rounding errors.
    if not np.allclose(table, table.T, rtol=1e-4, atol=1e-6, equal_nan=True):
        raise ValueError("The matrix of pair values must be symmetric, but some values at (A, B) and (B, A) differ.")
    if n < 1:
        raise ValueError(f"The number of pairs must be at least 1: got n={n}.")
    first, second = np.triu_indices(len(names), k=1)
    pairs = table[first, second]
    note = "\n".join(filter(None, [note, _count_undefined(pairs)]))
    chosen = _ends(pairs, n)
    heights = np.arange(len(chosen)) + 0.7 * (pairs[chosen] < 0)  # leaves a gap between positive and negative values
    texts = [f"{names[first[k]]} · {names[second[k]]}" for k in chosen]
    width = max((text_width(text, SMALL_SIZE) / 72 for text in texts), default=0) + 5.6
    figure = new_figure(width, ROW * max(len(chosen) + 1, 3) + 0.75, title, note)
    ax = figure.add_subplot()
    if len(chosen):
        draw_values(ax, heights, pairs[chosen], room=0.16)  # enough space for values of up to seven characters
    else:
        write_centered(ax, "all values are undefined or 0")
        ax.set(xticks=())
    name_rows(ax, texts, heights)
    ax.set_xlabel(label, parse_math=False)
    return figure


def _count_undefined(pairs: NDArray[np.floating]) -> str:
    count = int(np.isnan(pairs).sum())
    return f"Undefined pairs (not shown): {count:,} of {len(pairs):,}" if count else ""


def _ends(values: NDArray[np.floating], n: int) -> NDArray[np.intp]:
    """Return the indices of the ``n`` most positive and ``n`` most negative values, in descending order of value."""
    order = np.argsort(-values, kind="stable")  # NaN is sorted last.
    positive, negative = order[values[order] > 0], order[values[order] < 0]
    return np.concatenate([positive[:n], negative[-n:]])


@matplotlib.rc_context(STYLE)
def top_associations(odds_ratios: ArrayLike, names: Sequence[str], *, n: int = 3, title: str, note: str = "") -> Figure:
    """Draw each attribute's predictors with the largest and smallest odds ratios, in one panel per attribute.

    All panels share one logarithmic axis, so the bars for 1/4 and 4 have the same length. Each bar has the odds ratio
    at its end and the name of the predictor at its start. Bars that are much longer than the others are truncated and
    hatched. If an attribute has no odds ratios, its panel shows "no model".

    Args:
        odds_ratios: Non-negative odds ratios of shape (K, K), with predicted attributes as rows and predictors as
            columns. NaN values and the diagonal are ignored.
        names: Names of the K attributes.
        n: Maximum number of predictors to show on each side of an odds ratio of 1.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: ``odds_ratios`` is empty, does not have shape (K, K) or contains negative values, or ``n`` is below
            1.
    """
    table = check_matrix(odds_ratios, names, names)
    if (table < 0).any():
        raise ValueError(f"Odds ratios cannot be negative: got {np.nanmin(table)}. For log odds, apply exp first.")
    if n < 1:
        raise ValueError(f"The number of predictors must be at least 1: got n={n}.")
    n = max(1, min(n, len(names) - 1))
    np.fill_diagonal(table, np.nan)
    with np.errstate(divide="ignore"):
        logarithms = np.log2(table)
    chosen = [_ends(row, n) for row in logarithms]
    reach = _common_reach(np.concatenate([row[k] for row, k in zip(logarithms, chosen, strict=True)]))
    if any((np.abs(row[k]) > reach).any() for row, k in zip(logarithms, chosen, strict=True)):
        note = "\n".join(filter(None, [note, "Hatched bars extend beyond the axis."]))
    columns = min(5, grid_columns(len(names)))
    rows = -(-len(names) // columns)
    # Panel width in inches on each side of an odds ratio of 1.
    half = max(1.0, max(text_width(name, SMALL_SIZE) for name in names) / 72 + 0.25)
    size = (max(2 * half * columns + 0.5, 4.5), ((2 * n + 0.6) * _BAR + 0.4) * rows + 0.6)
    figure = new_figure(*size, title, note)
    axes = panels(figure, len(names), columns)
    # The values at the ends of the bars need half an inch of space, regardless of the panel width.
    span = reach * half / (half - 0.5)
    axes[0].set(xlim=(-span, span), ylim=(2 * n + 0.1, -0.6))
    ticks, labels = ratio_ticks(-reach, reach, most=5)
    axes[0].set_xticks(ticks, labels=labels)
    for k, ax in enumerate(axes):
        _draw_odds(ax, logarithms[k, chosen[k]], [names[j] for j in chosen[k]], reach, n)
        if not len(chosen[k]):
            write_centered(ax, "no model" if np.isnan(table[k]).all() else "all odds ratios are 1", size=SMALL_SIZE)
        ax.set_title(names[k], size=SMALL_SIZE, weight="bold", pad=4, parse_math=False)
    figure.supxlabel("odds ratio (logarithmic)", size=10.5)
    return figure


def _common_reach(logarithms: NDArray[np.floating]) -> float:
    """Return the limit of the shared axis as a base-2 logarithm. Only outliers exceed this limit."""
    lengths = np.abs(logarithms[np.isfinite(logarithms)])
    if not lengths.size:
        return 1.0
    return max(1.0, min(float(lengths.max()), _CUT * float(np.percentile(lengths, 90))))


def _draw_odds(ax: Axes, logarithms: NDArray[np.floating], names: Sequence[str], reach: float, n: int) -> None:
    """Draw the bars of one panel in descending order, with ratios below 1 at the bottom of the panel."""
    below = int((logarithms < 0).sum())
    heights = np.concatenate([np.arange(len(logarithms) - below), 2 * n - 0.5 - np.arange(below)[::-1]])
    lengths = np.clip(logarithms, -reach, reach)
    texts = [ratio_text(float(np.exp2(logarithm))) for logarithm in logarithms]
    draw_signed_bars(ax, heights, lengths, texts, height=0.78, hatched=np.abs(logarithms) > reach)
    for height, length, name in zip(heights, lengths, names, strict=True):
        write_at_end(ax, 0, height, name, is_right=length <= 0)
    ax.axvline(0, color=BLACK, linewidth=0.8)
    finish_axes(ax, tick_size=SMALL_SIZE)
    ax.grid(False, axis="y")
    ax.set_yticks(())
    ax.spines["left"].set_visible(False)


@matplotlib.rc_context(STYLE)
def dendrogram(linkage: ArrayLike, names: Sequence[str], *, label: str, title: str, note: str = "") -> Figure:
    """Draw a hierarchical clustering as a tree whose branches join at the merge distances.

    Args:
        linkage: Linkage matrix from ``scipy.cluster.hierarchy.linkage``, of shape (K - 1, 4).
        names: Names of the K leaves, with K at least 2.
        label: Axis label that states the distance.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: ``linkage`` is not a valid linkage matrix for K leaves.
    """
    steps = np.asarray(linkage, dtype=float)
    if len(names) < 2 or steps.shape != (len(names) - 1, 4):
        raise ValueError(
            f"A linkage matrix for K leaves must have shape (K - 1, 4), with K at least 2: got {steps.shape} and"
            f" {len(names)} names."
        )
    if not np.isfinite(steps).all() or not _is_tree(steps):
        raise ValueError(
            "The linkage matrix is invalid: it contains NaN or infinity, or it merges clusters that do not exist or"
            " have already been merged."
        )
    from scipy.cluster import hierarchy  # It is slow to import, and other figures do not need it.

    tree = hierarchy.dendrogram(steps, no_plot=True)
    figure = new_figure(8.6, 0.235 * len(names) + 1.0, title, note)
    ax = figure.add_subplot()
    branches = [np.column_stack(branch) for branch in zip(tree["dcoord"], tree["icoord"], strict=True)]
    ax.add_collection(LineCollection(branches, colors=BLUE, linewidths=1.4, capstyle="projecting"))
    ax.set(xlim=(0, 1.03 * float(steps[:, 2].max()) or 1.0), ylim=(10 * len(names), 0))
    ax.set_xlabel(label, parse_math=False)
    # SciPy places the leaves at 5, 15, 25, ...
    name_rows(ax, [names[k] for k in tree["leaves"]], 10 * np.arange(len(names)) + 5)
    return figure


def _is_tree(steps: NDArray[np.floating]) -> bool:
    """Return whether every cluster except the last is merged exactly once, and only after it has been formed.

    SciPy's own check accepts some matrices that contain an invalid merge.
    """
    leaves = len(steps) + 1
    joined = steps[:, :2]
    once = np.array_equal(np.sort(joined.ravel()), np.arange(2 * len(steps)))
    return once and bool((joined.max(axis=1) < leaves + np.arange(len(steps))).all())
