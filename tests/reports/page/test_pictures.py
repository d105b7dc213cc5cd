"""Only complete PNG files of a limited size are embedded in a page."""

from pathlib import Path

import pytest
from PIL import Image

from celeba_lab.errors import UserError
from celeba_lab.reports.page.pictures import embed


@pytest.mark.parametrize(("dpi", "width"), [(None, 60), (192, 30), (0, 60)])
def test_the_size_of_a_picture_follows_its_resolution(tmp_path: Path, dpi: int | None, width: int) -> None:
    options = {} if dpi is None else {"dpi": (dpi, dpi)}
    Image.new("RGB", (60, 20), "red").save(tmp_path / "a.png", **options)
    picture = embed(tmp_path / "a.png")
    assert (picture.width, picture.height) == (width, width // 3)
    assert picture.uri.startswith("data:image/webp;base64,")


def test_files_of_another_format_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(UserError, match=r"a\.png is not a"):
        embed(tmp_path / "a.png")
    Image.new("RGB", (6, 6)).save(tmp_path / "b.png", "GIF")
    with pytest.raises(OSError, match="cannot identify"):
        embed(tmp_path / "b.png")


def test_damaged_and_huge_pictures_are_rejected(tmp_path: Path) -> None:
    Image.new("1", (9000, 9000)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"9000x9000 pixels"):
        embed(tmp_path / "a.png")
    Image.effect_noise((60, 60), 50).save(tmp_path / "b.png")
    data = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[:-100])
    with pytest.raises(UserError, match="damaged or truncated"):
        embed(tmp_path / "b.png")
