"""The numbers that the figures show, that their texts stay apart, and that they leave nothing behind."""

import itertools
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from celeba_lab import figures

LONG_TITLE = (
    "experiment=attributes on synthetic faces, which are not CelebA ($CELEBA_ROOT and $HOME are not set), test split, "
    "checkpoint outputs/attributes/2025-01-01_12-00-00/checkpoints/best.ckpt"
)
PREDICTION_FIGURES = [
    figures.confusion_matrices,
    figures.roc_curves,
    figures.precision_recall_curves,
    figures.score_histograms,
]


def names_of(count: int) -> list[str]:
    """As long as the longest of CelebA's, Mouth_Slightly_Open."""
    return [f"Attribute_Named_No_{k:02d}" for k in range(count)]


def predictions(images: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (generator.random((images, count)) < np.linspace(0.5, 0.1, count)).astype(np.uint8)
    skill = generator.permutation(np.linspace(0, 4, count)) if count > 1 else 2.0
    logits = (labels - 0.5) * skill + generator.normal(size=(images, count))
    return labels, 1 / (1 + np.exp(-logits))


def faces(*sizes: tuple[int, int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def texts(figure: Figure) -> list[str]:
    """Everything written in the figure, legends included."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def legend_texts(figure: Figure) -> list[str]:
    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def captions_of(figure: Figure) -> list[Text]:
    """The captions of a grid of faces: its texts but for the title, which comes first."""
    assert figure.texts[0].get_text() == figure.get_suptitle()
    return figure.texts[1:]


def assert_texts_stay_apart(figure: Figure) -> None:
    """No two visible texts overlap and none leaves the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    ticks = [tick for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_major_ticks()]
    hidden = {label for tick in ticks for label in (tick.label1, tick.label2) if not label.get_visible()}
    # Spare ticks outside the limits keep their texts, but are not drawn.
    shown = {label for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for label in _tick_labels(axis)}
    hidden |= {label for tick in ticks for label in (tick.label1, tick.label2)} - shown
    drawn = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible() and t not in hidden]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in drawn]
    width, height = canvas.get_width_height()
    for content, box in boxes:
        assert box.x0 >= -1, content
        assert box.y0 >= -1, content
        assert box.x1 <= width + 1, content
        assert box.y1 <= height + 1, content
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        # Line boxes are higher than their letters, so a pixel in common is no overlap.
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
        assert not overlap, f"{one!r} overlaps {other!r}"


def _tick_labels(axis: mpl.axis.Axis) -> list[Text]:
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


# --- all figures


@pytest.mark.parametrize("draw", PREDICTION_FIGURES)
@pytest.mark.parametrize("count", [1, 3, 8, 40])
def test_texts_stay_apart_whatever_the_number_of_attributes(draw, count):
    labels, probabilities = predictions(300, count)
    labels[:, 2:3] = 0
    figure = draw(labels, probabilities, names_of(count), title=LONG_TITLE)
    assert_texts_stay_apart(figure)
    title = figure.get_suptitle()
    assert title.replace("\n", " ").startswith(LONG_TITLE)
    assert title.count("\n") >= 1


@pytest.mark.parametrize("draw", PREDICTION_FIGURES)
@pytest.mark.parametrize("count", [1, 3])
def test_every_axes_of_the_outer_rows_is_labelled(draw, count):
    figure = draw(*predictions(50, count), names_of(count), title="title")
    assert figure.axes[0].get_ylabel() or figure.get_supylabel()
    assert all(ax.get_xlabel() for ax in figure.axes) or figure.get_supxlabel()


def test_figures_leave_pyplot_and_the_settings_alone():
    before = dict(mpl.rcParams)
    labels, probabilities = predictions(50, 2)
    for draw in PREDICTION_FIGURES:
        draw(labels, probabilities, names_of(2), title="title")
    figures.learning_curves(pd.DataFrame({"epoch": [0], "val/loss": [1.0]}), title="title")
    figures.face_grid(faces((8, 8)), ["caption"], title="title")
    assert dict(mpl.rcParams) == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def test_importing_figures_needs_neither_pyplot_nor_torch():
    command = "import sys, celeba_lab.figures; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize("draw", PREDICTION_FIGURES)
def test_no_images_at_all_is_said(draw):
    figure = draw(np.zeros((0, 1)), np.zeros((0, 1)), ["Bald"], title="title")
    assert any("undefined" in text or "no images" in text for text in texts(figure))


@pytest.mark.parametrize("draw", PREDICTION_FIGURES)
@pytest.mark.parametrize(
    ("labels", "probabilities", "names", "sentence"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), ["A", "B"], r"\(N, K\).*\(4, 2\).*\(4, 3\)"),
        (np.zeros((4, 2)), np.zeros((4, 2)), ["A"], "1 names"),
        (np.zeros(4), np.zeros(4), ["A"], r"\(N, K\)"),
        (-np.ones((4, 1)), np.zeros((4, 1)), ["A"], "Labels must be 0 or 1"),
        (np.zeros((4, 1)), np.full((4, 1), 1.5), ["A"], r"must lie in \[0, 1\]"),
        (np.zeros((4, 1)), np.full((4, 1), np.nan), ["A"], "NaN"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(draw, labels, probabilities, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw(labels, probabilities, names, title="title")


# --- confusion matrices


def cells(figure: Figure, panel: int) -> np.ndarray:
    """The counts written in the four cells, placed as the picture places them."""
    counts = np.zeros((2, 2), dtype=int)
    for text in figure.axes[panel].texts:
        column, row = text.get_position()
        counts[int(row), int(column)] = int(text.get_text().split("\n")[0].replace(",", ""))
    return counts


@pytest.mark.parametrize("count", [1, 3])
def test_confusion_cells_equal_scikit_learn(count):
    labels, probabilities = predictions(3000, count)
    figure = figures.confusion_matrices(labels, probabilities, names_of(count), threshold=0.3, title="title")
    for k in range(count):
        expected = confusion_matrix(labels[:, k], probabilities[:, k] >= 0.3)
        np.testing.assert_array_equal(cells(figure, k), expected)
        shares = [text.get_text().split("\n")[1] for text in figure.axes[k].texts]
        rows = expected / expected.sum(axis=1, keepdims=True)
        assert shares == [f"{100 * share:.1f}%" for share in rows.ravel()]
        accuracy = f"accuracy {100 * np.mean((probabilities[:, k] >= 0.3) == labels[:, k]):.1f}%"
        assert accuracy in (figure.get_suptitle() if count == 1 else figure.axes[k].get_title())
    # Drawn with true labels down the side, "no" above "yes", as scikit-learn orders them.
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1]


def test_the_threshold_itself_counts_as_yes_and_each_attribute_has_its_own():
    labels, probabilities = np.array([[1, 1], [0, 0]]), np.array([[0.5, 0.5], [0.2, 0.2]])
    figure = figures.confusion_matrices(labels, probabilities, ["A", "B"], threshold=[0.5, 0.1], title="title")
    np.testing.assert_array_equal(cells(figure, 0), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(cells(figure, 1), [[0, 1], [0, 1]])
    assert "0.10" in figure.axes[1].get_title()


def test_too_few_thresholds_are_refused():
    with pytest.raises(ValueError, match="one for each of 3 attributes: got 2"):
        figures.confusion_matrices(*predictions(9, 3), names_of(3), threshold=[0.1, 0.2], title="title")


def test_the_share_of_an_empty_row_is_undefined():
    figure = figures.confusion_matrices(np.zeros((5, 1)), np.full((5, 1), 0.9), ["Bald"], title="title")
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "0\n0.0%",
        "5\n100.0%",
        "0\nundefined",
        "0\nundefined",
    ]


# --- ROC and precision-recall curves


@pytest.mark.parametrize("count", [1, 8])
def test_legends_give_scikit_learns_areas_best_first(count):
    labels, probabilities = predictions(400, count)
    names = names_of(count)
    roc = legend_texts(figures.roc_curves(labels, probabilities, names, title="title"))
    areas = {name: roc_auc_score(labels[:, k], probabilities[:, k]) for k, name in enumerate(names)}
    best_first = sorted(names, key=lambda name: -areas[name])
    assert roc == [*(f"{name}  AUROC {areas[name]:.3f}" for name in best_first), "chance"]

    pr = legend_texts(figures.precision_recall_curves(labels, probabilities, names, title="title"))
    for k, name in enumerate(names):
        area = average_precision_score(labels[:, k], probabilities[:, k])
        assert any(text.startswith(f"{name}  AP {area:.3f}") for text in pr)


def test_the_chance_line_of_precision_is_the_prevalence():
    labels, probabilities = predictions(400, 1)
    figure = figures.precision_recall_curves(labels, probabilities, ["Smiling"], title="title")
    chance = next(line for line in figure.axes[0].lines if "chance" in line.get_label())
    np.testing.assert_allclose(chance.get_ydata(), labels.mean())
    assert f"{labels.mean():.3f}" in chance.get_label()


def test_of_many_attributes_the_five_best_and_worst_are_named():
    labels, probabilities = predictions(400, 40)
    names = names_of(40)
    figure = figures.roc_curves(labels, probabilities, names, title="title")
    areas = np.array([roc_auc_score(labels[:, k], probabilities[:, k]) for k in range(40)])
    order = np.argsort(-areas)
    entries = [f"{names[k]}  AUROC {areas[k]:.3f}" for k in order]
    expected = ["Highest AUROC", *entries[:5], "Lowest AUROC", *entries[-5:], "the 30 between", "chance"]
    assert legend_texts(figure) == expected
    assert len(figure.axes[0].lines) == 41
    assert f"mean AUROC {areas.mean():.3f} over 40 of 40 attributes" in figure.get_suptitle()


@pytest.mark.parametrize("count", [9, 10, 11])
def test_no_attribute_is_both_best_and_worst(count):
    labels, probabilities = predictions(400, count)
    entries = legend_texts(figures.roc_curves(labels, probabilities, names_of(count), title="title"))
    named = [entry for entry in entries if entry.startswith("Attribute")]
    assert len(named) == len(set(named)) == min(count, 10)
    assert ("the 1 between" in entries) == (count == 11)


@pytest.mark.parametrize(("value", "reason"), [(0, "no positives"), (1, "no negatives")])
@pytest.mark.parametrize("draw", [figures.roc_curves, figures.precision_recall_curves])
def test_an_undefined_curve_is_named_not_drawn_and_not_averaged(draw, value, reason):
    labels, probabilities = predictions(400, 3)
    labels[:, 1] = value
    names = ["Smiling", "Bald", "Male"]
    figure = draw(labels, probabilities, names, title="title")
    assert f"Bald: undefined ({reason})" in legend_texts(figure)
    assert not any(line.get_label().startswith("Bald") for line in figure.axes[0].lines)
    assert "over 2 of 3 attributes" in figure.get_suptitle()
    single = draw(labels[:, 1:2], probabilities[:, 1:2], ["Bald"], title="title")
    assert f"undefined: {reason}" in [text.get_text() for text in single.axes[0].texts]


def test_the_drawn_curve_keeps_its_area_although_it_is_thinned():
    labels, probabilities = predictions(50_000, 1)
    line = figures.roc_curves(labels, probabilities, ["Smiling"], title="title").axes[0].lines[0]
    assert len(line.get_xdata()) < 3000
    area = np.trapezoid(line.get_ydata(), line.get_xdata())
    assert area == pytest.approx(roc_auc_score(labels[:, 0], probabilities[:, 0]), abs=2e-3)


# --- histograms of the scores


def test_histograms_count_each_class_and_mark_the_threshold():
    labels, probabilities = predictions(500, 2)
    figure = figures.score_histograms(labels, probabilities, ["A", "B"], threshold=[0.2, 0.7], title="title")
    for k, threshold in enumerate((0.2, 0.7)):
        ax = figure.axes[k]
        negatives, positives = (patch.get_data().values for patch in ax.patches)
        edges = ax.patches[0].get_data().edges
        np.testing.assert_array_equal(negatives, np.histogram(probabilities[labels[:, k] == 0, k], edges)[0])
        np.testing.assert_array_equal(positives, np.histogram(probabilities[labels[:, k] == 1, k], edges)[0])
        assert negatives.sum() + positives.sum() == 500
        assert [line.get_xdata()[0] for line in ax.lines] == [threshold]
        assert f"{threshold:.2f}" in ax.get_title()
        assert ax.get_ylim()[1] > max(negatives.max(), positives.max())


def test_the_histogram_of_one_attribute_gives_its_class_sizes():
    labels, probabilities = predictions(500, 1)
    entries = legend_texts(figures.score_histograms(labels, probabilities, ["Smiling"], title="title"))
    positives = int(labels.sum())
    assert entries == [f"not Smiling ({500 - positives})", f"Smiling ({positives})", "threshold 0.50"]


def test_a_histogram_without_positives_says_so():
    figure = figures.score_histograms(np.zeros((9, 1)), np.full((9, 1), 0.4), ["Bald"], title="title")
    assert "no positives" in texts(figure)


# --- learning curves


@pytest.fixture
def history() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "epoch": [0, 1, 2, 3],
            "train/loss": [0.5, 0.4, 0.3, 0.2],
            "val/loss": [0.45, 0.35, 0.36, 0.40],
            "train/accuracy": [0.8, 0.85, 0.9, 0.95],
            "val/accuracy": [0.82, 0.88, 0.91, 0.90],
        }
    )


