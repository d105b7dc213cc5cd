"""Image files as uint8 RGB arrays: listed, decoded, resized. Never a silent substitute for a damaged one."""

import glob
import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

from celeba_lab.errors import UserError
from celeba_lab.files import natural_order

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")  # the others of Pillow's are rare, and a larger target
_ORIENTATION = 0x0112  # the EXIF tag

# decode_image has its own limit, which is checked before any pixel is decoded. Pillow's second one would only add a
# warning to a sentence, and would refuse what max_pixels was raised to allow.
Image.MAX_IMAGE_PIXELS = None


def list_images(pattern: str) -> list[Path]:
    """List the image files that ``pattern`` means, in natural order (2.jpg before 10.jpg).

    Args:
        pattern: A file (taken whatever its ending), a folder (the images in it, not below it) or a glob, in which
            ``**`` reaches every folder below.

    Raises:
        UserError: There are none.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        candidates, where = list(path.iterdir()), f"in the folder {path}"
    else:
        candidates, where = [Path(name) for name in glob.glob(str(path), recursive=True)], f"for '{pattern}'"  # noqa: PTH207
        if not candidates:
            raise UserError(f"There is no file, folder or match {where}; check the path, or quote the glob.")
    images = [p for p in candidates if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]
    if not images:
        raise UserError(
            f"There are no images ({', '.join(SUFFIXES)}) {where}; name a file, a folder or a glob of images."
        )
    return sorted(images, key=natural_order)


def load_image(path: Path, max_pixels: int) -> np.ndarray:
    """Read and decode one image file, as ``decode_image`` does.

    Raises:
        UserError: The file cannot be read, or is no image that can be used.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}); check the path and its permissions."
        ) from error
    return decode_image(data, str(path), max_pixels)


def decode_image(data: bytes, name: str, max_pixels: int) -> np.ndarray:
    """Decode an image file's content to RGB, upright as its EXIF orientation says.

    Greyscale, palette, CMYK and 16-bit images are converted; transparency is laid on white; of an animation the first
    picture counts.

    Args:
        data: The content of a JPEG, PNG, WebP, BMP, GIF or TIFF file.
        name: What to call it in an error.
        max_pixels: The largest width times height, checked before any pixel is decoded.

    Returns:
        ``(H, W, 3)`` uint8, writable.

    Raises:
        UserError: ``data`` is no such image, is damaged or cut short, or has more than ``max_pixels`` pixels.
    """
    try:
        header = Image.open(io.BytesIO(data), formats=_FORMATS)  # reads the header only
    except Exception as error:  # on damaged input Pillow raises nearly anything: OSError, SyntaxError, struct.error
        what = "is empty" if not data else "is not a JPEG, PNG, WebP, BMP, GIF or TIFF image, or its header is damaged"
        raise UserError(f"{name} {what}; replace it, or leave bad images out with data.on_bad_image=skip.") from error
    width, height = header.size
    if width * height > max_pixels:
        raise UserError(
            f"{name} has {width}x{height} pixels, more than data.max_pixels={max_pixels}; shrink it or raise the limit."
        )
    try:
        return np.ascontiguousarray(_upright(_decode(header, data), header))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name} is damaged or cut short ({str(error).strip('.') or type(error).__name__});"
            f" replace it, or leave bad images out with data.on_bad_image=skip."
        ) from error


def resize_images(arrays: Sequence[np.ndarray], size: int) -> torch.Tensor:
    """Squash B images, each uint8 ``(H, W, 3)``, to squares: uint8 ``(B, 3, size, size)``, bilinear and antialiased."""
    if len({array.shape for array in arrays}) > 1:
        return torch.cat([resize_images([array], size) for array in arrays])
    images = torch.stack([torch.from_numpy(array).permute(2, 0, 1) for array in arrays])  # (B, 3, H, W)
    return F.resize(images, [size, size], antialias=True).contiguous()  # one call: half the time of B


def _decode(header: Image.Image, data: bytes) -> np.ndarray:
    if header.format in ("JPEG", "MPO"):  # MPO: a JPEG with a second picture behind it
        # Strict: Pillow and torchvision fill what is missing with grey and say nothing.
        if header.mode in ("L", "RGB"):
            return simplejpeg.decode_jpeg(data, "RGB", strict=True)
        simplejpeg.decode_jpeg(data, header.mode, strict=True)  # CMYK: checked here, converted by Pillow
    if header.format == "PNG":
        _check_png_rows(data)
    return _to_rgb(header)


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return np.repeat((np.asarray(image) / 257.0).round().astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no agreed white; save it with 8 bits a channel")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


def _upright(array: np.ndarray, header: Image.Image) -> np.ndarray:
    """Turn ``array`` as EXIF orientation 1 to 8 says: the side the picture's top and left lie on."""
    try:
        orientation = header.getexif().get(_ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return array
    if orientation in (5, 6, 7, 8):
        array = array.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _check_png_rows(data: bytes) -> None:
    """Check that a PNG's pixel data is complete, because Pillow fills the rows of a short one with black.

    Source: PNG specification (third edition), sections 8 (interlacing) and 9 (filtering).
    """
    position, packed = 8, []
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IDAT":
            packed.append(data[position + 8 : position + 8 + length])
        position += 12 + length
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    expected = 0
    for x, y, dx, dy in passes:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0 and rows > 0:
            expected += rows * (1 + -(-columns * bits // 8))
    stream = zlib.decompressobj()
    found = len(stream.decompress(b"".join(packed), expected + 1))  # room for one more lets it reach the checksum
    if found < expected or not (stream.eof or found > expected):
        raise ValueError(f"{found} of {expected} bytes of pixels")
