"""Image files that are damaged, of another kind, or too large."""

import io
import os
import random
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bad_inputs import BadInput
from PIL import Image
from small_data import draw_faces, train_classifier

SIZE = 48


def _photo(mode: str) -> Image.Image:
    """Return an image with smooth areas and noise, as a photograph has."""
    generator = np.random.default_rng(3)
    y, x = np.mgrid[:SIZE, :SIZE]
    base = np.stack([x * 4, y * 4, (x + y) * 2, np.full((SIZE, SIZE), 255)], axis=-1)
    noisy = np.clip(base + generator.normal(0, 20, base.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy[..., : len(mode)] if mode != "L" else noisy[..., 0], mode)


def _encoded(mode: str, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    _photo(mode).save(stream, kind, **options)
    return stream.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _huge_png(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")


def _many_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated."""
    data = _encoded("RGB", "JPEG", progressive=True)
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:start] + data[start:end] * count + data[end:]


def _damages(data: bytes, generator: random.Random) -> Iterator[tuple[str, bytes]]:
    yield "cut at a third", data[: len(data) // 3]
    yield "cut at two thirds", data[: 2 * len(data) // 3]
    yield "without its last 40 bytes", data[:-40]
    for tail in (200, 1000):
        yield f"last {tail} bytes are zero", data[:-tail] + bytes(tail)
    for _ in range(4):
        position = generator.randrange(len(data) // 4, 3 * len(data) // 4)
        yield f"zeros at {position}", data[:position] + bytes(30) + data[position + 30 :]


def cases(folder: Path) -> Iterator[BadInput]:
    """Yield one command for each damaged image."""
    checkpoint = train_classifier(folder)
    generator = random.Random(5)
    good = {
        "RGB PNG": _encoded("RGB", "PNG"),
        "RGBA PNG": _encoded("RGBA", "PNG"),
        "grey PNG": _encoded("L", "PNG"),
        "JPEG": _encoded("RGB", "JPEG", quality=95),
        "grey JPEG": _encoded("L", "JPEG"),
    }
    bad: dict[str, bytes] = {}
    for name, data in good.items():
        damages = dict(_damages(data, generator))
        if "JPEG" in name:  # A JPEG has no checksums, so only missing parts can be recognised.
            damages = {damage: content for damage, content in damages.items() if "zero" not in damage}
        bad |= {f"{name}, {damage}": content for damage, content in damages.items()}
    bad |= {
        "empty": b"",
        "text": b"hello",
        "HTML": b"<html></html>",
        "random": random.Random(1).randbytes(2000),
        "PDF": b"%PDF-1.4 ...",
        "only a PNG signature": b"\x89PNG\r\n\x1a\n",
        "only a JPEG marker": b"\xff\xd8\xff",
        "PNG of 2**31 pixels a side": _huge_png(2**31 - 1),
        "PNG of 30,000 pixels a side": _huge_png(30_000),
        "PNG without pixels": _huge_png(8),
        "PNG of no size": _huge_png(0),
        "JPEG with 3,000 scans": _many_scans(3000),
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "cut WebP": _encoded("RGB", "WEBP")[:300],
        "cut BMP": _encoded("RGB", "BMP")[:500],
        "cut GIF": _encoded("L", "GIF")[:300],
        "cut TIFF": _encoded("RGB", "TIFF")[:400],
    }
    place = folder / "photos"
    for name, data in bad.items():
        place.mkdir()
        (place / "photo.jpg").write_bytes(data)
        yield BadInput(
            "images", name, ["task=predict", f"checkpoint={checkpoint}", f"task.images={place}"], "photo.jpg"
        )
        shutil.rmtree(place)
    yield from _special(folder, checkpoint)


def _special(folder: Path, checkpoint: Path) -> Iterator[BadInput]:
    """Yield files that are no regular files, and folders of a dataset with them."""
    place = folder / "special"
    place.mkdir()
    os.mkfifo(place / "pipe.jpg")
    (place / "device.jpg").symlink_to("/dev/zero")
    (place / "missing.jpg").symlink_to("nowhere")
    (place / "folder.jpg").mkdir()
    predict = ["task=predict", f"checkpoint={checkpoint}"]
    for name in ("pipe", "device", "missing", "folder"):
        yield BadInput("images", f"named: {name}", [*predict, f"task.images={place}/{name}.jpg"], f"{name}.jpg")
    for name in ("pipe.jpg", "device.jpg", "missing.jpg", "folder.jpg"):
        root = folder / "faces_with_special"
        shutil.copytree(draw_faces(folder / "faces"), root)
        image = sorted((root / "img_align_celeba").rglob("*.jpg"))[0]
        image.unlink()
        image.symlink_to(place / name)
        smile = ["experiment=smile", "trainer=smoke", "data=celeba", f"data.root={root}", "model.weights=null"]
        yield BadInput("images", f"in a dataset: {name}", smile, image.name, starts=True)
        yield BadInput("images", f"skipped in a dataset: {name}", [*smile, "data.on_bad_image=skip"], image.name)
        shutil.rmtree(root)
