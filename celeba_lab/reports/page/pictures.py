"""Encoding the pictures of a page so that they can be embedded."""

import base64
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops

# Twenty pictures of this size take 7 MB as base64. A chart needs a third of it, a grid of faces nearly all.
_PICTURE_BYTES = 256 * 1024
_PICTURE_SIZE = (2200, 8000)  # pixels; sharp on a high-density screen where the page shows it, and zoomed on any other
_QUALITIES = (85, 65)  # WebP qualities; a picture that is still too large is made smaller instead
_OFF = 24  # largest error of a colour, of 255, that is not visible
_CSS_DPI = 96


class _Embedded(NamedTuple):
    uri: str
    width: int  # CSS pixels
    height: int


def embed(path: Path) -> _Embedded:
    """Return a picture as a data URI, with its size on a wide screen."""
    with Image.open(path) as file:
        scale = _CSS_DPI / file.info.get("dpi", (_CSS_DPI, _CSS_DPI))[0]
        width, height = round(file.width * scale), round(file.height * scale)
        image = _on_white(file)
    image.thumbnail(_PICTURE_SIZE, Image.Resampling.LANCZOS)
    return _Embedded(f"data:image/webp;base64,{base64.b64encode(_encode(image)).decode()}", width, height)


def _on_white(image: Image.Image) -> Image.Image:
    layers = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")


def _encode(image: Image.Image) -> bytes:
    """Return an RGB image as WebP of at most 256 KiB.

    A chart keeps every edge of its letters: its colours are reduced to a palette, which is then stored without loss.
    That is smaller than WebP with loss, and than the same palette in a PNG. What has more colours is a photograph.
    """
    data = b""
    for data in _encodings(image):
        if len(data) <= _PICTURE_BYTES:
            return data
    scale = 0.95 * math.sqrt(_PICTURE_BYTES / len(data))
    return _encode(image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale)))))


def _encodings(image: Image.Image) -> Iterator[bytes]:
    """Yield encodings from the best to the smallest."""
    reduced = _reduce_colours(image)
    if reduced is not None:
        yield _webp(reduced, lossless=True, quality=25, method=2)  # more effort: a few percent, for seconds
    for quality in _QUALITIES:
        yield _webp(image, quality=quality, method=2)


def _webp(image: Image.Image, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, format="WEBP", **options)
    return file.getvalue()


def _reduce_colours(image: Image.Image) -> Image.Image | None:
    """Return the image in 256 colours; None if more than 1 % of the pixels would differ visibly."""
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # An octree would mix white with the palest greys, and the background would be grey.
    palette.putpalette([255 if level > 251 else level for level in palette.getpalette() or []])
    reduced = palette.convert("RGB")
    # One histogram of 256 levels for each channel.
    levels = np.reshape(ImageChops.difference(image, reduced).histogram(), (3, 256))
    is_faithful = levels[:, _OFF + 1 :].sum(axis=1).max() <= 0.01 * image.width * image.height
    return reduced if is_faithful else None