def star(figure: Figure, panel: int) -> tuple[float, float]:
    (line,) = [line for line in figure.axes[panel].lines if line.get_marker() == "*"]
    return line.get_xdata()[0], line.get_ydata()[0]


def test_learning_curves_show_the_history(history):
    figure = figures.learning_curves(history, title=LONG_TITLE, majority_accuracy=0.52)
    assert_texts_stay_apart(figure)
    for ax, metric in zip(figure.axes, ("loss", "accuracy"), strict=True):
        lines = {line.get_label(): line for line in ax.lines}
        np.testing.assert_array_equal(lines["train"].get_ydata(), history[f"train/{metric}"])
        np.testing.assert_array_equal(lines["validation"].get_ydata(), history[f"val/{metric}"])
        assert lines["train"].get_marker() != lines["validation"].get_marker()
        assert lines["train"].get_linestyle() != lines["validation"].get_linestyle()
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", metric)
        assert all(tick == int(tick) for tick in ax.get_xticks())
    majority = next(line for line in figure.axes[1].lines if "majority" in line.get_label())
    assert list(majority.get_ydata()) == [0.52, 0.52]
    assert legend_texts(figure) == ["train", "validation", "best epoch 2", "majority class 0.520"]


def test_the_best_epoch_is_the_one_given_else_of_the_highest_accuracy_else_of_the_lowest_loss(history):
    given = figures.learning_curves(history, title="title", best_epoch=1)
    assert (star(given, 0), star(given, 1)) == ((1, 0.35), (1, 0.88))
    found = figures.learning_curves(history, title="title")
    assert (star(found, 0), star(found, 1)) == ((2, 0.36), (2, 0.91))
    assert "Best epoch 2 (highest validation accuracy): validation loss 0.360" in found.get_suptitle()
    by_loss = figures.learning_curves(history.drop(columns="val/accuracy"), title="title")
    assert star(by_loss, 0) == (1, 0.35)
    assert "lowest validation loss" in by_loss.get_suptitle()


