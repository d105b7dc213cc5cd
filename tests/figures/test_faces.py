"""Grids of faces show each face above its caption, and captions have the right wording."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from celeba_lab import figures


def faces(*sizes: tuple[int, int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def captions_of(figure: Figure) -> list[Text]:
    """Return the captions of a grid of faces: all texts except the first, which is the title."""
    assert figure.texts[0].get_text() == figure.get_suptitle()
    return figure.texts[1:]


@pytest.mark.parametrize("count", [1, 2, 5, 16, 64])
def test_every_face_is_above_its_caption(count, assert_texts_stay_apart, long_title):
    generator = np.random.default_rng(1)
    images = faces(*generator.integers(10, 60, (count, 2)))
    captions = [
        figures.image_caption(f"{k:06d}.jpg", k % 2, 0.98, ["Smiling", "Mouth_Slightly_Open"][k % 3 > 0])
        for k in range(count)
    ]
    figure = figures.face_grid(images, captions, title=long_title)
    assert_texts_stay_apart(figure)
    written = captions_of(figure)
    drawn = figure.axes[0].images
    assert len(drawn) == len(written) == count
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [image.get_window_extent(renderer) for image in drawn]
    for k, (box, text) in enumerate(zip(boxes, written, strict=True)):
        np.testing.assert_array_equal(drawn[k].get_array(), images[k])
        assert box.width / box.height == pytest.approx(images[k].shape[1] / images[k].shape[0], rel=0.01)
        # Wrapping can replace a space with a line break but keeps all words.
        assert text.get_text().split() == captions[k].split()
        caption = text.get_window_extent(renderer)
        assert caption.y1 <= box.y0 + 1
        assert (caption.x0 + caption.x1) / 2 == pytest.approx((box.x0 + box.x1) / 2, abs=2)
        assert not any(caption.overlaps(other) for other in boxes)


def test_file_names_without_spaces_are_wrapped(assert_texts_stay_apart):
    name = "x" * 200 + "_" + "y" * 100 + ".jpg"
    figure = figures.face_grid(faces(*[(20, 20)] * 6), [name] * 6, title="t" * 400)
    assert_texts_stay_apart(figure)
    assert captions_of(figure)[0].get_text().replace("\n", "") == name


def test_requested_columns_and_borders_are_used():
    figure = figures.face_grid(
        faces(*[(20, 20)] * 4), [""] * 4, columns=2, title="title", borders=[figures.WRONG, None, "red", "#00ff00"]
    )
    [ax] = figure.axes
    assert len({round(image.get_extent()[0], 3) for image in ax.images}) == 2
    assert [border.get_x() for border in ax.patches] == [image.get_extent()[0] for image in ax.images]
    colors = [to_hex(border.get_edgecolor()) for border in ax.patches]
    assert colors[0] == figures.WRONG.lower()
    assert colors[2:] == ["#ff0000", "#00ff00"]


def test_small_faces_are_enlarged_smoothly_and_large_ones_are_not_aliased():
    figure = figures.face_grid(faces((20, 20), (2000, 2000)), ["small", "large"], title="title")
    used = [image.get_interpolation() for image in figure.axes[0].images]
    assert used == ["bicubic", mpl.rcParams["image.interpolation"]]


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
def test_faces_that_cannot_be_drawn_are_rejected(images, captions, borders, sentence):
    with pytest.raises(ValueError, match=sentence):
        figures.face_grid(images, captions, title="title", borders=borders)


def test_an_image_caption_contains_name_label_and_prediction():
    assert figures.image_caption("1.jpg", 0, 0.981, "Smiling") == "1.jpg\nlabel: not Smiling\npredicted: Smiling 0.98"
    assert figures.image_caption("1.jpg", 1, 0.02, "Smiling") == "1.jpg\nlabel: Smiling\npredicted: not Smiling 0.98"
    assert figures.image_caption("1.jpg", None, 0.3, "Bald", threshold=0.3) == "1.jpg\npredicted: Bald 0.30"
    # A probability is never rounded to 1.
    assert figures.image_caption("1.jpg", None, 0.9961, "Bald").endswith(" 0.996")
    assert figures.image_caption("1.jpg", None, 0.99999, "Bald").endswith(" >0.999")


def test_a_prediction_caption_lists_the_most_probable_attributes():
    names = ["A", "B", "C", "D"]
    caption = figures.prediction_caption("1.jpg", [0.6, 0.9, 0.3, 0.7], names, most=2)
    assert caption == "1.jpg\nB 0.90\nD 0.70\nand 1 more"
    tuned = figures.prediction_caption("1.jpg", [0.6, 0.9, 0.3, 0.7], names, threshold=0.7)
    assert tuned == "1.jpg\nB 0.90\nD 0.70"
    assert figures.prediction_caption("1.jpg", [0.1] * 4, names) == "1.jpg\nnone of 4 attributes"
    assert figures.prediction_caption("1.jpg", [0.1], ["A"]) == "1.jpg\npredicted: not A 0.90"
