"""The GAN report after training: distances next to their reference value, and the nearest training faces."""

import struct
import zlib
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.models.gan.distances import Distances, FeatureExtractor
from celeba_lab.reports.gan.nearest import report_nearest
from celeba_lab.reports.gan.training import animate, report_distances
from celeba_lab.runs.folder import RunFolder


class Corners(torch.nn.Module):
    """Computes the mean of each quarter of an image in each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.one * torch.nn.functional.adaptive_avg_pool2d(images.float() / 64, 2).flatten(1)


@pytest.fixture(scope="module")
def data(tiny_celeba: Path) -> CelebADataModule:
    faces = CelebADataModule(str(tiny_celeba), ["Smiling"], image_size=16)
    faces.setup()
    return faces


def images_of(data: CelebADataModule, split: str) -> torch.Tensor:
    return torch.cat([batch["image"] for batch in data.evaluation_dataloader(split)])


def row(epoch: int, weights: str, kid: float) -> dict:
    numbers = {"kid_x1000": kid, "kid_std": 1.0, "fid": kid / 2, "generated": 40}
    return {"epoch": epoch, "step": 4 * epoch, "generator_weights": weights} | numbers


def test_distances_are_written_with_a_reference_and_a_description(data, tmp_path: Path, capsys) -> None:
    distances = Distances(FeatureExtractor(Corners(), 12, "corners"), images_of(data, "val"), "val")
    rows = [row(2, "ema", 90.0), row(2, "raw", 95.0), row(4, "ema", 70.0), row(4, "raw", 80.0)]
    metrics = report_distances(RunFolder(tmp_path), distances, rows, data, "title")
    floor = distances.measure(images_of(data, "train"))  # There are only 32 of the 40 requested faces.
    assert (metrics["heldout/kid"], metrics["heldout/fid"]) == (70.0, 35.0)
    assert metrics["heldout/kid_real"] == pytest.approx(floor.kid)
    assert metrics["heldout/fid_real"] == pytest.approx(floor.fid)
    table = pd.read_csv(tmp_path / "tables" / "distances.csv")
    assert table["kid_x1000"].tolist() == [90, 95, 70, 80]
    assert table["kid_x1000_real"].tolist() == pytest.approx([floor.kid] * 4)
    assert set(table["real"]) == {32}
    assert set(table["measured_in"]) == {distances.describe(40)}
    assert "40 generated faces and 8 real faces from val" in table["measured_in"][0]
    for name in ("kid", "fid"):
        assert (tmp_path / "figures" / f"{name}.png").exists()
    printed = " ".join(capsys.readouterr().out.split())
    assert "40 generated faces and 8 real faces" in printed
    assert "32 training faces compared with the same" in printed


def test_a_single_measurement_is_not_drawn_as_a_curve(data, tmp_path: Path) -> None:
    distances = Distances(FeatureExtractor(Corners(), 12, "corners"), images_of(data, "val"), "val")
    report_distances(RunFolder(tmp_path), distances, [row(4, "raw", 80.0)], data, "title")
    assert not (tmp_path / "figures").exists()


@pytest.mark.usefixtures("blank_figures")
def test_copies_of_training_faces_are_named_with_distance_zero(data, tmp_path: Path) -> None:
    """The table lists all seventy copies, every other one mirrored, and the figure shows sixty-four of them."""
    train = images_of(data, "train")
    picked = torch.arange(70) % len(train)
    copies = train[picked].clone()
    copies[1::2] = copies[1::2].flip(-1)
    metrics = report_nearest(RunFolder(tmp_path), copies, data, "title")
    table = pd.read_csv(tmp_path / "tables" / "nearest.csv")
    assert table["image_id"].tolist() == data.image_ids(data.split_indices("train")[picked.numpy()])
    assert table["mirrored"].tolist() == [k % 2 == 1 for k in range(70)]
    assert table["distance"].max() < 0.1
    assert metrics["nearest/generated"] < 0.1 < metrics["nearest/real"]
    assert (tmp_path / "figures" / "nearest.png").exists()


def test_the_search_for_nearest_faces_shows_its_progress(data, tmp_path: Path, work_shown: dict[str, str]) -> None:
    report_nearest(RunFolder(tmp_path), images_of(data, "val")[:2], data, "title")
    assert work_shown["finding the nearest training faces"] == "1/1 batches"


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def huge_png(side: int) -> bytes:
    """Return a small file that contains a black image of any size."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packed = zlib.compress(bytes(((side + 7) // 8 + 1) * side), 9)
    chunks = [(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")]
    parts = [struct.pack(">I", len(part)) + k + part + struct.pack(">I", zlib.crc32(k + part)) for k, part in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    "content", [b"hello", POSTSCRIPT, huge_png(5000), huge_png(30_000)[:5000]], ids=["text", "EPS", "huge", "bomb"]
)
def test_files_that_are_not_sample_images_are_left_out_of_the_animation(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    for epoch in (1, 2):
        Image.new("RGB", (8, 8), (100 * epoch, 0, 0)).save(tmp_path / f"epoch_{epoch:04d}.png")
    (tmp_path / "epoch_0003.png").write_bytes(content)
    assert animate(tmp_path, tmp_path / "samples.gif") == 2
    with Image.open(tmp_path / "samples.gif") as gif:
        assert (gif.n_frames, gif.size) == (2, (8, 8))
    printed = " ".join(capsys.readouterr().out.split())
    assert "epoch_0003.png is damaged, is not an image or has more than 16,777,216 pixels" in printed
    (tmp_path / "epoch_0002.png").unlink()
    assert animate(tmp_path, tmp_path / "other.gif") == 0
    assert not (tmp_path / "other.gif").exists()
