"""Confusion matrices match those of scikit-learn, and histograms match those of NumPy."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from celeba_lab import figures


def cells(figure: Figure, panel: int) -> np.ndarray:
    """Return the counts in the four cells, arranged as in the figure."""
    counts = np.zeros((2, 2), dtype=int)
    for text in figure.axes[panel].texts:
        column, row = text.get_position()
        counts[int(row), int(column)] = int(text.get_text().split("\n")[0].replace(",", ""))
    return counts


@pytest.mark.parametrize("count", [1, 3])
def test_confusion_cells_equal_scikit_learn(count, random_predictions, names_of):
    labels, probabilities = random_predictions(3000, count)
    figure = figures.confusion_matrices(labels, probabilities, names_of(count), threshold=0.3, title="title")
    for k in range(count):
        expected = confusion_matrix(labels[:, k], probabilities[:, k] >= 0.3)
        np.testing.assert_array_equal(cells(figure, k), expected)
        shares = [text.get_text().split("\n")[1] for text in figure.axes[k].texts]
        rows = expected / expected.sum(axis=1, keepdims=True)
        assert shares == [f"{100 * share:.1f}%" for share in rows.ravel()]
        accuracy = f"accuracy {100 * np.mean((probabilities[:, k] >= 0.3) == labels[:, k]):.1f}%"
        assert accuracy in (figure.get_suptitle() if count == 1 else figure.axes[k].get_title())
    # Rows are true labels with "no" above "yes", in the order of scikit-learn.
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1]


def test_a_probability_equal_to_the_threshold_counts_as_yes():
    labels, probabilities = np.array([[1, 1], [0, 0]]), np.array([[0.25, 0.2], [0.2, 0.25]])
    figure = figures.confusion_matrices(labels, probabilities, ["A", "B"], threshold=0.25, title="title")
    np.testing.assert_array_equal(cells(figure, 0), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(cells(figure, 1), [[0, 1], [1, 0]])
    assert "threshold 0.25" in figure.get_suptitle()


def test_the_percentage_of_an_empty_row_is_undefined():
    figure = figures.confusion_matrices(np.zeros((5, 1)), np.full((5, 1), 0.9), ["Bald"], title="title")
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "0\n0.0%",
        "5\n100.0%",
        "0\nundefined",
        "0\nundefined",
    ]


# --- histograms of the scores


def test_histograms_count_each_class_and_mark_the_threshold(random_predictions):
    labels, probabilities = random_predictions(500, 2)
    figure = figures.score_histograms(labels, probabilities, ["A", "B"], threshold=0.2, title="title")
    for k, ax in enumerate(figure.axes):
        negatives, positives = (patch.get_data().values for patch in ax.patches)
        edges = ax.patches[0].get_data().edges
        np.testing.assert_array_equal(negatives, np.histogram(probabilities[labels[:, k] == 0, k], edges)[0])
        np.testing.assert_array_equal(positives, np.histogram(probabilities[labels[:, k] == 1, k], edges)[0])
        assert negatives.sum() + positives.sum() == 500
        assert [line.get_xdata()[0] for line in ax.lines] == [0.2]
        assert ax.get_ylim()[1] > max(negatives.max(), positives.max())


def test_the_histogram_of_a_single_attribute_shows_its_class_sizes(random_predictions, legend_texts):
    labels, probabilities = random_predictions(500, 1)
    entries = legend_texts(figures.score_histograms(labels, probabilities, ["Smiling"], title="title"))
    positives = int(labels.sum())
    assert entries == [f"not Smiling ({500 - positives})", f"Smiling ({positives})", "threshold 0.50"]


def test_a_histogram_without_positives_explains_this(texts_of):
    figure = figures.score_histograms(np.zeros((9, 1)), np.full((9, 1), 0.4), ["Bald"], title="title")
    assert "no positives" in texts_of(figure)
