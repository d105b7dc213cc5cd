"""Functions that list, decode and resize image files. Decoding a damaged JPEG or PNG image always raises an error."""

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from celeba_lab.errors import UserError
from celeba_lab.files import read_file

if TYPE_CHECKING:
    import torch

# Pillow's other formats are rare, and every additional decoder increases the attack surface.
_READERS: tuple[Callable[[io.BytesIO], ImageFile], ...] = (
    jpeg_factory,
    PngImageFile,
    WebPImageFile,
    BmpImageFile,
    GifImageFile,
    TiffImageFile,
)
# Maximum size of an image file in bytes. Image files within the default max_pixels are smaller than this.
_MOST_BYTES = 2**29
# Maximum number of scans of a JPEG. Each scan is decoded over the whole image, so a small file with thousands of scans
# would take minutes. Progressive JPEGs have about ten scans, and libtiff has the same limit.
_MOST_SCANS = 100
_START_OF_SCAN = b"\xff\xda"
_END_OF_IMAGE = 0xD9
# A marker. Within the data of a scan, 0xFF is followed by a zero or by the number of a restart marker.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_ORIENTATION = 0x0112  # EXIF orientation tag


def load_image(path: Path, max_pixels: int) -> np.ndarray:
    """Read one image file, and decode it with :func:`decode_image`.

    Raises:
        UserError: The file cannot be read or decoded.
    """
    return decode_image(read_image(path), str(path), max_pixels)