def test_rows_that_a_logger_split_are_joined_and_gaps_are_bridged():
    history = pd.DataFrame(
        {"epoch": [1, 0, 0, 2], "val/loss": [np.nan, 0.5, np.nan, 0.3], "train/loss": [3, np.nan, 4, 2]}
    )
    figure = figures.learning_curves(history, title="title")
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines["train"].get_ydata()) == [4, 3, 2]
    assert list(lines["validation"].get_xdata()) == [0, 2]
    assert "no accuracy was recorded" in texts(figure)


@pytest.mark.parametrize("history", [pd.DataFrame(), pd.DataFrame({"train/loss": [1.0]})])
def test_an_almost_empty_history_is_no_error(history):
    assert_texts_stay_apart(figures.learning_curves(history, title="title", best_epoch=7))


# --- faces


@pytest.mark.parametrize("count", [1, 2, 5, 16, 64])
def test_every_face_stands_above_its_caption(count):
    generator = np.random.default_rng(1)
    images = faces(*generator.integers(10, 60, (count, 2)))
    captions = [
        figures.image_caption(f"{k:06d}.jpg", k % 2, 0.98, ["Smiling", "Mouth_Slightly_Open"][k % 3 > 0])
        for k in range(count)
    ]
    figure = figures.face_grid(images, captions, title=LONG_TITLE)
    assert_texts_stay_apart(figure)
    written = captions_of(figure)
    assert len(figure.axes) == len(written) == count
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [ax.get_window_extent(renderer) for ax in figure.axes]
    for k, (box, text) in enumerate(zip(boxes, written, strict=True)):
        np.testing.assert_array_equal(figure.axes[k].images[0].get_array(), images[k])
        assert box.width / box.height == pytest.approx(images[k].shape[1] / images[k].shape[0], rel=0.01)
        # Wrapping may turn a space into a line break, but loses no word.
        assert text.get_text().split() == captions[k].split()
        caption = text.get_window_extent(renderer)
        assert caption.y1 <= box.y0 + 1
        assert (caption.x0 + caption.x1) / 2 == pytest.approx((box.x0 + box.x1) / 2, abs=2)
        assert not any(caption.overlaps(other) for other in boxes)


