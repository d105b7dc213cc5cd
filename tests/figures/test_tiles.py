"""Faces are enlarged and arranged in rows, and grids of several epochs become an animation."""

from pathlib import Path

import numpy as np
from PIL import Image

from celeba_lab.figures.tiles import enlarge_faces, tile_faces
from celeba_lab.reports.gan.training import animate

FACES = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)


def test_the_animation_has_one_frame_per_grid(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        Image.new("RGB", (20, 10), (80 * epoch, 0, 0)).save(tmp_path / f"epoch_{epoch:04d}.png")
    assert animate(tmp_path, tmp_path / "samples.gif") == 3
    with Image.open(tmp_path / "samples.gif") as gif:
        assert gif.n_frames == 3
        assert gif.info["loop"] == 0
        reds = []
        for frame in range(3):
            gif.seek(frame)
            reds.append(gif.convert("RGB").getpixel((5, 5))[0])
    assert reds == sorted(reds)


def test_the_number_of_animation_frames_is_limited(tmp_path: Path) -> None:
    for epoch in range(1, 101):
        Image.new("RGB", (4, 4), (2 * epoch, 0, 0)).save(tmp_path / f"epoch_{epoch:04d}.png")
    assert animate(tmp_path, tmp_path / "samples.gif", most=10) == 10
    with Image.open(tmp_path / "samples.gif") as gif:
        reds = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            reds.append(gif.convert("RGB").getpixel((1, 1))[0])
    assert (reds[0], reds[-1]) == (2, 200)
    assert np.diff(reds).min() > 15


def test_a_single_grid_is_not_animated(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "epoch_0001.png")
    assert animate(tmp_path, tmp_path / "samples.gif") == 0
    assert not (tmp_path / "samples.gif").exists()


def test_enlarged_faces_equal_faces_resized_by_pillow() -> None:
    large = enlarge_faces(FACES, 4, "bicubic")
    direct = Image.fromarray(FACES[3]).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.array_equal(large[3], np.asarray(direct))
    nearest = enlarge_faces(FACES, 2, "nearest")
    assert np.array_equal(nearest[:, ::2, ::2], FACES)


def test_tiles_contain_every_face_at_its_position() -> None:
    scale, gap = 4, 8  # A row of eight 16 x 16 faces is enlarged to a width of about 512 pixels.
    tiles = tile_faces(FACES[np.arange(10) % 8])
    assert tiles.shape == (2 * (16 * scale + gap) + gap, 8 * (16 * scale + gap) + gap, 3)
    for k in (0, 7, 9):
        top, left = gap + (k // 8) * (16 * scale + gap), gap + (k % 8) * (16 * scale + gap)
        face = tiles[top : top + 16 * scale, left : left + 16 * scale]
        assert np.array_equal(face, enlarge_faces(FACES[k % 8][None], scale)[0])
    assert (tiles[:gap] == 255).all()
    assert tile_faces(FACES[:1]).shape[0] >= 500