def read_image(path: Path) -> bytes:
    """Return the content of an image file, which is not decoded.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        return read_file(Path(path), _MOST_BYTES)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}). Check the path and its permissions."
        ) from error


def decode_image(data: bytes, name: str, max_pixels: int) -> np.ndarray:
    """Decode the content of an image file to RGB, and apply its EXIF orientation.

    Greyscale, palette, CMYK and 16-bit images are converted. Transparent pixels are blended with white. For
    an animation, the first frame is returned.

    Args:
        data: Content of a JPEG, PNG, WebP, BMP, GIF or TIFF file.
        name: Name of the image in error messages.
        max_pixels: Maximum number of pixels (width times height), checked before decoding.

    Returns:
        The image as a writable array, uint8 (H, W, 3).

    Raises:
        UserError: ``data`` is not an image in a supported format, is damaged or truncated, or has more than
            ``max_pixels`` pixels.
    """
    try:
        header = _read_header(data)
    except Exception as error:  # damaged input can make Pillow raise many types of exceptions
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
            f"{name} is damaged or truncated ({str(error).strip('.') or type(error).__name__})."
            " Replace it, or leave out bad images with data.on_bad_image=skip."
        ) from error


def resize_images(arrays: Sequence[np.ndarray], size: int) -> "torch.Tensor":
    """Resize images to squares with antialiased bilinear interpolation. The aspect ratio is not preserved.

    Args:
        arrays: List of B images, each uint8 (H, W, 3).
        size: Side length of the squares, S, in pixels.

    Returns:
        The resized images, uint8 (B, 3, S, S), in the memory format ``channels_last``.
    """
    import torch  # It is slow to import, like torchvision, and decoding does not need it.
    from torchvision.transforms.v2 import functional as F

    if len({array.shape for array in arrays}) > 1:
        return torch.cat([resize_images([array], size) for array in arrays])
    # Resizing all images in one call takes half as long as B separate calls, and less in the order of the decoder.
    images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)  # (B, 3, H, W)
    resized: torch.Tensor = F.resize(images, [size, size], antialias=True)
    return resized.contiguous(memory_format=torch.channels_last)


def _read_header(data: bytes) -> ImageFile:
    """Read the header of an image file without decoding any pixels.

    ``PIL.Image.open`` would also check the size against ``PIL.Image.MAX_IMAGE_PIXELS``, which is a global limit. This
    check would warn about images that ``max_pixels`` rejects anyway, and reject images that ``max_pixels`` allows.

    Raises:
        ValueError: The data is not in a supported format.
    """
    for reader in _READERS:
        with suppress(SyntaxError):  # raised if the data is in another format
            return reader(io.BytesIO(data))
    raise ValueError("unknown format")


def _decode(header: Image.Image, data: bytes) -> np.ndarray:
    if header.format in ("JPEG", "MPO"):  # MPO is a JPEG followed by further images
        _check_scans(data)
        # Unlike simplejpeg in strict mode, Pillow and torchvision silently fill missing parts with grey.
        if header.mode in ("L", "RGB"):
            rgb: np.ndarray = simplejpeg.decode_jpeg(data, "RGB", strict=True)
            return rgb
        simplejpeg.decode_jpeg(data, header.mode, strict=True)  # only to detect damage; Pillow converts CMYK images
    if header.format == "PNG":
        _check_png(data)
    return _to_rgb(header)


def _check_scans(data: bytes) -> None:
    """Check that a JPEG does not have too many scans.

    Raises:
        ValueError: The JPEG has more than 100 scans.
    """
    # The marker of a scan may also occur in other data, such as a video appended to a photo, so it is counted twice.
    if data.count(_START_OF_SCAN) > _MOST_SCANS and _count_scans(data) > _MOST_SCANS:
        raise ValueError(f"it has more than {_MOST_SCANS} scans")


def _count_scans(data: bytes) -> int:
    """Return the number of scans up to the end of a JPEG.

    Source: ITU-T T.81, sections B.1.1 (markers and segments) and B.2 (order of the segments).
    """
    scans, position = 0, 2
    while (found := _MARKER.search(data, position)) is not None and found[0][-1] != _END_OF_IMAGE:
        scans += found[0] == _START_OF_SCAN
        # The length of a segment includes the two bytes of the length itself.
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return scans


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return np.repeat((np.asarray(image) / 257.0).round().astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"mode {image.mode} has no defined range of values; save the image with 8 bits per channel")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


def _upright(array: np.ndarray, header: Image.Image) -> np.ndarray:
    """Rotate and mirror an image according to its EXIF orientation, a number from 1 to 8."""
    try:
        orientation = header.getexif().get(_ORIENTATION, 1)
    except Exception:  # the pixels may be intact even if the EXIF block is damaged
        return array
    if orientation in (5, 6, 7, 8):
        array = array.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _check_png(data: bytes) -> None:
    """Check that a PNG is complete and undamaged, because Pillow ignores checksums and fills missing rows with black.

    Source: PNG specification (third edition), sections 5 (chunks), 8 (interlacing), 9 (filtering) and 10 (compression).
    """
    chunks = dict.fromkeys((b"IHDR", b"IEND"), b"")
    packed = []
    for kind, content in _png_chunks(data):
        if kind == b"IDAT":
            packed.append(content)
        else:
            chunks[kind] = content
    expected = _png_size(chunks[b"IHDR"])
    stream = zlib.decompressobj()
    # The limit exceeds the expected size so that zlib also reads the checksum at the end of the stream.
    found = len(stream.decompress(b"".join(packed), expected + 1024))
    if found < expected or not stream.eof:
        raise ValueError(f"found {found} of {expected} bytes of pixel data")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and content of each chunk.

    Raises:
        ValueError: A checksum is wrong, or the final chunk (IEND) is missing.
    """
    position = 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length]
        checksum = data[position + 8 + length : position + 12 + length]
        if len(checksum) < 4 or zlib.crc32(kind + content) != int.from_bytes(checksum):
            raise ValueError(f"the checksum of the chunk at byte {position} is wrong")
        yield kind, content
        if kind == b"IEND":
            return
        position += 12 + length
    raise ValueError("the end of the file is missing")


def _png_size(header: bytes) -> int:
    """Return the number of bytes of uncompressed pixel data, including one filter byte per row."""
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    size = 0
    for x, y, dx, dy in passes:
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0 and rows > 0:
            size += rows * (1 + -(-columns * bits // 8))
    return size
