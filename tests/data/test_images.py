import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from celeba_lab.data import images
from celeba_lab.data.images import decode_image, load_image, resize_images
from celeba_lab.data.listing import list_images
from celeba_lab.errors import UserError

LIMIT = 10**6


def encode(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture
def picture() -> Image.Image:
    """An image of 40 x 30 pixels with smooth colours, which JPEG compression hardly changes."""
    y, x = np.mgrid[0:30, 0:40]
    return Image.fromarray(np.stack([x * 6, y * 8, 255 - x * 3 - y * 4], axis=2).astype(np.uint8))


# ------------------------------------------------------------------------------------------------------------- decoding


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
    ],
)
def test_colour_images_are_decoded_unchanged(picture, kind, options):
    array = decode_image(encode(picture, kind, **options), "x", LIMIT)
    assert array.shape == (30, 40, 3)
    assert array.dtype == np.uint8
    assert array.flags.writeable
    difference = np.abs(array.astype(int) - np.asarray(picture))
    assert difference.max() == 0 if kind != "JPEG" else difference.mean() < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_greyscale_is_repeated_in_three_channels(picture, kind):
    array = decode_image(encode(picture.convert("L"), kind), "x", LIMIT)
    assert (array == array[:, :, :1]).all()
    assert np.abs(array[:, :, 0].astype(int) - np.asarray(picture.convert("L"))).mean() < 3


def test_cmyk_is_converted_to_rgb(picture):
    array = decode_image(encode(picture.convert("CMYK"), "JPEG", quality=95), "x", LIMIT)
    assert np.abs(array.astype(int) - np.asarray(picture)).mean() < 3


def test_damaged_cmyk_is_rejected(picture):
    data = encode(picture.convert("CMYK"), "JPEG")
    with pytest.raises(UserError, match="damaged or truncated"):
        decode_image(data[:-10], "x", LIMIT)


def with_scans(data: bytes, scans: int) -> bytes:
    """Return a progressive JPEG in which the last scan is repeated until there are ``scans`` scans."""
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:start] + data[start:end] * (scans - images._count_scans(data) + 1) + data[end:]


def test_a_jpeg_with_too_many_scans_is_rejected_before_it_is_decoded(picture, monkeypatch):
    data = encode(picture, "JPEG", progressive=True)
    assert images._count_scans(data) == data.count(b"\xff\xda") == 10
    assert images._count_scans(with_scans(data, 100)) == 100
    monkeypatch.setattr(images.simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("the JPEG was decoded"))
    with pytest.raises(UserError, match=r"^x is damaged or truncated \(it has more than 100 scans\)\. Replace it"):
        decode_image(with_scans(data, 101), "x", LIMIT)


def test_scans_are_counted_only_in_the_jpeg_itself(picture):
    """Neither an embedded thumbnail nor a video that a camera appended to a photo counts."""
    data = encode(picture, "JPEG", quality=95)
    expected = decode_image(data, "x", LIMIT)
    comment = b"\xff\xfe" + struct.pack(">H", 402) + b"\xff\xda" * 200
    for kept in (data[:2] + comment + data[2:], data + b"\xff\xda" * 200):
        assert images._count_scans(kept) == 1
        assert (decode_image(kept, "x", LIMIT) == expected).all()


def test_palette_images_are_converted_to_rgb(picture):
    palette = picture.quantize(8)
    array = decode_image(encode(palette, "PNG"), "x", LIMIT)
    assert (array == np.asarray(palette.convert("RGB"))).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparent_pixels_are_blended_with_white(kind):
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[:, 3:] = (200, 0, 0, 255)
    rgba[0] = (0, 0, 0, 128)
    array = decode_image(encode(Image.fromarray(rgba), kind, lossless=True), "x", LIMIT)
    assert (array[1:, :3] == 255).all()
    assert (array[1:, 3:] == (200, 0, 0)).all()
    assert np.abs(array[0].astype(int) - 127).max() <= 1


