"""Figures for choosing the number of clusters and for visualising clusters."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.bars import draw_values
from celeba_lab.figures.numbers import whole_number_text
from celeba_lab.figures.rows import name_rows
from celeba_lab.figures.style import (
    BLACK,
    BLUE,
    GRAY,
    LINE_HEIGHT,
    PALETTE,
    SMALL_SIZE,
    STYLE,
    finish_axes,
    integer_ticks,
    new_figure,
    wrap,
    write_centered,
)

_COLORS = (*PALETTE, "#882255", "#999933")  # wine and olive from Paul Tol's muted colour scheme
_MARKERS = ("o", "^", "s", "v", "D")
_LEGEND_WIDTH = 3.0  # width in inches at which cluster descriptions are wrapped
_LOADINGS = 10  # number of loadings drawn for each component
_DRAWN_AT_ONCE = 500  # number of points drawn per batch, so that no cluster covers the others


@matplotlib.rc_context(STYLE)
def number_of_clusters(
    ks: ArrayLike, inertia: ArrayLike, silhouette: ArrayLike, chosen: int, *, title: str, note: str = ""
) -> Figure:
    """Draw the inertia and mean silhouette coefficient against the number of clusters, and mark the chosen number.

    Args:
        ks: Numbers of clusters, of shape (M,), in any order.
        inertia: Sums of squared distances to the centroids, of shape (M,). NaN means unknown.
        silhouette: Mean silhouette coefficients of shape (M,), in [-1, 1]. NaN means unknown or undefined. For a single
            cluster, the coefficient is undefined.
        chosen: Chosen number of clusters, which need not be in ``ks``.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: The arrays are empty or differ in length, or a number of clusters is not a positive integer.
    """
    counts = np.asarray(ks)
    curves = [np.asarray(inertia, dtype=float), np.asarray(silhouette, dtype=float)]
    if counts.ndim != 1 or not counts.size or any(curve.shape != counts.shape for curve in curves):
        raise ValueError(
            "Numbers of clusters, inertia and silhouette must all have shape (M,), with M at least 1: "
            f"got {counts.shape}, {curves[0].shape} and {curves[1].shape}."
        )
    if not ((counts >= 1) & (counts == np.round(counts))).all():
        raise ValueError(f"Numbers of clusters must be positive integers: got {counts.tolist()}.")
    order = np.argsort(counts, kind="stable")
    gaps = [
        _name_gaps(name, counts[order], c[order]) for name, c in zip(("inertia", "silhouette"), curves, strict=True)
    ]
    figure = new_figure(9.6, 4.2, title, "\n".join(filter(None, [note, *gaps])))
    headings = (("inertia (elbow)", "sum of squared distances"), ("mean silhouette", "mean silhouette"))
    for ax, curve, (heading, label) in zip(figure.subplots(1, 2, sharex=True), curves, headings, strict=True):
        _draw_curve(ax, counts[order], curve[order], chosen)
        ax.set(title=heading, xlabel="number of clusters k", ylabel=label)
    integer_ticks(figure.axes[0].xaxis, 12)
    line = Line2D([], [], color=BLACK, linestyle="--", linewidth=1.4, label=f"chosen: k = {chosen}")
    figure.legend(handles=[line], loc="outside lower center")
    return figure


def _name_gaps(name: str, counts: NDArray[np.integer], values: NDArray[np.floating]) -> str:
    """Return a sentence about a curve's missing points, or an empty string if none or all are missing."""
    unknown = ~np.isfinite(values)
    if not unknown.any() or unknown.all():
        return ""
    return f"The {name} is missing for k = {', '.join(str(int(k)) for k in counts[unknown])}"


def _draw_curve(ax: Axes, counts: NDArray[np.integer], values: NDArray[np.floating], chosen: int) -> None:
    """Draw one curve, and mark the chosen number of clusters."""
    known = np.isfinite(values)
    # Without markers, a point between two undefined points would be invisible.
    ax.plot(counts[known], values[known], marker="o", markersize=5, color=BLUE)
    ax.axvline(chosen, color=BLACK, linestyle="--", linewidth=1.4, zorder=1)
    if not known.any():
        write_centered(ax, "undefined or not computed")
        ax.set(yticks=())
    elif np.abs(values[known]).max() >= 1000:
        ax.yaxis.set_major_formatter(FuncFormatter(whole_number_text))
    finish_axes(ax)


