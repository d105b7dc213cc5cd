"""Reliability diagrams show the given values, including empty bins, a single class and no images."""

import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from celeba_lab import figures
from celeba_lab.analyses.calibration import apply_temperature, fit_temperature, reliability


@pytest.fixture
def scaled(random_predictions):
    """``scaled(images, count)`` returns labels and overconfident probabilities before and after temperature scaling."""

    def draw(images: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        labels, probabilities = random_predictions(images, count)
        sure = apply_temperature(probabilities, np.full(count, 0.4))
        return labels, sure, apply_temperature(sure, fit_temperature(labels, sure))

    return draw


def points(ax: Axes) -> list[np.ndarray]:
    """Return the coordinates of the markers of each series, (B, 2)."""
    return [np.asarray(collection.get_offsets()) for collection in ax.collections]


@pytest.mark.parametrize("count", [1, 2, 3, 8, pytest.param(40, marks=pytest.mark.slow)])
def test_texts_of_reliability_diagrams_do_not_overlap(count, assert_texts_stay_apart, long_title, names_of, scaled):
    labels, before, after = scaled(300, count)
    labels[:, 2:3] = 0
    figure = figures.reliability_diagrams(labels, before, after, names_of(count), title=long_title, note="a note")
    assert_texts_stay_apart(figure)
    title = figure.get_suptitle()
    assert title.replace("\n", " ").startswith(long_title)
    assert "\na note\n300 images" in title
    assert [ax.get_title().split("\n")[0] for ax in figure.axes[:count]] == names_of(count)


@pytest.mark.parametrize("count", [1, 3])
def test_points_show_the_mean_probability_and_observed_frequency_of_each_bin(count, names_of, scaled):
    labels, before, after = scaled(2000, count)
    figure = figures.reliability_diagrams(labels, before, after, names_of(count), bins=10, title="title")
    for k in range(count):
        for found, probabilities in zip(points(figure.axes[k]), (before[:, k], after[:, k]), strict=True):
            place = np.minimum((probabilities * 10).astype(int), 9)
            bins = [place == b for b in range(10) if (place == b).any()]
            expected = [(probabilities[held].mean(), labels[held, k].mean()) for held in bins]
            np.testing.assert_allclose(found, expected)
        (diagonal,) = [line for line in figure.axes[k].lines if line.get_linestyle() == "--"]
        np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])


@pytest.mark.parametrize("count", [1, 3])
def test_headings_show_the_calibration_error_before_and_after(count, names_of, scaled):
    labels, before, after = scaled(2000, count)
    figure = figures.reliability_diagrams(labels, before, after, names_of(count), title="title")
    errors = reliability(labels, before).error, reliability(labels, after).error
    for k in range(count):
        assert figure.axes[k].get_title().endswith(f"ECE {errors[0][k]:.3f} → {errors[1][k]:.3f}")
    alone = figures.reliability_diagrams(labels, before, None, names_of(count), title="title")
    assert alone.axes[0].get_title().endswith(f"ECE {errors[0][0]:.3f}")


def test_before_and_after_have_different_colours_markers_and_legend_entries(legend_texts, scaled):
    labels, before, after = scaled(500, 2)
    both = figures.reliability_diagrams(labels, before, after, ["A", "B"], title="title")
    first, second = both.axes[0].collections
    assert to_hex(first.get_facecolor()[0]) != to_hex(second.get_facecolor()[0])
    assert not np.array_equal(first.get_paths()[0].vertices, second.get_paths()[0].vertices)
    alone = figures.reliability_diagrams(labels, before, None, ["A", "B"], title="title")
    assert len(alone.axes[0].collections) == 1
    (missing,) = set(legend_texts(both)) - set(legend_texts(alone))
    assert "temperature" in missing


def test_larger_bins_have_larger_markers_and_empty_bins_have_none():
    probabilities = np.repeat([0.05, 0.5, 0.95], [1000, 1, 30])[:, None]
    figure = figures.reliability_diagrams(np.zeros((1031, 1)), probabilities, None, ["Bald"], title="title")
    (markers,) = figure.axes[0].collections
    np.testing.assert_allclose(markers.get_offsets(), [[0.05, 0], [0.5, 0], [0.95, 0]])
    many, one, some = markers.get_sizes()
    assert many > some > one > 0
    assert (
        np.sqrt(markers.get_sizes()).max() < 12
    )  # in points; larger markers would overlap in a small panel with fifteen bins


