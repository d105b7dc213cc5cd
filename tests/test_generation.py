"""What a person sees while a GAN trains."""

import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from celeba_lab.errors import UserError
from celeba_lab.generation import Health, SampleGrid, animate, enlarge_faces, face_grid, spread
from celeba_lab.models.gan import GAN

SMALL = {"image_size": 16, "latent_size": 8, "width": 4}


def trainer(epoch: int, last: bool = True) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        current_epoch=epoch, is_global_zero=True, is_last_batch=last, max_epochs=10, logger=None, global_step=epoch
    )


def batch(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"image": torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=generator)}


def epoch_of(model: GAN, health: Health, epoch: int, **means: float) -> None:
    """An epoch of one batch with these means."""
    model._steps = {"discriminator": 1, "generator": 1}
    usual = {"discriminator_loss": 1.0, "generator_loss": 1.0, "D(x)": 0.7, "D(G(z))": 0.3}
    model._sums = {name: torch.tensor(value) for name, value in (usual | means).items()}
    health.on_train_batch_end(trainer(epoch), model, None, batch(), 0)
    health.on_train_epoch_end(trainer(epoch), model)


@pytest.fixture
def model() -> GAN:
    torch.manual_seed(0)
    gan = GAN(**SMALL)
    with torch.no_grad():  # random weights of a DCGAN draw grey: these draw something for every latent
        gan.generator.spread.weight.mul_(200)
        gan.generator.layers[-2].weight.mul_(200)
    return gan


def test_a_grid_of_the_same_latents_after_each_epoch(model: GAN, tmp_path: Path) -> None:
    grid = SampleGrid(str(tmp_path), n=16, every_n_epochs=2)
    for epoch in range(5):
        grid.on_train_epoch_end(trainer(epoch), model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch_0002.png", "epoch_0004.png"]
    first, second = (np.asarray(Image.open(path)) for path in sorted(tmp_path.iterdir()))
    assert np.array_equal(first, second)
    assert first.shape[1] > 400


def test_the_animation_has_a_frame_for_each_grid(tmp_path: Path) -> None:
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


def test_one_grid_makes_no_animation(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "epoch_0001.png")
    assert animate(tmp_path, tmp_path / "samples.gif") == 0
    assert not (tmp_path / "samples.gif").exists()


def test_enlarging_is_pillows() -> None:
    faces = batch()["image"]
    large = enlarge_faces(faces, 4, "bicubic")
    direct = Image.fromarray(faces[3].permute(1, 2, 0).numpy()).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.array_equal(large[3].permute(1, 2, 0).numpy(), np.asarray(direct))
    nearest = enlarge_faces(faces, 2, "nearest")
    assert torch.equal(nearest[..., ::2, ::2], faces)


def test_a_grid_shows_every_face() -> None:
    assert face_grid(batch()["image"]).ndim == 3
    assert face_grid(batch()["image"][:1]).shape[0] >= 500


def test_a_healthy_run_says_nothing(model: GAN) -> None:
    health = Health(patience=2)
    for epoch in range(5):
        epoch_of(model, health, epoch)
    assert health.warnings == []


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        ({"D(x)": 0.999, "D(G(z))": 0.001}, "the discriminator has told every face apart for 3 epochs"),
        ({"D(x)": 0.001, "D(G(z))": 0.001}, "the discriminator has been wrong about almost every face"),
        ({"D(x)": 0.999, "D(G(z))": 0.999}, "the discriminator has been wrong about almost every face"),
    ],
)
def test_a_discriminator_that_is_sure_for_long_is_spoken_of_once(model: GAN, means: dict, sentence: str) -> None:
    health = Health(patience=3)
    epoch_of(model, health, 0, **means)
    epoch_of(model, health, 1)  # the streak is broken
    for epoch in range(2, 8):
        epoch_of(model, health, epoch, **means)
    assert len(health.warnings) == 1
    assert health.warnings[0].startswith("epoch 5: " + sentence)


def test_the_same_face_again_and_again_is_a_collapse(model: GAN) -> None:
    with torch.no_grad():
        model.generator.spread.weight.zero_()
    health = Health(patience=2)
    for epoch in range(2):
        epoch_of(model, health, epoch)
    assert "its modes have collapsed" in health.warnings[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(model: GAN, value: float) -> None:
    with pytest.raises(UserError, match=r"The generator loss became NaN or infinite in epoch 3.*Lower model.lr"):
        epoch_of(model, Health(), 2, generator_loss=value)


def test_the_health_of_a_run_survives_a_checkpoint(model: GAN) -> None:
    health, continued = Health(patience=3), Health(patience=3)
    for epoch in range(2):
        epoch_of(model, health, epoch, **{"D(x)": 1.0, "D(G(z))": 0.0})
    continued.load_state_dict(health.state_dict())
    epoch_of(model, continued, 2, **{"D(x)": 1.0, "D(G(z))": 0.0})
    assert len(continued.warnings) == 1


def test_the_spread_of_faces() -> None:
    assert spread(torch.full((4, 3, 8, 8), 9, dtype=torch.uint8)) == 0
    half = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    half[2:] = 100
    assert spread(half) == pytest.approx(50)