def test_a_file_name_without_spaces_is_wrapped_too():
    name = "x" * 200 + "_" + "y" * 100 + ".jpg"
    figure = figures.face_grid(faces(*[(20, 20)] * 6), [name] * 6, title="t" * 400)
    assert_texts_stay_apart(figure)
    assert captions_of(figure)[0].get_text().replace("\n", "") == name


def test_columns_and_borders_are_as_asked():
    figure = figures.face_grid(
        faces(*[(20, 20)] * 4), [""] * 4, columns=2, title="title", borders=[figures.WRONG, None, "red", "#00ff00"]
    )
    assert len({round(ax.get_position().x0, 3) for ax in figure.axes}) == 2
    colours = [to_hex(ax.spines["left"].get_edgecolor()) for ax in figure.axes]
    assert colours[0] == figures.WRONG.lower()
    assert colours[2:] == ["#ff0000", "#00ff00"]


def test_small_faces_are_enlarged_smoothly_and_large_ones_are_not_aliased():
    figure = figures.face_grid(faces((20, 20), (2000, 2000)), ["small", "large"], title="title")
    assert [ax.images[0].get_interpolation() for ax in figure.axes] == ["bicubic", mpl.rcParams["image.interpolation"]]


@pytest.mark.parametrize(
    ("images", "captions", "borders", "sentence"),
    [
        ([], [], None, "at least one image"),
        (faces((4, 4)), [], None, "1 images, 0 captions"),
        (faces((4, 4)), ["a"], [], "0 borders"),
        ([np.zeros((4, 4, 3))], ["a"], None, r"Image 0 must be uint8 \(H, W, 3\): got float64"),
        ([np.zeros((3, 4, 4), dtype=np.uint8)], ["a"], None, r"got uint8 \(3, 4, 4\)"),
    ],
)
def test_faces_that_cannot_be_drawn_are_refused(images, captions, borders, sentence):
    with pytest.raises(ValueError, match=sentence):
        figures.face_grid(images, captions, title="title", borders=borders)


