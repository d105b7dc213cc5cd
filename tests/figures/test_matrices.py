"""Heat maps show every name and every cell, using the colours of the colour bar, or grey for undefined cells."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from celeba_lab import figures
from celeba_lab.figures.style import LIGHT_GRAY

SLOW = pytest.mark.slow
SCALES = ["sequential", "diverging", "ratio"]


def heatmap(values, scale: str = "diverging", **settings) -> Figure:
    table = np.asarray(values, dtype=float)
    rows, columns = (
        [f"{name} {k}" for k in range(count)] for name, count in zip(("row", "column"), table.shape, strict=True)
    )
    names = {"row_names": rows, "column_names": columns}
    return figures.matrix_heatmap(table, **(names | settings), label="value", title="title", scale=scale)


def colors(figure: Figure) -> np.ndarray:
    """Return the colours of the cells, (R, C, 3)."""
    return np.asarray(figure.axes[0].images[0].get_array())


def cell_texts(figure: Figure) -> dict[tuple[int, int], str]:
    """Return the text of each cell, keyed by row and column."""
    written = {}
    for text in figure.axes[0].texts:
        column, row = text.get_position()
        written[int(row), int(column)] = text.get_text()
    return written


def labels(axis) -> list[str]:
    return [text.get_text() for text in axis.get_ticklabels()]


def color_bar(figure: Figure):
    return figure.axes[1]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 40), (40, 1), pytest.param((5, 5), marks=SLOW), (14, 14), pytest.param((40, 40), marks=SLOW)]
)
def test_texts_of_a_heat_map_of_any_size_do_not_overlap(
    shape, scale, assert_texts_stay_apart, names_of, long_title, tick_labels
):
    values = np.random.default_rng(0).gamma(2, size=shape)
    values[0, 0] = np.nan
    figure = figures.matrix_heatmap(
        values,
        names_of(shape[0]),
        names_of(shape[1]),
        label="odds ratio of the column attribute, with and without the row attribute",
        title=long_title,
        note="a note",
        scale=scale,
        row_title="given",
        column_title="predicted",
    )
    assert_texts_stay_apart(figure)
    assert tick_labels(figure.axes[0].yaxis) == names_of(shape[0])
    # Wrapped names keep all letters.
    assert [text.replace("\n", "") for text in tick_labels(figure.axes[0].xaxis)] == names_of(shape[1])
    assert (figure.axes[0].get_ylabel(), figure.axes[0].get_xlabel()) == ("given", "predicted")
    assert figure.get_suptitle().endswith("\na note")


def test_a_matrix_of_forty_by_forty_cells_is_readable(names_of):
    width, height = heatmap(np.eye(40), row_names=names_of(40), column_names=names_of(40)).get_size_inches()
    assert 11 < width < 14
    assert 11 < height < 14


def test_long_names_are_wrapped_next_to_their_cells(assert_texts_stay_apart):
    names = ["a very long row name, much longer than any name of an attribute or a cluster " * 2, "short"]
    assert_texts_stay_apart(heatmap(np.eye(2), row_names=names, column_names=names[::-1]))


@pytest.mark.parametrize("scale", SCALES)
def test_undefined_cells_are_grey_and_explained_in_the_legend(scale, legend_texts):
    values = np.array([[0.5, np.nan], [2.0, 0.1]])
    figure = heatmap(values, scale)
    assert [tuple(cell) == to_rgb(LIGHT_GRAY) for cell in colors(figure).reshape(-1, 3)] == [False, True, False, False]
    assert legend_texts(figure) == ["undefined"]
    assert cell_texts(figure)[0, 1] == ""
    assert legend_texts(heatmap(np.ones((2, 2)), scale)) == []


@pytest.mark.parametrize("scale", SCALES)
def test_a_matrix_without_any_defined_value_can_be_drawn(scale, assert_texts_stay_apart):
    assert_texts_stay_apart(heatmap(np.full((3, 3), np.nan), scale))


def test_infinite_cells_have_the_colour_at_the_end_of_the_scale(assert_texts_stay_apart, legend_texts):
    figure = heatmap([[-np.inf, -1, 0], [np.inf, 1, 0.5]])
    cells = colors(figure)
    np.testing.assert_array_equal(cells[0, 0], cells[0, 1])
    np.testing.assert_array_equal(cells[1, 0], cells[1, 1])
    assert cells[0, 0, 2] > cells[0, 0, 0]  # blue
    assert legend_texts(figure) == []
    assert (cell_texts(figure)[0, 0], cell_texts(figure)[1, 0]) == ("−∞", "∞")
    assert_texts_stay_apart(figure)


def test_a_diverging_scale_is_symmetric_and_white_at_zero():
    figure = heatmap([[-0.2, 0.0, 0.4]])
    low, high = color_bar(figure).get_xlim()
    assert (low, high) == (-0.4, 0.4)
    assert colors(figure)[0, 1].min() > 0.95
    # Colours are proportional to the distance from 0, so -0.2 does not have the colour at the end of the scale.
    assert colors(figure)[0, 0].max() > 0.5


def test_colours_of_asymmetric_limits_change_equally_fast_on_both_sides():
    wide = heatmap([[-0.3, 0.3]], limits=(-0.6, 0.6))
    narrow = heatmap([[-0.3, 0.3]], limits=(-0.3, 0.6))
    np.testing.assert_allclose(colors(wide), colors(narrow), atol=0.03)


def test_a_ratio_and_its_inverse_have_equally_strong_colours(tick_labels):
    figure = heatmap([[1 / 8, 1, 8, 0]], "ratio")
    cells = colors(figure)
    assert cells[0, 1].min() > 0.95
    assert cells[0, 0, 2] > cells[0, 0, 0]
    assert cells[0, 2, 0] > cells[0, 2, 2]
    np.testing.assert_array_equal(cells[0, 3], cells[0, 0])  # 0 is beyond the end of the scale
    assert tick_labels(color_bar(figure).xaxis) == ["1/8", "1/4", "1/2", "1", "2", "4", "8"]


def test_a_few_outliers_do_not_set_the_limits(names_of):
    values = np.random.default_rng(0).uniform(-0.3, 0.3, (20, 20))
    values[0, 1], values[3, 4] = 50, -40
    figure = heatmap(values, row_names=names_of(20))
    bar = color_bar(figure)
    assert bar.get_ylim()[1] < 0.4
    assert len(bar.patches) == 2  # the arrows for values beyond both ends


def test_the_diagonal_of_a_square_matrix_does_not_set_the_limits(names_of):
    values = np.full((3, 3), 0.1)
    np.fill_diagonal(values, 1)
    figure = heatmap(values, row_names=names_of(3), column_names=names_of(3))
    assert color_bar(figure).get_xlim() == pytest.approx((-0.1, 0.1))


def test_explicit_limits_are_used():
    figure = heatmap(np.full((10, 2), 0.3), "sequential", limits=(0, 1))
    assert color_bar(figure).get_ylim() == (0, 1)


def test_only_small_matrices_are_annotated_by_default():
    figure = heatmap([[0.123, -0.001], [-0.5, 1]])
    assert cell_texts(figure) == {(0, 0): "0.12", (0, 1): "0.00", (1, 0): "−0.50", (1, 1): "1.00"}
    assert cell_texts(heatmap([[12345, 6]], "sequential")) == {(0, 0): "12,345", (0, 1): "6"}
    assert cell_texts(heatmap([[0.123]], annotate=".1%")) == {(0, 0): "12.3%"}
    assert cell_texts(heatmap([[0.123]], annotate="")) == {}
    assert cell_texts(heatmap(np.ones((15, 15)))) == {}
    assert len(cell_texts(heatmap(np.ones((15, 15)), annotate=".0f"))) == 225


def test_annotations_contrast_with_their_cells():
    figure = heatmap([[-1, 0, 1]])
    assert [text.get_color() for text in figure.axes[0].texts] == ["white", "black", "white"]


@pytest.mark.parametrize(
    ("values", "settings", "sentence"),
    [
        (np.ones((2, 3)), {"row_names": ["a"]}, r"got \(2, 3\), 1 row names and 3 column names"),
        (np.ones(3), {"row_names": ["a"], "column_names": ["b"]}, r"must have shape \(R, C\)"),
        (np.ones((0, 0)), {"row_names": [], "column_names": []}, "must not be empty"),
        (np.ones((1, 1)), {"scale": "rainbow"}, "sequential, diverging, ratio: got 'rainbow'"),
        (-np.ones((1, 1)), {"scale": "ratio"}, "Ratios cannot be negative"),
        (np.ones((1, 1)), {"limits": (1, 0)}, "ascending order"),
        (np.ones((1, 1)), {"limits": (0, np.inf)}, "two finite numbers"),
        (np.ones((1, 1)), {"limits": (0, 1), "scale": "ratio"}, "must be above 0"),
    ],
)
def test_matrices_that_cannot_be_drawn_are_rejected(values, settings, sentence, names_of):
    names = {"row_names": ["a", "b"][: len(values)], "column_names": names_of(values.shape[-1])}
    with pytest.raises(ValueError, match=sentence):
        figures.matrix_heatmap(values, **(names | settings), label="value", title="title")


# --- cluster profiles


@pytest.mark.parametrize("count", [1, 2, 5, 10])
@pytest.mark.parametrize("attributes", [1, 40])
def test_texts_of_a_cluster_profile_do_not_overlap(
    count, attributes, assert_texts_stay_apart, names_of, long_title, tick_labels
):
    means = np.random.default_rng(0).normal(size=(count, attributes))
    means[0, 0] = np.nan
    clusters = [f"Cluster {c + 1} (n = 1,234): Wearing_Lipstick, Heavy_Makeup, not Male" for c in range(count)]
    figure = figures.cluster_profile(means, names_of(attributes), clusters, label="mean z-score", title=long_title)
    assert_texts_stay_apart(figure)
    # A name without spaces can be broken after an underscore.
    written = [text.replace("\n", "").replace(" ", "") for text in tick_labels(figure.axes[0].xaxis)]
    assert written == [name.replace(" ", "") for name in clusters]


def test_a_profile_groups_attributes_by_their_strongest_cluster(tick_labels):
    means = np.array([[0.5, -1.0, 2.0, -0.3, np.nan], [0.1, 3.0, -1.0, -0.2, np.nan]])
    figure = figures.cluster_profile(means, ["A", "B", "C", "D", "E"], ["one", "two"], label="z", title="title")
    assert tick_labels(figure.axes[0].yaxis) == ["C", "A", "B", "D", "E"]
    written = cell_texts(figure)
    assert [written[row, 0] for row in range(5)] == ["2.0", "0.5", "−1.0", "−0.3", ""]
    assert [written[row, 1] for row in range(5)] == ["−1.0", "0.1", "3.0", "−0.2", ""]
    borders = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_color() == "black"]
    assert borders == [1.5, 3.5]


def test_a_profile_of_the_wrong_shape_is_rejected():
    with pytest.raises(ValueError, match=r"got \(2, 3\), 2 row names and 2 column names"):
        figures.cluster_profile(np.ones((2, 3)), ["A", "B"], ["one", "two"], label="z", title="title")
