"""What the tests of several figures share: long titles and names, predictions, and readers of what is written."""

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
    """A title as long as that of a real run, with dollar signs that must not start a formula."""
    return (
        "experiment=attributes on synthetic faces, which are not CelebA ($CELEBA_ROOT and $HOME are not set), test "
        "split, checkpoint outputs/attributes/2025-01-01_12-00-00/checkpoints/best.ckpt"
    )


@pytest.fixture(scope="session")
def names_of() -> Callable[[int], list[str]]:
    """``names_of(40)``: that many names, each as long as CelebA's longest, Mouth_Slightly_Open."""
    return lambda count: [f"Attribute_Named_No_{k:02d}" for k in range(count)]


@pytest.fixture(scope="session")
def random_predictions() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """``random_predictions(images, count)``: labels and probabilities, (N, K) each, of attributes from easy to hard."""

    def draw(images: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(seed)
        labels = (generator.random((images, count)) < np.linspace(0.5, 0.1, count)).astype(np.uint8)
        skill = generator.permutation(np.linspace(0, 4, count)) if count > 1 else 2.0
        logits = (labels - 0.5) * skill + generator.normal(size=(images, count))
        return labels, 1 / (1 + np.exp(-logits))

    return draw


@pytest.fixture(scope="session")
def texts_of() -> Callable[[Figure], list[str]]:
    """``texts_of(figure)``: everything written in the figure, legends included."""
    return lambda figure: [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.fixture(scope="session")
def axes_texts() -> Callable[[Axes], list[str]]:
    """``axes_texts(ax)``: the texts written into one axes, without its ticks, labels, title and legend."""
    return lambda ax: [text.get_text() for text in ax.texts]


@pytest.fixture(scope="session")
def tick_labels() -> Callable[[Axis], list[str]]:
    """``tick_labels(ax.yaxis)``: the labels of the ticks of one axis."""
    return lambda axis: [text.get_text() for text in axis.get_ticklabels()]


@pytest.fixture(scope="session")
def legend_texts() -> Callable[[Figure], list[str]]:
    """``legend_texts(figure)``: the entries of all legends of the figure."""

    def read(figure: Figure) -> list[str]:
        legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
        return [text.get_text() for legend in legends for text in legend.get_texts()]

    return read


def _visible_tick_labels(axis: Axis) -> list[Text]:
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


@pytest.fixture(scope="session")
def assert_texts_stay_apart() -> Callable[[Figure], None]:
    """``assert_texts_stay_apart(figure)``: no two visible texts overlap and none leaves the figure."""

    def check(figure: Figure) -> None:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
        labels = {label for axis in axes for tick in axis.get_major_ticks() for label in (tick.label1, tick.label2)}
        hidden = {label for label in labels if not label.get_visible()}
        # Spare ticks outside the limits keep their texts, but are not drawn.
        hidden |= labels - {label for axis in axes for label in _visible_tick_labels(axis)}
        drawn = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible() and t not in hidden]
        boxes = np.array([text.get_window_extent(renderer).extents for text in drawn]).reshape(-1, 4)
        outside = (boxes < -1) | (boxes > np.tile(canvas.get_width_height(), 2) + 1)
        assert not outside.any(), [drawn[k].get_text() for k in np.flatnonzero(outside.any(axis=1))]
        starts, ends = np.split(boxes, 2, axis=1)
        # Line boxes are higher than their letters, so that an overlap of one pixel is allowed.
        common = np.minimum(ends[:, None], ends) - np.maximum(starts[:, None], starts)
        pairs = np.argwhere(np.triu((common > 1).all(axis=2), k=1))
        assert len(pairs) == 0, [(drawn[a].get_text(), drawn[b].get_text()) for a, b in pairs]

    return check