def test_image_captions():
    assert figures.image_caption("1.jpg", 0, 0.981, "Smiling") == "1.jpg\nlabel: not Smiling\nsays: Smiling 0.98"
    assert figures.image_caption("1.jpg", 1, 0.02, "Smiling") == "1.jpg\nlabel: Smiling\nsays: not Smiling 0.98"
    assert figures.image_caption("1.jpg", None, 0.3, "Bald", threshold=0.3) == "1.jpg\nsays: Bald 0.30"
    # Certainty is never claimed by rounding.
    assert figures.image_caption("1.jpg", None, 0.9961, "Bald").endswith(" 0.996")
    assert figures.image_caption("1.jpg", None, 0.99999, "Bald").endswith(" >0.999")


def test_prediction_captions():
    names = ["A", "B", "C", "D"]
    caption = figures.prediction_caption("1.jpg", [0.6, 0.9, 0.3, 0.7], names, most=2)
    assert caption == "1.jpg\nB 0.90\nD 0.70\nand 1 more"
    tuned = figures.prediction_caption("1.jpg", [0.6, 0.9, 0.3, 0.7], names, threshold=[0.7, 0.95, 0.2, 0.8])
    assert tuned == "1.jpg\nC 0.30"
    assert figures.prediction_caption("1.jpg", [0.1] * 4, names) == "1.jpg\nnone of 4 attributes"
    assert figures.prediction_caption("1.jpg", [0.1], ["A"]) == "1.jpg\nsays: not A 0.90"


def test_label_captions():
    names = ["A", "B", "C"]
    assert figures.label_caption([1, 0, 1], names) == "A\nC"
    assert figures.label_caption([1, 1, 1], names, most=1) == "A\nand 2 more"
    assert figures.label_caption([0, 0, 0], names) == "none of 3 attributes"
    assert figures.label_caption([0], ["A"]) == "not A"
