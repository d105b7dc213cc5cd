"""Grids of captioned faces, and the captions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from numpy.typing import ArrayLike, NDArray

from celeba_lab.figures.style import LIGHT_GREY, LINE_HEIGHT, SMALL_SIZE, STYLE, fit_title, text_width, wrap

_GAP = 0.14  # inches between cells
_CAPTION_GAP = 0.05  # inches between a face and its caption
_MAX_COLUMNS = 10
_TALLEST = 1.5  # height over width of a face's box; taller pictures are shown narrower instead


def image_caption(
    name: str, label: int | bool | None, probability: float, attribute: str, *, threshold: float = 0.5
) -> str:
    """One image's true label and the model's answer to one attribute, as lines of text.

    The number is the probability of the answer given, so that a confident "no" reads as high as a confident "yes".

    Args:
        name: Usually the file name.
        label: 1 or 0; None leaves the line out, for images without labels.
        probability: Predicted probability in [0, 1] that the attribute is present.
        attribute: Its name.
        threshold: The answer is "yes" at or above it.
    """
    answer = probability >= threshold
    lines = [name]
    if label is not None:
        lines.append(f"label: {_with_not(attribute, bool(label))}")
    lines.append(f"says: {_with_not(attribute, answer)} {_number(probability if answer else 1 - probability)}")
    return "\n".join(lines)


def prediction_caption(
    name: str,
    probabilities: ArrayLike,
    names: Sequence[str],
    *,
    threshold: float | Sequence[float] = 0.5,
    most: int = 4,
) -> str:
    """The attributes that a model sees in one image, most probable first, as lines of text.

    Args:
        name: Usually the file name.
        probabilities: (K,), in [0, 1].
        names: The K attributes.
        threshold: One for all attributes or one for each; an attribute is seen at or above it.
        most: How many attributes are named; of more, the number is given.
    """
    values = np.asarray(probabilities, dtype=float)
    if len(names) == 1:
        return image_caption(name, None, float(values[0]), names[0], threshold=float(np.ravel(threshold)[0]))
    order = np.argsort(-values, kind="stable")
    seen = [int(k) for k in order if values[k] >= np.broadcast_to(threshold, values.shape)[k]]
    lines = [f"{names[k]} {_number(values[k])}" for k in seen[:most]] or [f"none of {len(names)} attributes"]
    if len(seen) > most:
        lines.append(f"and {len(seen) - most} more")
    return "\n".join([name, *lines])


def label_caption(labels: ArrayLike, names: Sequence[str], *, most: int = 4) -> str:
    """The true attributes of one image, in the order of ``names``, as lines of text.

    Args:
        labels: (K,), 0 or 1.
        names: The K attributes.
        most: How many attributes are named; of more, the number is given.
    """
    values = np.asarray(labels)
    if len(names) == 1:
        return _with_not(names[0], bool(values[0]))
    present = [name for name, value in zip(names, values, strict=True) if value]
    lines = present[:most] or [f"none of {len(names)} attributes"]
    if len(present) > most:
        lines.append(f"and {len(present) - most} more")
    return "\n".join(lines)


def _with_not(attribute: str, present: bool) -> str:
    return attribute if present else f"not {attribute}"


def _number(probability: float) -> str:
    """Two digits, three where two would round to certainty."""
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
    """Faces in reading order, each with its caption below.

    Captions are wrapped to the width of a face, and every row is as high as its longest caption asks for. Faces are
    enlarged smoothly, keep their proportions, and share one box: a taller or wider picture is shown smaller.

    Args:
        images: 1 to 64 or so, each uint8 (H, W, 3), of any size.
        captions: One per image; may have several lines, or none ("").
        columns: Faces per row; chosen from the number of images by default.
        title: Shown above the grid.
        borders: A matplotlib colour per image for its frame, or None for a thin grey one. Let the caption carry the
            meaning too: not everyone sees the colour.

    Raises:
        ValueError: There is no image, the numbers of images, captions and borders differ, or an image is not
            uint8 (H, W, 3).
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

    # Laid out by hand: the size of the figure follows from its contents, so nothing can overlap.
    figure_width = max(_GAP + columns * (width + _GAP), 4.5)
    heading, size, heading_height = fit_title(title, figure_width - 2 * _GAP)
    heading_height += 1.5 * _GAP
    heights = [(_face_height(row, width), _caption_height(row)) for row in rows]
    height = heading_height + sum(face + caption + _GAP for face, caption in heights) + _GAP / 2
    figure = Figure(figsize=(figure_width, height))
    figure.suptitle(
        heading, x=_GAP / figure_width, y=1 - _GAP / height, ha="left", va="top", size=size, parse_math=False
    )
    left = (figure_width - columns * (width + _GAP) + _GAP) / 2
    bottom = height - heading_height
    for row, (face, caption) in zip(rows, heights, strict=True):
        bottom -= face
        for column, cell in enumerate(row):
            _draw_cell(figure, cell, Bbox.from_bounds(left + column * (width + _GAP), bottom, width, face))
        bottom -= caption + _GAP
    return figure


