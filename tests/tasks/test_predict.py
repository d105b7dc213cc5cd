"""``task=predict`` on image files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from celeba_lab.models.classifier.module import AttributeClassifier

QUIET = ["trainer=cpu", "~callbacks.progress_bar", "task=predict"]


def test_files_of_any_format_and_size_are_predicted(trained, tmp_path: Path, run_command, read_summary) -> None:
    photos = tmp_path / "my photos"
    photos.mkdir()
    random = np.random.default_rng(0)
    for name, size, mode in (("b.png", (60, 40), "RGBA"), ("a.jpg", (89, 109), "RGB"), ("c.jpg", (32, 32), "L")):
        shape = (size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0])
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8), mode).save(photos / name)
    result = run_command(*QUIET, f"checkpoint={trained.checkpoint}", f"task.images='{photos}'", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == f"data: files in {photos}"
    [folder] = tmp_path.glob("outputs/predict/*")
    table = pd.read_csv(folder / "tables" / "predictions.csv")
    assert [Path(path).name for path in table["image"]] == ["a.jpg", "b.png", "c.jpg"]
    assert (folder / "figures" / "contact_sheet.png").stat().st_size > 5_000
    assert read_summary(folder)["metrics"]["predict/images"] == 3

    model = AttributeClassifier.load_from_checkpoint(trained.checkpoint, map_location="cpu", weights_only=True).eval()
    pixels = np.asarray(
        Image.open(photos / "c.jpg").convert("RGB")
    )  # This image has the model's size, so it is not resized.
    expected = model.probabilities(torch.tensor(pixels).permute(2, 0, 1)[None])
    assert table.loc[2, "Smiling"] == pytest.approx(expected.item(), abs=1e-4)


def test_missing_task_images_gives_a_one_sentence_error(tmp_path: Path, run_command) -> None:
    result = run_command(*QUIET, "checkpoint=best.ckpt", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == "celeba_lab: error: task.images has no value. Set it with task.images=...\n"


def test_a_glob_without_matches_gives_a_one_sentence_error(trained, tmp_path: Path, run_command) -> None:
    arguments = [f"checkpoint={trained.checkpoint}", f"task.images='{tmp_path}/*.jpg'"]
    result = run_command(*QUIET, *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert "*.jpg" in result.stderr
    assert "Traceback" not in result.stderr
