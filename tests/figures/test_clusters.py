"""Figures of clusters show the number of clusters, every point exactly once, the explained variance and loadings."""

import time

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from celeba_lab import figures
from celeba_lab.figures.matrices import NEGATIVE, POSITIVE


def described(count: int) -> list[str]:
    return [f"Cluster {c + 1} (n = 1,234): Wearing_Lipstick, Heavy_Makeup, not Male, Attractive" for c in range(count)]


def members(count: int, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, clusters, count)
    return generator.normal(size=(count, 2)) + labels[:, None], labels


def drawn(ax) -> dict[str, np.ndarray]:
    """Return the points of each colour, sorted by both coordinates."""
    found: dict[str, list[np.ndarray]] = {}
    for collection in ax.collections:
        found.setdefault(to_hex(collection.get_facecolors()[0]), []).append(np.asarray(collection.get_offsets()))
    return {color: _sorted(np.concatenate(parts)) for color, parts in found.items()}


def _sorted(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(points.T)]


# --- the number of clusters


def k_figure(ks, inertia, silhouette, chosen=3, title="title", **settings) -> Figure:
    return figures.number_of_clusters(ks, inertia, silhouette, chosen, title=title, **settings)


def test_both_curves_are_drawn_in_order_and_the_chosen_k_is_marked(assert_texts_stay_apart, legend_texts):
    figure = k_figure([4, 2, 3, 1], [1e5, 3e5, 2e5, 4e5], [0.1, 0.3, 0.2, np.nan], note="a note")
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("inertia (elbow)", "mean silhouette")
    np.testing.assert_array_equal(left.lines[0].get_xydata(), [[1, 4e5], [2, 3e5], [3, 2e5], [4, 1e5]])
    np.testing.assert_array_equal(right.lines[0].get_xydata(), [[2, 0.3], [3, 0.2], [4, 0.1]])
    assert all(list(ax.lines[1].get_xdata()) == [3, 3] for ax in figure.axes)
    assert legend_texts(figure) == ["chosen: k = 3"]
    assert figure.get_suptitle().endswith("a note\nThe silhouette is missing for k = 1")
    assert all(tick == int(tick) for ax in figure.axes for tick in ax.get_xticks())
    assert_texts_stay_apart(figure)


@pytest.mark.parametrize("ks", [[3], np.arange(2, 40), np.arange(10, 500, 70)])
def test_texts_of_the_curves_do_not_overlap(ks, assert_texts_stay_apart, long_title, texts_of):
    figure = k_figure(ks, np.linspace(9e7, 1e6, len(ks)), np.full(len(ks), np.nan), title=long_title)
    assert_texts_stay_apart(figure)
    assert "undefined or not computed" in texts_of(figure)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (([2, 3], [1.0], [1.0]), r"got \(2,\), \(1,\) and \(1,\)"),
        (([], [], []), "M at least 1"),
        (([0, 1], [1.0, 1.0], [1.0, 1.0]), r"positive integers: got \[0, 1\]"),
        (([1.5], [1.0], [1.0]), "positive integer"),
    ],
)
def test_invalid_curves_are_rejected(arrays, sentence):
    with pytest.raises(ValueError, match=sentence):
        k_figure(*arrays)


# --- scatter


def scatter(points, labels, names, title="title", **settings) -> Figure:
    return figures.cluster_scatter(points, labels, names, axes=("t-SNE 1", "t-SNE 2"), title=title, **settings)


@pytest.mark.parametrize("count", [1, 2, 8, 10])
def test_every_point_is_drawn_once_in_the_colour_of_its_cluster(
    count, assert_texts_stay_apart, long_title, legend_texts
):
    points, labels = members(1200, count)
    figure = scatter(points, labels, described(count), title=long_title)
    found = drawn(figure.axes[0])
    assert len(found) == count
    for cluster, handle in enumerate(figure.axes[0].get_legend().legend_handles):
        np.testing.assert_allclose(found[to_hex(handle.get_color())], _sorted(points[labels == cluster]))
    assert [text.replace("\n", " ") for text in legend_texts(figure)] == described(count)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("t-SNE 1", "t-SNE 2")
    assert_texts_stay_apart(figure)


def test_ten_clusters_differ_in_colour_and_neighbours_in_marker():
    handles = scatter(*members(50, 10), described(10)).axes[0].get_legend().legend_handles
    assert len({handle.get_color() for handle in handles}) == 10
    assert len({handle.get_marker() for handle in handles}) > 1
    few = scatter(*members(50, 8), described(8)).axes[0].get_legend().legend_handles
    assert {handle.get_marker() for handle in few} == {"o"}


def test_no_cluster_hides_all_others():
    points, labels = members(5000, 2)
    colors = [to_hex(part.get_facecolors()[0]) for part in scatter(points, labels, ["a", "b"]).axes[0].collections]
    # Batches of points of the two clusters are drawn alternately.
    assert colors.index(colors[0], 1) > 1
    assert len(colors) >= 20


