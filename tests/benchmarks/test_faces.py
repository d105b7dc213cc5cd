"""Folders with links to faces."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from celeba_lab.benchmarks.faces import link_faces, link_torchvision
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.celeba import CelebA
from celeba_lab.data.synthetic.settings import RECORD


def test_faces_are_repeated_within_their_split(tiny_celeba: Path, tmp_path: Path) -> None:
    link_faces(CelebA(str(tiny_celeba), ["Smiling"]), tmp_path / "faces", 100)
    found, source = Annotations.load(tmp_path / "faces"), Annotations.load(tiny_celeba)
    assert [len(found.rows(split)) for split in ("train", "val", "test")] == [80, 10, 10]
    for split in ("train", "val", "test"):
        rows = np.resize(source.rows(split), len(found.rows(split)))
        assert (found.labels[found.rows(split)] == source.labels[rows]).all()
    image = tmp_path / "faces/img_align_celeba/img_align_celeba/000033.jpg"  # the first one again
    assert image.read_bytes() == (tiny_celeba / "img_align_celeba/img_align_celeba/000001.jpg").read_bytes()


def test_a_folder_without_validation_faces_uses_the_others(write_celeba: Callable[..., Path], tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba", n=48, partition=np.zeros(48, dtype=int))
    link_faces(CelebA(str(root), ["Smiling"]), tmp_path / "faces", 40)
    assert len(Annotations.load(tmp_path / "faces").rows("val")) == 4


def test_drawn_faces_stay_marked_as_drawn(write_celeba: Callable[..., Path], tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / RECORD).write_text("{}")
    link_faces(CelebA(str(root), ["Smiling"]), tmp_path / "faces", 40)
    assert (tmp_path / "faces" / RECORD).is_file()


def test_the_tables_for_torchvision_are_those_of_the_same_faces(tiny_celeba: Path, tmp_path: Path) -> None:
    link_faces(CelebA(str(tiny_celeba), ["Smiling"]), tmp_path / "faces", 60)
    link_torchvision(tmp_path / "faces", tmp_path / "torchvision")
    expected, found = Annotations.load(tmp_path / "faces"), Annotations.load(tmp_path / "torchvision")
    assert (found.labels == expected.labels).all()
    assert (found.partition == expected.partition).all()


def test_bad_images_are_left_out(write_celeba: Callable[..., Path], tmp_path: Path) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / "img_align_celeba/img_align_celeba/000001.jpg").write_bytes(b"damaged")
    data = CelebA(str(root), ["Smiling"], on_bad_image="skip", max_bad_fraction=0.5)
    data.setup_split("train")
    link_faces(data, tmp_path / "faces", 40)
    image = tmp_path / "faces/img_align_celeba/img_align_celeba/000001.jpg"
    assert image.resolve().name == "000002.jpg"
