"""Figures of associations show the given values in order, including undefined and infinite values."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from celeba_lab import figures
from celeba_lab.figures.matrices import NEGATIVE, POSITIVE


def labels(axis) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def written(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def bars(ax) -> list[tuple[float, str]]:
    """Return the length and colour of each bar, from top to bottom."""
    patches = sorted(ax.patches, key=lambda bar: bar.get_y())
    return [(bar.get_width(), to_hex(bar.get_facecolor()).upper()) for bar in patches]


def symmetric(count: int, seed: int = 0) -> np.ndarray:
    values = np.tanh(np.random.default_rng(seed).normal(0, 0.3, (count, count)))
    return (values + values.T) / 2


# --- scores of attributes


def scores_figure(scores, baselines, **settings) -> Figure:
    names = [f"name {k}" for k in range(len(scores))]
    return figures.attribute_scores(scores, baselines, names, metric="accuracy", title="title", **settings)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_texts_of_scores_do_not_overlap(count, assert_texts_stay_apart, names_of, long_title):
    generator = np.random.default_rng(0)
    baselines = generator.uniform(0.5, 0.95, count)
    scores = baselines + generator.uniform(-0.05, 0.05, count)
    scores[1:2] = np.nan
    figure = figures.attribute_scores(
        scores, baselines, names_of(count), metric="accuracy", title=long_title, note="39 predictors"
    )
    assert_texts_stay_apart(figure)
    assert figure.axes[0].get_xlabel() == "accuracy"
    assert figure.get_suptitle().endswith("\n39 predictors")


def test_the_best_score_is_at_the_top_and_undefined_scores_are_last(tick_labels, axes_texts):
    figure = scores_figure([0.7, np.nan, 0.9, 0.4], [0.5, 0.6, 0.8, 0.5])
    ax = figure.axes[0]
    assert tick_labels(ax.yaxis) == ["name 2", "name 0", "name 3", "name 1"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert axes_texts(ax) == [
        *("score", "0.900", "0.700", "0.400", "undefined"),
        *("gain", "+0.100", "+0.200", "−0.100", ""),
    ]


def test_segments_connect_baseline_and_score_and_scores_below_the_baseline_differ(legend_texts):
    figure = scores_figure([0.9, 0.4], [0.8, 0.5])
    (segments,) = [c for c in figure.axes[0].collections if hasattr(c, "get_segments")]
    np.testing.assert_allclose(segments.get_segments(), [[[0.8, 0], [0.9, 0]], [[0.5, 1], [0.4, 1]]])
    gain, loss = segments.get_colors()
    assert tuple(gain) != tuple(loss)
    assert legend_texts(figure) == ["score", "baseline", "score below the baseline"]
    assert legend_texts(scores_figure([0.9], [0.8])) == ["score", "baseline"]


@pytest.mark.parametrize(
    ("scores", "baselines"), [([np.nan, np.nan], [0.5, np.nan]), ([np.inf, -np.inf], [0.5, 0.5]), ([0.5], [np.nan])]
)
def test_scores_that_cannot_be_drawn_are_still_listed(
    scores, baselines, assert_texts_stay_apart, axes_texts, tick_labels
):
    figure = scores_figure(scores, baselines)
    assert_texts_stay_apart(figure)
    assert len(tick_labels(figure.axes[0].yaxis)) == len(scores)
    assert "gain" not in axes_texts(figure.axes[0])


@pytest.mark.parametrize(("scores", "baselines"), [([], []), ([0.5], [0.5, 0.6]), ([[0.5]], [[0.5]])])
def test_scores_of_the_wrong_shape_are_rejected(scores, baselines):
    with pytest.raises(ValueError, match=r"must both have shape \(K,\), with K at least 1"):
        scores_figure(scores, baselines)


# --- pairs


def pairs_figure(values, names, **settings) -> Figure:
    return figures.strongest_pairs(values, names, label="phi", title="title", **settings)


@pytest.mark.parametrize("count", [1, 2, 40])
def test_texts_of_pairs_do_not_overlap(count, assert_texts_stay_apart, names_of, long_title):
    values = symmetric(count)
    figure = figures.strongest_pairs(values, names_of(count), label="phi coefficient", title=long_title)
    assert_texts_stay_apart(figure)


def test_the_strongest_pairs_of_both_signs_are_shown_in_order(names_of, axes_texts, tick_labels):
    values = symmetric(12)
    figure = pairs_figure(values, names_of(12), n=4)
    ax = figure.axes[0]
    upper = np.sort(values[np.triu_indices(12, k=1)])[::-1]
    expected = [*upper[:4], *upper[-4:]]
    np.testing.assert_allclose([length for length, _ in bars(ax)], expected)
    assert [color for _, color in bars(ax)] == [POSITIVE] * 4 + [NEGATIVE] * 4
    assert axes_texts(ax) == [f"{value:.2f}".replace("-", "−") for value in expected]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    one, other = tick_labels(ax.yaxis)[0].split(" · ")
    assert values[names_of(12).index(one), names_of(12).index(other)] == upper[0]


def test_only_positive_pairs_are_shown_as_positive(tick_labels, texts_of):
    values = np.array([[1, 0.5, 0], [0.5, 1, -0.2], [0, -0.2, 1]])
    assert tick_labels(pairs_figure(values, ["A", "B", "C"]).axes[0].yaxis) == ["A · B", "B · C"]
    assert "all values are undefined or 0" in texts_of(pairs_figure(np.eye(3), ["A", "B", "C"]))


def test_undefined_pairs_are_counted_and_infinite_pairs_are_shown(assert_texts_stay_apart, tick_labels, axes_texts):
    values = np.array([[np.nan, -np.inf, np.nan], [-np.inf, np.nan, 2.0], [np.nan, 2.0, np.nan]])
    figure = pairs_figure(values, ["A", "B", "C"], note="a note")
    assert tick_labels(figure.axes[0].yaxis) == ["B · C", "A · B"]
    assert axes_texts(figure.axes[0]) == ["2", "−∞"]
    assert figure.get_suptitle().endswith("a note\nUndefined pairs (not shown): 1 of 3")
    assert all(np.isfinite(length) for length, _ in bars(figure.axes[0]))
    assert_texts_stay_apart(figure)


@pytest.mark.parametrize(
    ("values", "settings", "sentence"),
    [
        (np.ones((2, 3)), {}, r"got \(2, 3\)"),
        (np.array([[0, 1], [2, 0]]), {}, "must be symmetric"),
        (np.array([[0, 1], [np.nan, 0]]), {}, "must be symmetric"),
        (np.eye(2), {"n": 0}, "got n=0"),
    ],
)
def test_invalid_pairs_are_rejected(values, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        pairs_figure(values, ["A", "B"], **settings)


# --- odds ratios


def odds(count: int) -> np.ndarray:
    values = np.exp(np.random.default_rng(0).normal(0, 1.5, (count, count)))
    np.fill_diagonal(values, np.nan)
    return values


@pytest.mark.parametrize("count", [1, 2, 8, pytest.param(40, marks=pytest.mark.slow)])
def test_texts_of_odds_ratios_do_not_overlap_in_any_panel(
    count, assert_texts_stay_apart, names_of, long_title, axes_texts
):
    values = odds(count)
    values[1:2] = np.nan
    figure = figures.top_associations(values, names_of(count), title=long_title, note="a note")
    assert_texts_stay_apart(figure)
    assert [ax.get_title() for ax in figure.axes] == names_of(count)
    assert "no model" in axes_texts(figure.axes[min(1, count - 1)])


def test_the_strongest_predictors_in_both_directions_show_their_odds_ratios(axes_texts, tick_labels):
    values = np.full((7, 7), np.nan)
    values[0] = [np.nan, 8, 2, 0.25, 4, 0.5, 16]
    figure = figures.top_associations(values, list("ABCDEFG"), n=2, title="title")
    ax = figure.axes[0]
    assert [(length, color) for length, color in bars(ax)] == [
        (4, POSITIVE),
        (3, POSITIVE),
        (-1, NEGATIVE),
        (-2, NEGATIVE),
    ]
    assert axes_texts(ax) == ["16", "8.0", "0.50", "0.25", "G", "B", "F", "D"]
    assert tick_labels(figure.axes[-1].xaxis) == ["1/16", "1/4", "1", "4", "16"]
    assert len({other.get_xlim() for other in figure.axes}) == 1
    assert [axes_texts(other) for other in figure.axes[1:]] == [["no model"]] * 6


def test_each_name_is_opposite_its_bar(assert_texts_stay_apart):
    values = np.full((3, 3), np.nan)
    values[0, 1:] = 8, 1 / 8
    ax = figures.top_associations(values, ["A", "B", "C"], title="title").axes[0]
    sides = {text.get_text(): text.get_ha() for text in ax.texts}
    assert sides == {"8.0": "left", "B": "right", "0.12": "right", "C": "left"}
    assert ax.get_xlim()[0] < -3 < 3 < ax.get_xlim()[1]
    assert_texts_stay_apart(ax.figure)


def test_extreme_odds_ratios_are_truncated_and_the_title_explains_it(assert_texts_stay_apart, names_of, texts_of):
    values = odds(8)
    values[0, 1], values[0, 2], values[1, 2] = np.inf, 0, 1e30
    figure = figures.top_associations(values, names_of(8), title="title")
    assert "Hatched bars extend beyond the axis." in figure.get_suptitle()
    assert {"∞", "0", "1e+30"} <= set(texts_of(figure))
    assert sum(bar.get_hatch() not in (None, "") for ax in figure.axes for bar in ax.patches) == 3
    assert figure.axes[0].get_xlim()[1] < 20
    assert_texts_stay_apart(figure)
    assert "Hatched" not in figures.top_associations(odds(8), names_of(8), title="title").get_suptitle()


def test_odds_ratios_of_one_are_not_drawn(texts_of):
    values = np.ones((2, 2))
    assert "all odds ratios are 1" in texts_of(figures.top_associations(values, ["A", "B"], title="title"))


@pytest.mark.parametrize(
    ("values", "settings", "sentence"),
    [
        (np.ones((2, 3)), {}, r"got \(2, 3\)"),
        (-np.ones((2, 2)), {}, "cannot be negative"),
        (np.ones((2, 2)), {"n": 0}, "got n=0"),
    ],
)
def test_invalid_odds_ratios_are_rejected(values, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        figures.top_associations(values, ["A", "B"], title="title", **settings)


# --- dendrograms


def tree(count: int) -> np.ndarray:
    distances = 1 - np.abs(symmetric(count))
    np.fill_diagonal(distances, 0)
    return linkage(squareform(distances, checks=False), "average")


@pytest.mark.parametrize("count", [2, 40])
def test_texts_of_a_dendrogram_do_not_overlap_and_every_leaf_is_labelled(
    count, assert_texts_stay_apart, names_of, long_title, tick_labels
):
    figure = figures.dendrogram(tree(count), names_of(count), label="1 − |phi|", title=long_title)
    assert_texts_stay_apart(figure)
    assert sorted(tick_labels(figure.axes[0].yaxis)) == names_of(count)
    assert figure.axes[0].get_xlabel() == "1 − |phi|"


def test_branches_meet_at_the_linkage_distances_and_similar_leaves_are_adjacent(tick_labels):
    points = np.array([[0.0], [10.0], [1.0], [12.0]])
    steps = linkage(points, "average")
    ax = figures.dendrogram(steps, ["A", "B", "C", "D"], label="distance", title="title").axes[0]
    leaves = tick_labels(ax.yaxis)
    assert abs(leaves.index("A") - leaves.index("C")) == 1
    assert abs(leaves.index("B") - leaves.index("D")) == 1
    joints = sorted(segment[1, 0] for segment in ax.collections[0].get_segments())
    np.testing.assert_allclose(joints, steps[:, 2])
    # The first leaf is at the height of the first name.
    assert list(ax.get_yticks()) == [5, 15, 25, 35]


@pytest.mark.parametrize(
    ("steps", "names", "sentence"),
    [
        (tree(3), ["A", "B"], r"got \(2, 4\) and 2 names"),
        (np.zeros((0, 4)), ["A"], "K at least 2"),
        (np.array([[0, 1, np.nan, 2]]), ["A", "B"], "NaN or infinity"),
        (np.array([[0, 5, 1.0, 2]]), ["A", "B"], "clusters that do not exist"),
        (np.array([[0, 1, 1.0, 2], [0, 2, 2.0, 2]]), ["A", "B", "C"], "already been merged"),
        (np.array([[3, 1, 1.0, 2], [0, 2, 2.0, 2]]), ["A", "B", "C"], "clusters that do not exist"),
    ],
)
def test_an_invalid_linkage_is_rejected(steps, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        figures.dendrogram(steps, names, label="distance", title="title")


# --- all


def test_figures_do_not_change_matplotlib_settings():
    before = dict(mpl.rcParams)
    scores_figure([0.5], [0.4])
    pairs_figure(symmetric(3), ["A", "B", "C"])
    figures.top_associations(odds(2), ["A", "B"], title="title")
    figures.dendrogram(tree(3), ["A", "B", "C"], label="distance", title="title")
    assert dict(mpl.rcParams) == before
