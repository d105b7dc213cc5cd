"""Properties of all figures of predictions: texts do not overlap, axes are labelled and arrays are checked."""

import numpy as np
import pytest

from celeba_lab import figures


def roc_curves(labels, probabilities, names, *, title):
    return figures.roc_curves(labels, probabilities, names, areas=np.linspace(0.4, 0.9, len(names)), title=title)


def precision_recall_curves(labels, probabilities, names, *, title):
    areas = np.linspace(0.4, 0.9, len(names))
    return figures.precision_recall_curves(labels, probabilities, names, areas=areas, title=title)


SLOW = pytest.mark.slow
PREDICTION_FIGURES = [figures.confusion_matrices, roc_curves, precision_recall_curves, figures.score_histograms]


@pytest.mark.parametrize("draw", PREDICTION_FIGURES)
@pytest.mark.parametrize("count", [1, 8, pytest.param(3, marks=SLOW), pytest.param(40, marks=SLOW)])
def test_texts_do_not_overlap_for_any_number_of_attributes(
    draw, count, random_predictions, assert_texts_stay_apart, long_title, names_of
):
    labels, probabilities = random_predictions(300, count)
    labels[:, 2:3] = 0
    figure = draw(labels, probabilities, names_of(count), title=long_title)
    assert_texts_stay_apart(figure)
    title = figure.get_suptitle()
    assert title.replace("\n", " ").startswith(long_title)
    assert title.count("\n") >= 1


@pytest.mark.parametrize("draw", PREDICTION_FIGURES)
@pytest.mark.parametrize("count", [1, 3])
def test_outer_axes_are_labelled(draw, count, names_of, random_predictions):
    figure = draw(*random_predictions(50, count), names_of(count), title="title")
    assert figure.axes[0].get_ylabel() or figure.get_supylabel()
    assert all(ax.get_xlabel() for ax in figure.axes) or figure.get_supxlabel()


@pytest.mark.parametrize("draw", PREDICTION_FIGURES)
def test_a_figure_without_images_explains_this(draw, texts_of):
    figure = draw(np.zeros((0, 1)), np.zeros((0, 1)), ["Bald"], title="title")
    assert any("undefined" in text or "no images" in text for text in texts_of(figure))


@pytest.mark.parametrize("draw", PREDICTION_FIGURES)
@pytest.mark.parametrize(
    ("labels", "probabilities", "names", "sentence"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), ["A", "B"], r"\(N, K\).*\(4, 2\).*\(4, 3\)"),
        (np.zeros((4, 2)), np.zeros((4, 2)), ["A"], "1 names"),
        (np.zeros(4), np.zeros(4), ["A"], r"\(N, K\)"),
        (-np.ones((4, 1)), np.zeros((4, 1)), ["A"], "Labels must be 0 or 1"),
        (np.zeros((4, 1)), np.full((4, 1), 1.5), ["A"], r"must be in \[0, 1\]"),
        (np.zeros((4, 1)), np.full((4, 1), np.nan), ["A"], "NaN"),
    ],
)
def test_arrays_of_the_wrong_shape_are_rejected(draw, labels, probabilities, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw(labels, probabilities, names, title="title")
