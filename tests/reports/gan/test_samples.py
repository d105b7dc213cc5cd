"""Files of generated faces."""

from pathlib import Path

import torch

from celeba_lab.reports.gan.samples import Samples
from celeba_lab.runs.folder import RunFolder


def test_writing_the_faces_shows_progress(tmp_path: Path, blank_figures, work_shown: dict[str, str]) -> None:
    faces = torch.zeros(300, 3, 4, 4, dtype=torch.uint8)
    Samples(faces, None, [], lambda images: images, "title").write(RunFolder(tmp_path))
    assert len(list((tmp_path / "faces").iterdir())) == 300
    assert work_shown == {"writing the faces": "300/300 faces"}