@matplotlib.rc_context(STYLE)
def cluster_scatter(
    points: ArrayLike,
    clusters: ArrayLike,
    names: Sequence[str],
    *,
    axes: tuple[str, str],
    title: str,
    note: str = "",
) -> Figure:
    """Draw a two-dimensional map of points coloured by cluster, such as a t-SNE embedding.

    Points are translucent and drawn in a fixed random order, so no cluster hides another. If there are more than eight
    clusters, they also differ in marker shape. Points with an undefined coordinate are not shown, but the subtitle
    gives their number.

    Args:
        points: Coordinates of shape (N, 2).
        clusters: Cluster index of each point, from 0 to C - 1, of shape (N,).
        names: Short descriptions of the C clusters, shown in the legend.
        axes: Labels of the x-axis and the y-axis.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: The shapes of the arrays do not match, or a cluster has no name.
    """
    places, members = _check_points(points, clusters, names)
    note = "\n".join(filter(None, [note, _count_undefined(places)]))
    descriptions = _wrap_names(names)
    figure = new_figure(10.4, max(6.4, _legend_height(descriptions) + 0.6), title, note)
    ax = figure.add_subplot()
    _draw_points(ax, places, members, len(names))
    ax.set_xlabel(axes[0], parse_math=False)
    ax.set_ylabel(axes[1], parse_math=False)
    _add_legend(ax, descriptions, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


@matplotlib.rc_context(STYLE)
def pca_overview(
    points: ArrayLike,
    clusters: ArrayLike,
    names: Sequence[str],
    explained: ArrayLike,
    loadings: ArrayLike,
    axes: Sequence[str] | None,
    *,
    title: str,
    note: str = "",
) -> Figure:
    """Draw a map of the first two principal components, with the explained variance and the loadings.

    Args:
        points: First two principal components of each sample, of shape (N, 2). The points are drawn as in
            :func:`cluster_scatter`.
        clusters: Cluster index of each sample, from 0 to C - 1, of shape (N,).
        names: Short descriptions of the C clusters, shown in the legend.
        explained: Fraction of the variance explained by each component, of shape (M,), in [0, 1], with M at least 2.
        loadings: Loadings of the first two components, of shape (2, D). The loadings are ignored if ``axes`` is None.
        axes: Names of the D original variables. If names are given, the ten loadings with the largest magnitudes are
            drawn for each component.
        title: Figure title.
        note: Subtitle, shown below the title.

    Raises:
        ValueError: The shapes of the arrays do not match, a cluster has no name, or a fraction is not in [0, 1].
    """
    places, members = _check_points(points, clusters, names)
    fractions = _check_explained(explained)
    weights = _check_loadings(loadings, axes)
    note = "\n".join(filter(None, [note, _count_undefined(places)]))
    descriptions = _wrap_names(names)
    upper = max(5.6, _legend_height(descriptions) + 2.8)
    lower = 0.26 * min(_LOADINGS, weights.shape[1]) + 1.0 if axes is not None else 0.0
    figure = new_figure(11.4, upper + lower, title, note)
    grid = figure.add_gridspec(2 if axes is not None else 1, 1, height_ratios=[upper, lower] if lower else None)
    top = grid[0].subgridspec(1, 2, width_ratios=(1.6, 1))
    _draw_map(figure.add_subplot(top[0]), places, members, len(names), fractions)
    right = top[1].subgridspec(2, 1, height_ratios=(_legend_height(descriptions), upper - _legend_height(descriptions)))
    legend = figure.add_subplot(right[0])
    legend.set_axis_off()
    _add_legend(legend, descriptions, loc="upper left", bbox_to_anchor=(-0.1, 1))
    _draw_explained(figure.add_subplot(right[1]), fractions)
    if axes is not None:
        bottom = grid[1].subgridspec(1, 2)
        for component in range(2):
            _draw_loadings(figure.add_subplot(bottom[component]), weights[component], axes, component)
    return figure


def _check_explained(explained: ArrayLike) -> NDArray[np.floating]:
    """Check the fractions of explained variance and return them as floats of shape (M,)."""
    fractions = np.asarray(explained, dtype=float)
    if fractions.ndim != 1 or len(fractions) < 2:
        raise ValueError(
            f"Explained variance must have shape (M,), with at least two components: got {fractions.shape}."
        )
    if ((fractions < 0) | (fractions > 1)).any():
        raise ValueError("Explained variance must consist of fractions in [0, 1], not percentages or variances.")
    return fractions


def _check_loadings(loadings: ArrayLike, axes: Sequence[str] | None) -> NDArray[np.floating]:
    """Check the loadings and return them as floats of shape (2, D), or (2, 0) if ``axes`` is None."""
    if axes is None:
        return np.zeros((2, 0))
    weights = np.asarray(loadings, dtype=float)
    if weights.shape != (2, len(axes)) or not len(axes):
        raise ValueError(
            f"Loadings must have shape (2, D), with one name per variable: got {weights.shape} and {len(axes)} names."
        )
    return weights


def _check_points(
    points: ArrayLike, clusters: ArrayLike, names: Sequence[str]
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """Check the points, and return coordinates as floats of shape (N, 2) and clusters as integers of shape (N,)."""
    places, members = np.asarray(points, dtype=float), np.asarray(clusters)
    if places.ndim != 2 or places.shape[1] != 2 or members.shape != places.shape[:1] or not names:
        raise ValueError(
            "Points must have shape (N, 2) and clusters shape (N,), with at least one cluster name: "
            f"got points {places.shape}, clusters {members.shape} and {len(names)} names."
        )
    if not np.isin(members, np.arange(len(names))).all():
        unknown = np.setdiff1d(members, np.arange(len(names)))[:5].tolist()
        raise ValueError(
            f"Cluster indices must be integers from 0 to {len(names) - 1}, because there are {len(names)} names:"
            f" got {unknown}."
        )
    return places, members.astype(int)


def _count_undefined(places: NDArray[np.floating]) -> str:
    """Return a note about points with an undefined coordinate, or an empty string if there are none."""
    count = int((~np.isfinite(places).all(axis=1)).sum())
    return f"Points with an undefined coordinate (not shown): {count:,} of {len(places):,}" if count else ""


def cluster_color(cluster: int) -> str:
    """Return the colour that represents a cluster in all figures. Clusters 0 to 9 have distinct colours."""
    return _COLORS[cluster % len(_COLORS)]


def _look(cluster: int, count: int) -> dict[str, Any]:
    """Return the colour and marker of a cluster, given the number of clusters."""
    marker = _MARKERS[cluster % len(_MARKERS)] if count > len(PALETTE) else "o"
    return {"color": cluster_color(cluster), "marker": marker}


def _draw_points(ax: Axes, places: NDArray[np.floating], members: NDArray[np.integer], count: int) -> None:
    """Draw the points of all clusters in batches of 500."""
    finite = np.isfinite(places).all(axis=1)
    places, members = places[finite], members[finite]
    # The marker area decreases as more markers are drawn, from 40 square points for a few markers to 5 for 20,000.
    size = float(np.clip(4000 / max(len(places), 1) ** 0.68, 5, 40))
    alpha = 0.75 if len(places) <= 1000 else 0.5
    order = np.random.default_rng(0).permutation(len(places))
    for start in range(0, len(order), _DRAWN_AT_ONCE):
        batch = order[start : start + _DRAWN_AT_ONCE]
        for cluster in np.unique(members[batch]):
            x, y = places[batch[members[batch] == cluster]].T
            ax.scatter(x, y, s=size, alpha=alpha, linewidth=0, rasterized=True, **_look(int(cluster), count))
    if not len(places):
        write_centered(ax, "no points")
        ax.set(xticks=(), yticks=())
    finish_axes(ax)


def _wrap_names(names: Sequence[str]) -> list[str]:
    return [wrap(name, _LEGEND_WIDTH * 72, SMALL_SIZE) for name in names]


def _legend_height(descriptions: Sequence[str]) -> float:
    """Return the height in inches of a legend with the given entries."""
    lines = sum(text.count("\n") + 1 for text in descriptions)
    return (lines * LINE_HEIGHT + 0.5 * len(descriptions) + 1) * SMALL_SIZE / 72


def _add_legend(ax: Axes, descriptions: Sequence[str], **place: Any) -> None:
    handles = [
        Line2D([], [], linestyle="", markersize=8, label=text, **_look(cluster, len(descriptions)))
        for cluster, text in enumerate(descriptions)
    ]
    legend = ax.legend(handles=handles, fontsize=SMALL_SIZE, handletextpad=0.3, borderaxespad=0, **place)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_map(
    ax: Axes, places: NDArray[np.floating], members: NDArray[np.integer], count: int, fractions: NDArray[np.floating]
) -> None:
    _draw_points(ax, places, members, count)
    labels = [f"PC {k + 1} ({100 * fractions[k]:.1f}% of the variance)" for k in range(2)]
    ax.set(xlabel=labels[0], ylabel=labels[1])


def _draw_explained(ax: Axes, fractions: NDArray[np.floating]) -> None:
    components = np.arange(1, len(fractions) + 1)
    # Grey and black are used here because they represent clusters only if there are more than six clusters.
    bars = ax.bar(components, fractions, color=GRAY, width=0.8, label="each component")
    sums = ax.plot(components, np.cumsum(fractions), color=BLACK, marker="o", markersize=3.5, label="cumulative")
    ax.set(xlabel="component", ylabel="explained variance", ylim=(0, 1.03), xlim=(0.3, len(fractions) + 0.7))
    integer_ticks(ax.xaxis, 8)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol="%"))
    finish_axes(ax)
    ax.grid(False, axis="x")
    place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "borderaxespad": 0.2}
    ax.legend(handles=[bars, *sums], ncols=2, fontsize=SMALL_SIZE, **place)


def _draw_loadings(ax: Axes, weights: NDArray[np.floating], axes: Sequence[str], component: int) -> None:
    """Draw the loadings with the largest magnitudes, in descending order, omitting NaN."""
    magnitudes = np.where(np.isnan(weights), -1, np.abs(weights))
    largest = [k for k in np.argsort(-magnitudes, kind="stable")[:_LOADINGS] if magnitudes[k] >= 0]
    largest.sort(key=lambda k: -weights[k])
    values = weights[largest]
    draw_values(ax, np.arange(len(values), dtype=float), values, room=0.2)
    name_rows(ax, [axes[k] for k in largest])
    ax.set(xlabel="loading", title=f"PC {component + 1}: largest loadings")