def test_a_single_attribute_has_a_histogram_of_the_same_bins_on_a_logarithmic_axis(random_predictions, scaled):
    labels, before, after = scaled(2000, 1)
    figure = figures.reliability_diagrams(labels, before, after, ["Smiling"], bins=10, title="title")
    top, bottom = figure.axes
    assert top.get_position().y0 > bottom.get_position().y1
    assert top.get_xlim() == bottom.get_xlim()
    assert bottom.get_yscale() in {"log", "symlog"}
    for patch, probabilities in zip(bottom.patches, (before, after), strict=True):
        counts, edges, _ = patch.get_data()
        np.testing.assert_allclose(edges, np.linspace(0, 1, 11))
        np.testing.assert_array_equal(counts, np.histogram(probabilities, edges)[0])
        assert bottom.get_ylim()[1] >= counts.max()
    assert "Smiling" in bottom.get_xlabel()
    assert len(figures.reliability_diagrams(*random_predictions(50, 2), None, ["A", "B"], title="title").axes) == 2


@pytest.mark.parametrize("count", [2, 5, pytest.param(40, marks=pytest.mark.slow)])
def test_panels_share_their_axes_and_outer_panels_are_labelled(count, names_of, scaled):
    labels, before, after = scaled(200, count)
    figure = figures.reliability_diagrams(labels, before, after, names_of(count), title="title")
    assert len(figure.axes) == count
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in figure.axes}) == 1
    assert figure.axes[0].get_xlim()[0] <= 0 < 1 <= figure.axes[0].get_xlim()[1]
    assert figure.get_supylabel() or figure.axes[0].get_ylabel()
    assert figure.get_supxlabel() or figure.axes[-1].get_xlabel()


@pytest.mark.parametrize(("value", "reason"), [(0, "no positives"), (1, "no negatives")])
def test_panels_with_a_single_class_explain_what_is_missing(value, reason, scaled):
    labels, before, after = scaled(200, 2)
    labels[:, 1] = value
    figure = figures.reliability_diagrams(labels, before, after, ["A", "B"], title="title")
    for found in points(figure.axes[1]):
        assert len(found)
        assert set(found[:, 1]) == {value}
    assert reason in [text.get_text() for text in figure.axes[1].texts]
    assert not figure.axes[0].texts


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("with_after", [False, True])
def test_a_figure_without_images_explains_this_without_a_warning(
    count, with_after, assert_texts_stay_apart, texts_of, names_of
):
    none = np.zeros((0, count))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figures.reliability_diagrams(none, none, none if with_after else None, names_of(count), title="title")
        assert_texts_stay_apart(figure)
    assert "no images" in texts_of(figure)
    assert all("ECE undefined" in ax.get_title() for ax in figure.axes[:count])


@pytest.mark.parametrize(
    ("labels", "before", "after", "names", "sentence"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), None, ["A", "B"], r"\(N, K\).*\(4, 2\).*\(4, 3\)"),
        (np.zeros((4, 2)), np.zeros((4, 2)), np.zeros((3, 2)), ["A", "B"], r"\(4, 2\).*\(3, 2\)"),
        (np.zeros((4, 2)), np.zeros((4, 2)), None, ["A"], "1 names"),
        (-np.ones((4, 1)), np.zeros((4, 1)), None, ["A"], "Labels must be 0 or 1"),
        (np.zeros((4, 1)), np.full((4, 1), 1.5), None, ["A"], r"must be in \[0, 1\]"),
        (np.zeros((4, 1)), np.zeros((4, 1)), np.full((4, 1), np.nan), ["A"], "NaN"),
    ],
)
def test_arrays_of_the_wrong_shape_are_rejected(labels, before, after, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        figures.reliability_diagrams(labels, before, after, names, title="title")


def test_zero_bins_are_rejected(random_predictions):
    with pytest.raises(ValueError, match=r"must be at least 1: got bins=0"):
        figures.reliability_diagrams(*random_predictions(9, 1), None, ["A"], bins=0, title="title")


def test_reliability_diagrams_do_not_change_matplotlib_settings(random_predictions):
    before = dict(mpl.rcParams)
    figures.reliability_diagrams(*random_predictions(50, 2), None, ["A", "B"], title="title")
    assert dict(mpl.rcParams) == before
