"""Grids of faces, and their captions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.style import LIGHT_GRAY, LINE_HEIGHT, SMALL_SIZE, STYLE, fit_title, text_width, wrap

_GAP = 0.14  # distance between cells, in inches
_CAPTION_GAP = 0.05  # distance between a face and its caption, in inches
_MAX_COLUMNS = 10
_TALLEST = 1.5  # maximum height-to-width ratio; taller images are drawn narrower


def image_caption(
    name: str, label: int | bool | None, probability: float, attribute: str, *, threshold: float = 0.5
) -> str:
    """Return a caption with an image's true label and prediction for one attribute.

    The number shown is the probability of the predicted class, so it is as high for a confident "no" as for a confident
    "yes".

    Args:
        name: Name of the image, usually the file name.
        label: True label, 1 or 0, or None if the image has no label.
        probability: Predicted probability that the attribute is present, in [0, 1].
        attribute: Name of the attribute.
        threshold: Probability at or above which the attribute is predicted to be present.
    """
    present = probability >= threshold
    lines = [name]
    if label is not None:
        lines.append(f"label: {_with_not(attribute, bool(label))}")
    lines.append(f"predicted: {_with_not(attribute, present)} {_number(probability if present else 1 - probability)}")
    return "\n".join(lines)


def prediction_caption(
    name: str,
    probabilities: ArrayLike,
    names: Sequence[str],
    *,
    threshold: float = 0.5,
    most: int = 4,
) -> str:
    """Return a caption that lists an image's predicted attributes, most probable first.

    Args:
        name: Name of the image, usually the file name.
        probabilities: Predicted probabilities of shape (K,), in [0, 1].
        names: Names of the K attributes.
        threshold: Probability at or above which an attribute is predicted to be present.
        most: Maximum number of attributes to list. Further attributes are summarised as "and n more".
    """
    values = np.asarray(probabilities, dtype=float)
    if len(names) == 1:
        return image_caption(name, None, float(values[0]), names[0], threshold=threshold)
    order = np.argsort(-values, kind="stable")
    predicted = [int(k) for k in order if values[k] >= threshold]
    lines = [f"{names[k]} {_number(values[k])}" for k in predicted[:most]] or [f"none of {len(names)} attributes"]
    if len(predicted) > most:
        lines.append(f"and {len(predicted) - most} more")
    return "\n".join([name, *lines])


def _with_not(attribute: str, present: bool) -> str:
    return attribute if present else f"not {attribute}"


def _number(probability: float) -> str:
    """Format a probability with two decimal places, or with three if two would round it to 1."""
    if probability < 0.995:
        return f"{probability:.2f}"
    return f"{probability:.3f}" if probability < 0.9995 else ">0.999"


@matplotlib.rc_context(STYLE)
def face_grid(
    images: Sequence[NDArray[np.uint8]],
    captions: Sequence[str],
    *,
    columns: int | None = None,
    title: str,
    borders: Sequence[str | None] | None = None,
) -> Figure:
    """Draw a grid of faces, each with a caption below it.

    Captions are wrapped to the width of a face, and each row is tall enough for its longest caption. Faces are enlarged
    with smooth interpolation and keep their aspect ratio.

    Args:
        images: Images, each uint8 (H, W, 3). Image sizes may differ. More than about 64 images make the figure
            impractically large.
        captions: Caption for each image. Captions can have several lines or be empty.
        columns: Number of faces per row. By default, the number of columns depends on the number of images.
        title: Figure title.
        borders: Matplotlib colour of each border, or None for a thin grey border. Captions should convey the same
            information as the colours, which not everyone can distinguish.

    Raises:
        ValueError: There are no images, an image is not uint8 (H, W, 3), or the number of captions or borders does not
            match the number of images.
    """
    frames = list(borders) if borders is not None else [None] * len(images)
    _check_faces(images, captions, frames)
    columns = min(columns or _default_columns(len(images)), len(images))
    width = _cell_width(columns, captions)
    cells = [
        _Cell(image, wrap(caption, width * 72, SMALL_SIZE) if caption else "", frame)
        for image, caption, frame in zip(images, captions, frames, strict=True)
    ]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]

    # The layout is computed explicitly, because the size of the figure depends on its contents.
    figure_width = max(_GAP + columns * (width + _GAP), 4.5)
    heading, size, heading_height = fit_title(title, figure_width - 2 * _GAP)
    heading_height += 1.5 * _GAP
    heights = [(_face_height(row, width), _caption_height(row)) for row in rows]
    height = heading_height + sum(face + caption + _GAP for face, caption in heights) + _GAP / 2
    figure = Figure(figsize=(figure_width, height))
    figure.suptitle(
        heading, x=_GAP / figure_width, y=1 - _GAP / height, ha="left", va="top", size=size, parse_math=False
    )
    # All faces share one pair of axes, whose unit is an inch. Axes for each face would take far longer to create.
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, figure_width), ylim=(0, height))
    ax.set_axis_off()
    left = (figure_width - columns * (width + _GAP) + _GAP) / 2
    bottom = height - heading_height
    for row, (face, caption) in zip(rows, heights, strict=True):
        bottom -= face
        for column, cell in enumerate(row):
            _draw_cell(ax, cell, left + column * (width + _GAP) + width / 2, bottom, width, face)
        bottom -= caption + _GAP
    return figure


@dataclass(frozen=True)
class _Cell:
    """A face with its caption and border colour."""

    image: NDArray[np.uint8]
    caption: str
    border: str | None


def _check_faces(images: Sequence[NDArray[np.uint8]], captions: Sequence[str], borders: Sequence[str | None]) -> None:
    if not len(images) or not len(images) == len(captions) == len(borders):
        raise ValueError(
            "A grid of faces requires at least one image, with one caption and one border per image: "
            f"got {len(images)} images, {len(captions)} captions and {len(borders)} borders."
        )
    for position, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"Image {position} must be uint8 (H, W, 3): got {image.dtype} {image.shape}.")


def _default_columns(count: int) -> int:
    """Return a column count that makes the figure wider than it is tall."""
    if count <= 4:
        return count
    rows = math.ceil(count / min(_MAX_COLUMNS, math.ceil(math.sqrt(2 * count))))
    return math.ceil(count / rows)


def _cell_width(columns: int, captions: Sequence[str]) -> float:
    """Return the width of a face in inches, chosen within limits to fit the longest caption line."""
    smallest, largest = (3.2, 3.2) if columns == 1 else (2.0, 2.4) if columns <= 4 else (1.45, 2.2)
    lines = (line for caption in captions for line in caption.split("\n"))
    longest = max(text_width(line, SMALL_SIZE) for line in lines) / 72
    return min(max(smallest, 1.04 * longest), largest)


def _face_height(row: Sequence[_Cell], width: float) -> float:
    """Return the height in inches of the tallest face in a row."""
    tallest = max(float(cell.image.shape[0] / cell.image.shape[1]) for cell in row)
    return width * min(_TALLEST, tallest)


def _caption_height(row: Sequence[_Cell]) -> float:
    """Return the height in inches of the tallest caption in a row."""
    lines = max(cell.caption.count("\n") + 1 if cell.caption else 0 for cell in row)
    return _CAPTION_GAP + lines * SMALL_SIZE * LINE_HEIGHT / 72 if lines else 0.0


def _draw_cell(ax: Axes, cell: _Cell, middle: float, bottom: float, width: float, height: float) -> None:
    """Draw one face, at most ``width`` by ``height`` inches, directly above its caption, however tall its row is.

    Args:
        ax: Axes whose unit is an inch.
        cell: The face.
        middle: Horizontal position of the middle of the face.
        bottom: Vertical position of the lower edge of the face.
        width: Maximum width of the face.
        height: Maximum height of the face.
    """
    rows, columns = cell.image.shape[:2]
    scale = min(width / columns, height / rows)
    x, y, width, height = middle - scale * columns / 2, bottom, scale * columns, scale * rows
    # Enlarged faces are interpolated smoothly. For other faces, Matplotlib's default interpolation prevents aliasing.
    interpolation = "bicubic" if columns < width * ax.figure.dpi else None
    ax.imshow(cell.image, interpolation=interpolation, extent=(x, x + width, y, y + height), aspect="auto")
    color, thickness = cell.border or LIGHT_GRAY, 3 if cell.border else 0.8
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=color, linewidth=thickness))
    place = (middle / ax.get_xlim()[1], (y - _CAPTION_GAP) / ax.get_ylim()[1])
    ax.figure.text(*place, cell.caption, ha="center", va="top", size=SMALL_SIZE, linespacing=1.15, parse_math=False)
