"""Figures of several series show the given values as markers, lines, bars and numbers."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

from celeba_lab import figures

SERIES = ["majority class", "other 39 labels", "validation", "network"]


def values_of(series: int, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.uniform(0.5, 1, count) for name in SERIES[4 - series :]}


def compare(scores, names, **settings):
    return figures.score_comparison(scores, names, metric="accuracy", title="title", **settings)


def markers(ax: Axes) -> list[PathCollection]:
    return [c for c in ax.collections if isinstance(c, PathCollection)]


def segments(ax: Axes) -> list[np.ndarray]:
    return [c for c in (np.array(c.get_segments()) for c in ax.collections if isinstance(c, LineCollection)) if c.size]


# --- scores


@pytest.mark.parametrize("series", [2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_texts_of_scores_do_not_overlap(series, count, assert_texts_stay_apart, names_of, long_title, tick_labels):
    scores = values_of(series, count)
    for k, values in enumerate(scores.values()):
        values[k + 1 : k + 2] = np.nan
    last = scores["network"]
    figure = figures.score_comparison(
        scores, names_of(count), metric="accuracy", title=long_title, note="a note", low=last - 0.02, high=last + 0.02
    )
    assert_texts_stay_apart(figure)
    assert figure.axes[0].get_xlabel() == "accuracy"
    assert figure.get_suptitle().endswith("\na note")
    assert tick_labels(figure.axes[0].yaxis) == names_of(count)


def test_rows_keep_their_order_and_every_series_has_a_marker_and_a_column(tick_labels, axes_texts, legend_texts):
    scores = {"majority class": [0.5, 0.6, 0.7], "other labels": [0.55, 0.5, np.nan], "network": [0.9, np.nan, 0.65]}
    figure = compare(scores, ["A", "B", "C"])
    ax = figure.axes[0]
    assert tick_labels(ax.yaxis) == ["A", "B", "C"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    found = markers(ax)
    for points, expected in zip(found, ([0.5, 0.6, 0.7], [0.55, 0.5], [0.9, 0.65]), strict=True):
        np.testing.assert_allclose(points.get_offsets()[:, 0], expected)
    np.testing.assert_array_equal(found[2].get_offsets()[:, 1], [0, 2])
    assert len({to_hex(points.get_edgecolor()[0]) for points in found}) == 3
    assert len({points.get_paths()[0].vertices.tobytes() for points in found}) == 3
    assert axes_texts(ax) == [
        *("majority class", "0.500", "0.600", "0.700"),
        *("other labels", "0.550", "0.500", "undefined"),
        *("network", "0.900", "undefined", "0.650"),
    ]
    assert legend_texts(figure)[:3] == list(scores)


def test_columns_are_aligned_even_if_values_are_undefined(assert_texts_stay_apart):
    scores = {"validation": [0.5, np.nan, 0.6], "test": [0.5, 0.4, np.nan]}
    figure = compare(scores, ["A", "B", "C"])
    assert_texts_stay_apart(figure)
    right = [text.get_window_extent().x1 for text in figure.axes[0].texts]
    for column in (right[:4], right[4:]):
        np.testing.assert_allclose(column, column[0], atol=1.5)
    assert right[0] < right[4]


def test_the_style_of_the_last_series_does_not_depend_on_other_series():
    def look(series):
        last = markers(compare(values_of(series, 3), ["A", "B", "C"]).axes[0])[-1]
        return to_hex(last.get_facecolor()[0]), last.get_paths()[0].vertices.tobytes()

    assert look(2) == look(3) == look(4)


def test_a_line_connects_the_smallest_and_the_largest_score():
    scores = {"a": [0.5, 0.9, np.nan], "b": [0.7, np.nan, np.nan], "c": [0.6, 0.8, np.nan]}
    (lines,) = segments(compare(scores, ["A", "B", "C"]).axes[0])
    np.testing.assert_allclose(lines, [[[0.5, 0], [0.7, 0]], [[0.8, 1], [0.9, 1]]])


def test_whiskers_show_the_interval_of_the_last_series():
    scores = {"validation": [0.5, 0.6], "test": [0.7, np.nan]}
    ax = compare(scores, ["A", "B"], low=[0.65, np.nan], high=[0.72, np.nan]).axes[0]
    _, whiskers = segments(ax)
    np.testing.assert_allclose(whiskers, [[[0.65, 0], [0.72, 0]]])
    assert ax.get_xlim()[0] < 0.5
    assert ax.get_xlim()[1] > 0.72


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_cannot_be_drawn_are_still_listed(value, assert_texts_stay_apart, tick_labels):
    figure = compare({"a": [value], "b": [value]}, ["A"])
    assert_texts_stay_apart(figure)
    assert tick_labels(figure.axes[0].yaxis) == ["A"]
    assert not any(len(points.get_offsets()) for points in markers(figure.axes[0]))


@pytest.mark.parametrize(
    ("scores", "settings", "sentence"),
    [
        ({"a": [0.5]}, {}, "two to four series"),
        ({str(k): [0.5] for k in range(5)}, {}, "two to four series"),
        ({}, {}, "no series"),
        ({"a": [0.5], "b": [0.5, 0.6]}, {}, r"got \(1,\), \(2,\) and 1 names"),
        ({"a": [[0.5]], "b": [0.5]}, {}, r"got \(1, 1\)"),
        ({"a": [0.5], "b": [0.5]}, {"low": [0.4, 0.4], "high": [0.6, 0.6]}, r"\(2,\), \(2,\) and 1 names"),
        ({"a": [0.5], "b": [0.5]}, {"low": [0.4]}, "both"),
    ],
)
def test_scores_of_the_wrong_shape_are_rejected(scores, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        compare(scores, ["A"], **settings)


# --- counts


def count(first, second, names, total=20_000, **settings):
    pair = ("labels", "predictions")
    return figures.paired_counts(first, second, names, series=pair, total=total, title="title", **settings)


@pytest.mark.parametrize("rows", [1, 2, pytest.param(20, marks=pytest.mark.slow)])
def test_texts_of_counts_do_not_overlap(rows, assert_texts_stay_apart, long_title, tick_labels):
    rng = np.random.default_rng(0)
    names = [f"Attribute_Named_No_{k:02d} and Mouth_Slightly_Open" for k in range(rows)]
    first, second = rng.integers(0, 12_000, (2, rows))
    pair = ("labels", "predictions")
    figure = figures.paired_counts(first, second, names, series=pair, total=20_000, title=long_title, note="a note")
    assert_texts_stay_apart(figure)
    assert figure.get_suptitle().endswith("\na note")
    assert tick_labels(figure.axes[0].yaxis) == names


def test_bars_have_the_lengths_and_texts_of_the_counts(legend_texts):
    figure = count([1234, 0], [200, 50], ["A and B", "C and D"])
    ax = figure.axes[0]
    bars = sorted(ax.patches, key=lambda bar: bar.get_y())
    assert [bar.get_width() for bar in bars] == [1234, 200, 0, 50]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    # The bars of a row are above and below its tick and do not touch another row.
    centers = [bar.get_y() + bar.get_height() / 2 for bar in bars]
    assert centers[0] < 0 < centers[1] < centers[2] < 1 < centers[3]
    places = {(text.get_text(), tuple(text.xy)) for text in ax.texts}
    expected = zip(["1,234 (6.2%)", "200 (1.0%)", "0", "50 (0.2%)"], [1234, 200, 0, 50], centers, strict=True)
    assert places == {(text, (end, height)) for text, end, height in expected}
    colors = [to_hex(bar.get_facecolor()) for bar in bars]
    assert colors[0] == colors[2] != colors[1] == colors[3]
    legend = figure.legends[0]
    assert legend_texts(figure) == ["labels", "predictions"]
    assert [to_hex(patch.get_facecolor()) for patch in legend.get_patches()] == colors[:2]


def test_a_small_percentage_is_not_rounded_to_zero(axes_texts):
    assert axes_texts(count([7], [1], ["A and B"]).axes[0]) == ["7 (<0.1%)", "1 (<0.1%)"]


def test_axis_ticks_are_whole_numbers_of_images(assert_texts_stay_apart, axes_texts, tick_labels):
    ax = count([0], [0], ["A and B"]).axes[0]
    assert_texts_stay_apart(ax.figure)
    assert axes_texts(ax) == ["0", "0"]
    low, high = ax.get_xlim()
    assert all(tick == int(tick) for tick in ax.get_xticks() if low <= tick <= high)
    many = count([12_000], [0], ["A and B"])
    assert_texts_stay_apart(many)
    assert "10,000" in tick_labels(many.axes[0].xaxis)


def test_counts_without_images_have_no_percentages(axes_texts):
    assert axes_texts(count([0], [0], ["A and B"], total=0).axes[0]) == ["0", "0"]


@pytest.mark.parametrize(
    ("first", "second", "names", "sentence"),
    [
        ([], [], [], r"must have shape \(R,\), with R at least 1"),
        ([1], [1, 2], ["A"], r"got \(1,\), \(2,\) and 1 names"),
        ([[1]], [[1]], ["A"], r"got \(1, 1\)"),
        ([-1], [1], ["A"], "cannot be negative"),
    ],
)
def test_invalid_counts_are_rejected(first, second, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        count(first, second, names)


def test_figures_do_not_change_matplotlib_settings():
    before = dict(mpl.rcParams)
    compare(values_of(2, 2), ["A", "B"])
    count([1], [2], ["A and B"])
    assert dict(mpl.rcParams) == before
