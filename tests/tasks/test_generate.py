"""``task=generate``: faces, a grid, an interpolation and the nearest real faces."""

from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf
from PIL import Image

from celeba_lab.errors import UserError
from celeba_lab.tasks.generate import generate


def test_generate_writes_faces_a_grid_an_interpolation_and_nearest_faces(
    gan, tiny_celeba: Path, tmp_path: Path, run_command
) -> None:
    arguments = [
        "task=generate",
        f"checkpoint={gan.checkpoint}",
        "task.n=5",
        "task.upscale=3",
        f"data.root={tiny_celeba}",
    ]
    result = run_command(*arguments, "task.interpolate=4", "task.attributes={Smiling: 1, Male: 0}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [folder] = tmp_path.glob("outputs/generate/*")
    files = sorted((folder / "faces").iterdir())
    assert [path.name for path in files] == [f"{k:05d}.png" for k in range(5)]
    with Image.open(files[0]) as face:
        assert face.size == (48, 48)
    for name in ("faces", "interpolation", "nearest"):
        assert (folder / "figures" / f"{name}.png").exists()
    requested = pd.read_csv(folder / "tables" / "requested.csv")
    assert requested["Smiling"].tolist() == [1] * 5
    assert requested["Male"].tolist() == [0] * 5
    nearest = pd.read_csv(folder / "tables" / "nearest.csv")
    assert len(nearest) == 5
    assert (tiny_celeba / "img_align_celeba" / "img_align_celeba" / nearest["image_id"][0]).exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n": 0}, "^n=0 must be at least 1"),
        ({"upscale": 0}, "^upscale=0 must be at least 1"),
        ({"upscale_filter": "bicubik"}, "^upscale_filter=bicubik must be one of .* Did you mean 'bicubic'"),
        ({"interpolate": 8, "n": 1}, "^n=1 must be at least 2 to interpolate from one face to the next"),
        ({"generator_weights": "mean"}, "generator_weights=mean must be one of ema, raw"),
        ({"truncation": 0.0}, "^truncation=0 must be above 0"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        generate(OmegaConf.create({"checkpoint": "none.ckpt", "seed": 1}), **settings)


def test_a_mistake_is_reported_before_any_face_is_written(gan, tmp_path: Path, run_command) -> None:
    given = ["task=generate", f"checkpoint={gan.checkpoint}", "task.nearest=false", "task.attributes={Smilling: 1}"]
    result = run_command(*given, "hydra.run.dir=run", cwd=tmp_path)
    assert result.returncode == 1
    assert "The available attributes are Smiling, Male. Did you mean 'Smiling'?" in " ".join(result.stderr.split())
    assert not (tmp_path / "run" / "faces").exists()