@dataclass(frozen=True)
class _Cell:
    image: NDArray[np.uint8]
    caption: str
    border: str | None


def _check_faces(images: Sequence[NDArray[np.uint8]], captions: Sequence[str], borders: Sequence[str | None]) -> None:
    if not len(images) or not len(images) == len(captions) == len(borders):
        raise ValueError(
            "A grid needs at least one image, a caption for each and, if any, a border for each: "
            f"got {len(images)} images, {len(captions)} captions and {len(borders)} borders."
        )
    for position, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(f"Image {position} must be uint8 (H, W, 3): got {image.dtype} {image.shape}.")


def _default_columns(count: int) -> int:
    """Columns for a figure wider than high, although a face with its caption is higher than wide."""
    if count <= 4:
        return count
    rows = math.ceil(count / min(_MAX_COLUMNS, math.ceil(math.sqrt(2 * count))))
    return math.ceil(count / rows)


def _cell_width(columns: int, captions: Sequence[str]) -> float:
    """Inches per face: enough for the longest line of a caption where that is reasonable, else it is wrapped."""
    smallest, largest = (3.2, 3.2) if columns == 1 else (2.0, 2.4) if columns <= 4 else (1.45, 2.2)
    lines = (line for caption in captions for line in caption.split("\n"))
    longest = max(text_width(line, SMALL_SIZE) for line in lines) / 72
    return min(max(smallest, 1.04 * longest), largest)


def _face_height(row: Sequence[_Cell], width: float) -> float:
    """Inches that the tallest face of a row takes."""
    return width * min(_TALLEST, max(cell.image.shape[0] / cell.image.shape[1] for cell in row))


def _caption_height(row: Sequence[_Cell]) -> float:
    """Inches that the longest caption of a row takes below the faces."""
    lines = max(cell.caption.count("\n") + 1 if cell.caption else 0 for cell in row)
    return _CAPTION_GAP + lines * SMALL_SIZE * LINE_HEIGHT / 72 if lines else 0.0


def _draw_cell(figure: Figure, cell: _Cell, box: Bbox) -> None:
    """Draw one face with its caption; ``box`` is the place of the face, in inches from the lower left corner."""
    width, height = figure.get_size_inches()
    place = (box.x0 / width, box.y0 / height, box.width / width, box.height / height)
    ax = figure.add_axes(place, anchor="S")  # on its caption, where the face is lower than its row
    # Enlarged faces should look like faces, not like blocks; for reduced ones matplotlib's own choice avoids aliasing.
    enlarged = cell.image.shape[1] < box.width * figure.dpi
    ax.imshow(cell.image, interpolation="bicubic" if enlarged else None)
    ax.set(xticks=(), yticks=())
    for spine in ax.spines.values():
        spine.set(visible=True, edgecolor=cell.border or LIGHT_GREY, linewidth=3 if cell.border else 0.8)
    x, y = (box.x0 + box.width / 2) / width, (box.y0 - _CAPTION_GAP) / height
    figure.text(x, y, cell.caption, ha="center", va="top", size=SMALL_SIZE, linespacing=1.15, parse_math=False)