def test_a_transparent_palette_entry_becomes_white():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    image.putpalette([0, 0, 0, 10, 20, 30])
    array = decode_image(encode(image, "PNG", transparency=0), "x", LIMIT)
    assert array.tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_sixteen_bit_greyscale_keeps_its_range():
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    array = decode_image(encode(Image.fromarray(values), "PNG"), "x", LIMIT)
    assert array[0, :, 0].tolist() == [0, 1, 128, 255]  # Pillow's convert clips all values but the first to 255.


def test_float_pixels_give_a_one_sentence_error():
    with pytest.raises(UserError, match=r"x\.tif.*8 bits"):
        decode_image(encode(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"), "x.tif", LIMIT)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_exif_orientation_is_applied(picture, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture, kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    array = decode_image(data, "x", LIMIT)
    assert array.shape == expected.shape
    assert np.abs(array.astype(int) - expected).mean() < 2


# ------------------------------------------------------------------------------------------------------------ rejecting


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("keep", [0, 3, 20, 0.3, 0.6, 0.8])
def test_a_truncated_file_is_rejected(picture, kind, keep):
    data = encode(picture, kind)
    data = data[: keep if isinstance(keep, int) else int(len(data) * keep)]
    with pytest.raises(UserError, match=r"^face\.jpg (is|has).*Replace it") as error:
        decode_image(data, "face.jpg", LIMIT)
    assert "\n" not in str(error.value)


def test_a_damaged_jpeg_is_rejected_even_if_pillow_fills_it_silently(picture):
    data = bytearray(encode(picture, "JPEG", quality=95))
    at = data.index(b"\xff\xda") + 40
    data[at : at + 4] = b"\xff\xd9\xff\xd9"  # An end-of-image marker in the middle of the pixel data.
    Image.open(io.BytesIO(bytes(data))).verify()
    with pytest.raises(UserError, match="damaged or truncated"):
        decode_image(bytes(data), "x", LIMIT)


@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_png_with_too_few_rows_is_rejected(interlaced):
    """Pillow fills the missing rows with black, and torchvision's decoder crashes the interpreter."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def png(rows: bytes) -> bytes:
        header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, interlaced)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

    # Adam7 splits 8x8 into passes of 1x1, 1x1, 2x1, 2x2, 4x2, 4x4, 8x4 pixels. Each row starts with a filter byte.
    shapes = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)] if interlaced else [(8, 8)]
    rows = b"".join((b"\0" + b"\xc8" * 3 * width) * height for width, height in shapes)
    assert (decode_image(png(rows), "x", LIMIT) == 200).all()
    with pytest.raises(UserError, match="bytes of pixel data"):
        decode_image(png(rows[:-25]), "x", LIMIT)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "I;16"])
def test_a_png_with_a_damaged_tail_is_rejected_or_unchanged(mode: str, picture: Image.Image) -> None:
    """No damaged byte may change a pixel. Pillow accepts most of these files, and returns wrong pixels."""
    image = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
    data = encode(image, "PNG")
    pixels = decode_image(data, "x", LIMIT)
    accepted = 0
    for start in range(33, len(data), 7):
        for damaged in (data[:start], data[:start] + bytes(len(data) - start), _flip_bit(data, start)):
            try:
                decoded = decode_image(damaged, "x", LIMIT)
            except UserError:
                continue
            assert np.array_equal(decoded, pixels)
            accepted += 1
    assert accepted <= 2  # Only the bytes after the last pixel may be missing.


def _flip_bit(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_named_pipe_and_a_device_are_rejected(tmp_path: Path) -> None:
    """Opening a pipe would wait forever, and reading a device would never end."""
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            load_image(path, LIMIT)


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"\xff\xd8\xff", b"%PDF-1.4", bytes(100)])
def test_files_that_are_not_images_are_rejected(data):
    with pytest.raises(UserError, match=r"^notes\.jpg is.*on_bad_image=skip"):
        decode_image(data, "notes.jpg", LIMIT)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_pixel_limit_is_checked_before_decoding(picture, kind, monkeypatch):
    data = encode(picture, kind)
    decode_image(data, "x", 1200)
    monkeypatch.setattr(images, "_decode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(UserError, match=r"^x has 40x30 pixels, more than data\.max_pixels=1199\. Shrink it"):
        decode_image(data, "x", 1199)


def test_a_decompression_bomb_gives_a_one_sentence_error_without_a_warning(picture):
    """The PNG header claims 10 gigapixels, far above Pillow's own limit."""
    data = bytearray(encode(picture, "PNG"))
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match="100000x100000 pixels"):
            decode_image(bytes(data), "x", 50_000_000)


def test_the_pixel_limit_is_applied_without_changing_that_of_pillow(picture, monkeypatch):
    """Pillow rejects images over twice its own limit. Programs that import this package must keep this protection."""
    assert Image.MAX_IMAGE_PIXELS is not None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = encode(picture, "PNG")
    assert decode_image(data, "x", LIMIT).shape == (30, 40, 3)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))