def test_points_are_always_drawn_in_the_same_order():
    points, labels = members(100, 2)
    one, other = (scatter(points, labels, ["a", "b"]).axes[0].collections for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.get_offsets(), b.get_offsets())


def test_undefined_points_are_omitted_and_counted_and_empty_clusters_keep_their_legend_entry(legend_texts, texts_of):
    points = np.array([[0, 0], [np.nan, 1], [1, np.inf], [2, 2]])
    figure = scatter(points, [0, 0, 2, 2], ["a", "b", "c"], note="a note")
    assert figure.get_suptitle().endswith("a note\nPoints with an undefined coordinate (not shown): 2 of 4")
    assert sum(len(group) for group in drawn(figure.axes[0]).values()) == 2
    assert legend_texts(figure) == ["a", "b", "c"]
    assert "no points" in texts_of(scatter(np.zeros((0, 2)), np.zeros(0, dtype=int), ["a"]))


@pytest.mark.parametrize(
    ("points", "labels", "names", "sentence"),
    [
        (np.zeros((3, 3)), [0, 0, 0], ["a"], r"got points \(3, 3\)"),
        (np.zeros((3, 2)), [0, 0], ["a"], r"clusters \(2,\)"),
        (np.zeros((3, 2)), [0, 0, 0], [], "at least one cluster name"),
        (np.zeros((3, 2)), [0, 1, 2], ["a", "b"], r"from 0 to 1, because there are 2 names: got \[2\]"),
        (np.zeros((3, 2)), [0, -1, 0], ["a", "b"], r"got \[-1\]"),
        (np.zeros((3, 2)), [0, 0.5, 0], ["a", "b"], "integers"),
    ],
)
def test_invalid_points_are_rejected(points, labels, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        scatter(points, labels, names)
    with pytest.raises(ValueError, match=sentence):
        figures.pca_overview(points, labels, names, [0.6, 0.4], None, None, title="title")


# --- principal components


def pca(points, labels, names, features, loadings=None, explained=(0.5, 0.231, 0.1), title="title") -> Figure:
    return figures.pca_overview(points, labels, names, explained, loadings, features, title=title)


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize("features", [0, 2, 40])
def test_texts_of_the_overview_do_not_overlap(count, features, long_title, assert_texts_stay_apart, names_of):
    loadings = np.random.default_rng(0).normal(0, 0.2, (2, features))
    names = names_of(features) if features else None
    explained = np.full(40, 1 / 40) if features == 40 else (0.6, 0.3)
    figure = pca(*members(200, count), described(count), names, loadings, explained, long_title)
    assert_texts_stay_apart(figure)
    assert (sum("largest loadings" in ax.get_title() for ax in figure.axes)) == (2 if features else 0)


def test_the_overview_shows_the_explained_variance(legend_texts):
    figure = pca(*members(20, 2), ["a", "b"], None)
    scatter_axes, _, variance = figure.axes
    assert scatter_axes.get_xlabel() == "PC 1 (50.0% of the variance)"
    assert scatter_axes.get_ylabel() == "PC 2 (23.1% of the variance)"
    np.testing.assert_allclose([bar.get_height() for bar in variance.patches], [0.5, 0.231, 0.1])
    np.testing.assert_allclose(variance.lines[0].get_ydata(), [0.5, 0.731, 0.831])
    assert legend_texts(figure) == ["a", "b", "each component", "cumulative"]


def test_the_ten_largest_loadings_of_both_components_are_shown_in_order(names_of):
    loadings = np.random.default_rng(0).normal(0, 0.2, (2, 30))
    loadings[0, 0] = np.nan
    figure = pca(*members(20, 1), ["a"], names_of(30), loadings)
    for component, ax in enumerate(figure.axes[-2:]):
        weights = loadings[component]
        largest = np.argsort(-np.nan_to_num(np.abs(weights)))[:10]
        order = largest[np.argsort(-weights[largest])]
        assert [text.get_text() for text in ax.get_yticklabels()] == [names_of(30)[k] for k in order]
        np.testing.assert_allclose([bar.get_width() for bar in ax.patches], weights[order])
        colors = [to_hex(bar.get_facecolor()).upper() for bar in ax.patches]
        assert colors == [POSITIVE if weight > 0 else NEGATIVE for weight in weights[order]]
        assert ax.get_ylim()[0] > ax.get_ylim()[1]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"explained": [0.5]}, r"at least two components: got \(1,\)"),
        ({"explained": [50.0, 20.0]}, r"fractions in \[0, 1\]"),
        ({"features": ["A"], "loadings": np.zeros((2, 3))}, r"got \(2, 3\) and 1 names"),
    ],
)
def test_invalid_components_are_rejected(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        pca(*members(5, 1), ["a"], **({"features": None} | settings))


def test_twenty_thousand_points_are_drawn_within_seconds(tmp_path):
    start = time.monotonic()
    figure = pca(*members(20_000, 10), described(10), None)
    figure.savefig(tmp_path / "pca.png")
    assert time.monotonic() - start < 10  # one second on an idle machine
    assert all(part.get_rasterized() for part in figure.axes[0].collections)
