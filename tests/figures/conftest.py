"""Fixtures for testing figures: long titles and names, predictions, and the texts of a figure."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


@pytest.fixture(scope="session")
def long_title() -> str:
    """A title as long as that of a real run, with dollar signs that must not be parsed as mathematics."""
    return (
        "experiment=attributes on synthetic faces, which are not CelebA ($CELEBA_ROOT and $HOME are not set), test "
        "split, checkpoint outputs/attributes/2025-01-01_12-00-00/checkpoints/best.ckpt"
    )


@pytest.fixture(scope="session")
def names_of() -> Callable[[int], list[str]]:
    """``names_of(40)`` returns 40 names, each as long as Mouth_Slightly_Open, the longest name of CelebA."""
    return lambda count: [f"Attribute_Named_No_{k:02d}" for k in range(count)]


@pytest.fixture(scope="session")
def random_predictions() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """``random_predictions(images, count)`` returns labels and probabilities, (N, K), of varying difficulty."""

    def draw(images: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(seed)
        labels = (generator.random((images, count)) < np.linspace(0.5, 0.1, count)).astype(np.uint8)
        skill = generator.permutation(np.linspace(0, 4, count)) if count > 1 else 2.0
        logits = (labels - 0.5) * skill + generator.normal(size=(images, count))
        return labels, 1 / (1 + np.exp(-logits))

    return draw


@pytest.fixture(scope="session")
def texts_of() -> Callable[[Figure], list[str]]:
    """``texts_of(figure)`` returns all texts of a figure, including legends."""
    return lambda figure: [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.fixture(scope="session")
def axes_texts() -> Callable[[Axes], list[str]]:
    """``axes_texts(ax)`` returns the texts of axes except ticks, labels, title and legend."""
    return lambda ax: [text.get_text() for text in ax.texts]


@pytest.fixture(scope="session")
def tick_labels() -> Callable[[Axis], list[str]]:
    """``tick_labels(ax.yaxis)`` returns the tick labels of one axis."""
    return lambda axis: [text.get_text() for text in axis.get_ticklabels()]


@pytest.fixture(scope="session")
def legend_texts() -> Callable[[Figure], list[str]]:
    """``legend_texts(figure)`` returns the entries of all legends of a figure."""

    def read(figure: Figure) -> list[str]:
        legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
        return [text.get_text() for legend in legends for text in legend.get_texts()]

    return read


def _visible_tick_labels(axis: Axis) -> list[Text]:
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


@pytest.fixture(scope="session")
def assert_texts_stay_apart() -> Callable[[Figure], None]:
    """``assert_texts_stay_apart(figure)`` checks that visible texts do not overlap and are within the figure."""

    def check(figure: Figure) -> None:
        canvas = FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        renderer = canvas.get_renderer()
        axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
        labels = {label for axis in axes for tick in axis.get_major_ticks() for label in (tick.label1, tick.label2)}
        hidden = {label for label in labels if not label.get_visible()}
        # Tick labels outside the limits exist but are not drawn.
        hidden |= labels - {label for axis in axes for label in _visible_tick_labels(axis)}
        drawn = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible() and t not in hidden]
        boxes = np.array([text.get_window_extent(renderer).extents for text in drawn]).reshape(-1, 4)
        outside = (boxes < -1) | (boxes > np.tile(canvas.get_width_height(), 2) + 1)
        assert not outside.any(), [drawn[k].get_text() for k in np.flatnonzero(outside.any(axis=1))]
        starts, ends = np.split(boxes, 2, axis=1)
        # Bounding boxes are taller than the letters inside, so an overlap of one pixel is allowed.
        common = np.minimum(ends[:, None], ends) - np.maximum(starts[:, None], starts)
        pairs = np.argwhere(np.triu((common > 1).all(axis=2), k=1))
        assert len(pairs) == 0, [(drawn[a].get_text(), drawn[b].get_text()) for a, b in pairs]

    return check
