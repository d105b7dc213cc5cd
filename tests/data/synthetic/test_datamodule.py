"""Synthetic faces are drawn on first use, and only once."""

from pathlib import Path

import pytest

from celeba_lab.data.synthetic import faces
from celeba_lab.data.synthetic.datamodule import SyntheticDataModule
from celeba_lab.data.synthetic.faces import draw_faces
from celeba_lab.data.synthetic.settings import Settings, find_settings


def test_missing_faces_are_drawn_on_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "Settings", lambda: Settings(n=12))
    data = SyntheticDataModule(str(tmp_path / "faces"), ["Smiling"], image_size=32, name="synthetic")
    assert not (tmp_path / "faces").exists()
    assert len(data.annotations) == 12
    assert data.raw_images([11])[0].shape == (218, 178, 3)
    assert find_settings(tmp_path / "faces") == Settings(n=12)


def test_existing_faces_are_used_regardless_of_their_settings(tmp_path: Path) -> None:
    draw_faces(tmp_path / "faces", Settings(n=10, seed=7), workers=1)
    data = SyntheticDataModule(str(tmp_path / "faces"), ["Smiling"], image_size=32)
    assert len(data.annotations) == 10
    assert find_settings(tmp_path / "faces") == Settings(n=10, seed=7)
