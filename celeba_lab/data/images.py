"""Image files as uint8 RGB arrays: listed, decoded and resized. A damaged image is always an error."""

import glob
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from torchvision.transforms.v2 import functional as F

from celeba_lab.errors import UserError
from celeba_lab.files import natural_order

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")

# Pillow's other formats are rare, and each of them is more code that an attacker can reach.
_READERS: tuple[Callable[[io.BytesIO], ImageFile], ...] = (
    jpeg_factory,
    PngImageFile,
    WebPImageFile,
    BmpImageFile,
    GifImageFile,
    TiffImageFile,
)
_ORIENTATION = 0x0112  # the EXIF tag


def list_images(pattern: str) -> list[Path]:
    """List the image files that a pattern matches, in natural order (2.jpg before 10.jpg).

    Args:
        pattern: Path of a file (with any extension), path of a folder (the images directly in it), or a glob, where
            ``**`` matches all folders below.

    Raises:
        UserError: No image matches.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        candidates, where = list(path.iterdir()), f"in the folder {path}"
    else:
        candidates, where = [Path(name) for name in glob.glob(str(path), recursive=True)], f"for '{pattern}'"  # noqa: PTH207
        if not candidates:
            raise UserError(f"There is no file, folder or match {where}. Check the path, or quote the glob.")
    images = [p for p in candidates if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]
    if not images:
        raise UserError(
            f"There are no images ({', '.join(SUFFIXES)}) {where}. Give a file, a folder or a glob of images."
        )
    return sorted(images, key=natural_order)


def load_image(path: Path, max_pixels: int) -> np.ndarray:
    """Read and decode one image file, as ``decode_image`` does.

    Raises:
        UserError: The file cannot be read or decoded.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}). Check the path and its permissions."
        ) from error
    return decode_image(data, str(path), max_pixels)


def decode_image(data: bytes, name: str, max_pixels: int) -> np.ndarray:
    """Decode the content of an image file to RGB, rotated as its EXIF orientation says.

    Greyscale, palette, CMYK and 16-bit images are converted. Transparent pixels are blended with white. Of an
    animation, the first frame is returned.

    Args:
        data: Content of a JPEG, PNG, WebP, BMP, GIF or TIFF file.
        name: Name of the image in error messages.
        max_pixels: Largest width times height, checked before any pixel is decoded.

    Returns:
        The image, uint8 (H, W, 3), writable.

    Raises:
        UserError: ``data`` is not an image of one of these formats, is damaged or cut short, or has more than
            ``max_pixels`` pixels.
    """
    try:
        header = _read_header(data)
    except Exception as error:  # for damaged input, Pillow raises many types: OSError, ValueError, struct.error
        what = "is empty" if not data else "is not a JPEG, PNG, WebP, BMP, GIF or TIFF image, or its header is damaged"
        raise UserError(f"{name} {what}. Replace it, or leave out bad images with data.on_bad_image=skip.") from error
    width, height = header.size
    if width * height > max_pixels:
        raise UserError(
            f"{name} has {width}x{height} pixels, more than data.max_pixels={max_pixels}. Shrink it or raise the limit."
        )
    try:
        return np.ascontiguousarray(_upright(_decode(header, data), header))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name} is damaged or cut short ({str(error).strip('.') or type(error).__name__})."
            " Replace it, or leave out bad images with data.on_bad_image=skip."
        ) from error


def resize_images(arrays: Sequence[np.ndarray], size: int) -> torch.Tensor:
    """Resize images to squares, bilinear and antialiased; the aspect ratio is not kept.

    Args:
        arrays: B images, each uint8 (H, W, 3).
        size: Side of the squares, S, in pixels.

    Returns:
        uint8 (B, 3, S, S).
    """
    if len({array.shape for array in arrays}) > 1:
        return torch.cat([resize_images([array], size) for array in arrays])
    images = torch.stack([torch.from_numpy(array).permute(2, 0, 1) for array in arrays])  # (B, 3, H, W)
    # One call takes half the time of B calls.
    resized: torch.Tensor = F.resize(images, [size, size], antialias=True)
    return resized.contiguous()


def _read_header(data: bytes) -> ImageFile:
    """Read the header of an image file without decoding a pixel.

    ``PIL.Image.open`` would also compare the size with ``PIL.Image.MAX_IMAGE_PIXELS``, a limit of the whole process:
    it would warn about images that are refused anyway, and refuse images that ``max_pixels`` allows.

    Raises:
        ValueError: No format fits.
    """
    for reader in _READERS:
        with suppress(SyntaxError):  # raised for a file in another format
            return reader(io.BytesIO(data))
    raise ValueError("unknown format")


def _decode(header: Image.Image, data: bytes) -> np.ndarray:
    if header.format in ("JPEG", "MPO"):  # MPO is a JPEG followed by further images
        # Strict, because Pillow and torchvision silently fill missing parts with grey.
        if header.mode in ("L", "RGB"):
            rgb: np.ndarray = simplejpeg.decode_jpeg(data, "RGB", strict=True)
            return rgb
        simplejpeg.decode_jpeg(data, header.mode, strict=True)  # CMYK is only checked here; Pillow converts it
    if header.format == "PNG":
        _check_png_rows(data)
    return _to_rgb(header)


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return np.repeat((np.asarray(image) / 257.0).round().astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"the range of mode {image.mode} is not defined; save it with 8 bits per channel")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


def _upright(array: np.ndarray, header: Image.Image) -> np.ndarray:
    """Rotate and mirror an image according to its EXIF orientation, a number from 1 to 8."""
    try:
        orientation = header.getexif().get(_ORIENTATION, 1)
    except Exception:  # the pixels may be intact although the EXIF block is broken
        return array
    if orientation in (5, 6, 7, 8):
        array = array.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _check_png_rows(data: bytes) -> None:
    """Check that the pixel data of a PNG is complete, because Pillow fills missing rows with black.

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
    found = len(stream.decompress(b"".join(packed), expected + 1))  # the additional byte lets it reach the checksum
    if found < expected or not (stream.eof or found > expected):
        raise ValueError(f"it has {found} of {expected} bytes of pixels")