def test_a_randomly_damaged_file_gives_an_image_or_a_one_sentence_error(picture):
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        good = encode(picture, kind)
        for _ in range(60):
            data = bytearray(good)
            for at in rng.integers(0, len(data), 4):
                data[at] = rng.integers(256)
            try:
                array = decode_image(bytes(data), "x", LIMIT)
            except UserError:
                continue
            assert array.ndim == 3
            assert array.shape[2] == 3


def test_the_error_of_load_image_names_the_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.jpg cannot be read \(No such file"):
        load_image(tmp_path / "none.jpg", LIMIT)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UserError, match=str(tmp_path / "bad.jpg")):
        load_image(tmp_path / "bad.jpg", LIMIT)


# ---------------------------------------------------------------------------------------------------- resizing, listing


def test_resize_ignores_the_aspect_ratio(picture):
    [tensor] = resize_images([np.asarray(picture).copy()], 16)
    assert tensor.shape == (3, 16, 16)
    assert tensor.dtype == torch.uint8
    assert tensor.permute(1, 2, 0).is_contiguous()
    expected = np.asarray(picture.resize((16, 16), Image.Resampling.BILINEAR)).astype(
        int
    )  # Pillow's resize is antialiased as well.
    assert np.abs(tensor.permute(1, 2, 0).numpy() - expected).max() <= 2


def test_resizing_a_batch_equals_resizing_each_image():
    random = np.random.default_rng(0)
    same = [random.integers(0, 256, (40, 30, 3), dtype=np.uint8) for _ in range(3)]
    mixed = [*same, random.integers(0, 256, (20, 50, 3), dtype=np.uint8)]
    for arrays in (same, mixed):
        batch = resize_images(arrays, 16)
        assert batch.shape == (len(arrays), 3, 16, 16)
        for image, array in zip(batch, arrays, strict=True):
            assert torch.equal(image, resize_images([array], 16)[0])


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("10.jpg", "2.jpg", "1.PNG", "notes.txt", "._2.jpg", "deep/3.jpeg"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["1.PNG", "2.jpg", "10.jpg"]),
        ("*.jpg", ["2.jpg", "10.jpg"]),
        ("**/*.jp*g", ["2.jpg", "10.jpg", "deep/3.jpeg"]),
        ("notes.txt", ["notes.txt"]),
        ("*", ["1.PNG", "2.jpg", "10.jpg"]),
    ],
)
def test_list_images_finds_files_folders_and_globs(photos, pattern, names):
    found = list_images(str(photos / pattern) if pattern else str(photos))
    assert [str(path.relative_to(photos)) for path in found] == names


NOT_UTF8 = os.fsdecode(b"\xff\xfe.jpg")


@pytest.mark.parametrize("pattern", ["", "/*", f"/{NOT_UTF8}"], ids=["folder", "glob", "file"])
def test_images_whose_names_are_not_utf8_are_refused(tmp_path, pattern):
    """Neither tables nor figures could name them."""
    (tmp_path / NOT_UTF8).touch()
    with pytest.raises(UserError, match=r"^The name of .* is not UTF-8 text\. Rename the file or folder\.$"):
        list_images(f"{tmp_path}{pattern}")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("none.jpg", "No file or folder matches"), ("*.gif", "No file or folder matches"), ("*.txt", "no images")],
)
def test_list_images_without_a_match_is_an_error(photos, pattern, words):
    with pytest.raises(UserError, match=words):
        list_images(str(photos / pattern))
    (photos / "empty").mkdir()
    with pytest.raises(UserError, match=r"no images .* in the folder"):
        list_images(str(photos / "empty"))
