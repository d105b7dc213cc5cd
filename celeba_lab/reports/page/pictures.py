"""Encoding of pictures for embedding in an HTML page."""

import base64
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops

from celeba_lab.data.images import decode_image
from celeba_lab.files import read_file

_MOST_BYTES = 2**27
_MOST_PIXELS = 2**26  # 8,192 x 8,192
# Maximum size of a picture in bytes. Twenty pictures of this size take up 7 MB as base64. A chart typically takes up
# a third of the maximum, and a grid of faces nearly all of it.
_PICTURE_BYTES = 256 * 1024
_PICTURE_SIZE = (2200, 8000)  # Maximum width and height in pixels, enough for high-density screens and for zooming.
_QUALITIES = (85, 65)  # WebP quality settings to try. Pictures that are still too large are scaled down.
_OFF = 24  # Largest difference between two colour values (0 to 255) that is still invisible.
_CSS_DPI = 96


class _Embedded(NamedTuple):
    uri: str
    width: int  # CSS pixels
    height: int


def embed(path: Path) -> _Embedded:
    """Return a PNG file as a data URI, with its width and height in CSS pixels.

    Raises:
        OSError: The file cannot be read, or is not a PNG file.
        UserError: The file is damaged or too large.
    """
    data = read_file(path, _MOST_BYTES)
    image = Image.fromarray(decode_image(data, str(path), _MOST_PIXELS))
    with Image.open(io.BytesIO(data), formats=["PNG"]) as file:
        scale = _CSS_DPI / (file.info.get("dpi", (0, 0))[0] or _CSS_DPI)
    width, height = round(image.width * scale), round(image.height * scale)
    image.thumbnail(_PICTURE_SIZE, Image.Resampling.LANCZOS)
    return _Embedded(f"data:image/webp;base64,{base64.b64encode(_encode(image)).decode()}", width, height)


def _encode(image: Image.Image) -> bytes:
    """Encode an RGB image as a WebP file of at most 256 KiB.

    The colours of a chart are reduced to a palette, and the result is compressed losslessly. Lossless compression
    preserves the edges of letters, and the result is smaller than a lossy WebP file or a PNG file with the same
    palette. Images with too many colours for a palette, such as photographs, are compressed lossily.
    """
    data = b""
    for data in _encodings(image):
        if len(data) <= _PICTURE_BYTES:
            return data
    scale = 0.95 * math.sqrt(_PICTURE_BYTES / len(data))
    return _encode(image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale)))))


def _encodings(image: Image.Image) -> Iterator[bytes]:
    """Yield encodings in order of decreasing quality."""
    reduced = _reduce_colors(image)
    if reduced is not None:
        yield _webp(reduced, lossless=True, quality=25, method=2)  # slower methods make the file only slightly smaller
    for quality in _QUALITIES:
        yield _webp(image, quality=quality, method=2)


def _webp(image: Image.Image, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, format="WEBP", **options)
    return file.getvalue()


def _reduce_colors(image: Image.Image) -> Image.Image | None:
    """Return the image with 256 colours, or None if more than 1% of the pixels would change visibly."""
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # Octree quantisation mixes white with the palest greys, which would turn a white background grey.
    palette.putpalette([255 if level > 251 else level for level in palette.getpalette() or []])
    reduced = palette.convert("RGB")
    # The histogram has 256 bins for each of the three channels.
    levels = np.reshape(ImageChops.difference(image, reduced).histogram(), (3, 256))
    is_faithful = levels[:, _OFF + 1 :].sum(axis=1).max() <= 0.01 * image.width * image.height
    return reduced if is_faithful else None
