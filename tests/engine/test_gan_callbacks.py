"""What a person sees while a GAN trains."""

import math
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from celeba_lab.engine.gan_callbacks import DistanceSettings, Health, SampleGrid, spread
from celeba_lab.errors import DivergenceError, UserError
from celeba_lab.models.gan.module import GAN

SMALL = {"image_size": 16, "latent_size": 8, "width": 4}


def trainer(
    epoch: int, last: bool = True, steps: int = 1, precision: str = "bf16-mixed", kept: bool = True
) -> types.SimpleNamespace:
    return types.SimpleNamespace(
        current_epoch=epoch,
        is_global_zero=True,
        is_last_batch=last,
        max_epochs=10,
        logger=None,
        global_step=epoch * steps,
        precision=precision,
        checkpoint_callbacks=[types.SimpleNamespace(best_model_path="last.ckpt" if kept else "")],
    )


def batch(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"image": torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=generator)}


def epoch_of(model: GAN, health: Health, epoch: int, steps: int = 1, **means: float) -> None:
    """An epoch of one batch with these means, counted as so many."""
    model._steps = {"discriminator": 1, "generator": 1}
    usual = {"discriminator_loss": 1.0, "generator_loss": 1.0, "D(x)": 0.7, "D(G(z))": 0.3}
    model._sums = {name: torch.tensor(value) for name, value in (usual | means).items()}
    health.on_train_batch_end(trainer(epoch), model, None, batch(), 0)
    health.on_train_epoch_end(trainer(epoch, steps=steps), model)


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


def test_a_healthy_run_says_nothing(model: GAN) -> None:
    health = Health(patience=2)
    for epoch in range(5):
        epoch_of(model, health, epoch)
    assert health.warnings == []


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        ({"D(x)": 0.999, "D(G(z))": 0.001}, "the discriminator has told every face apart for 3 epochs"),
        ({"D(x)": 0.001, "D(G(z))": 0.001}, "the discriminator has called every face generated"),
        ({"D(x)": 0.999, "D(G(z))": 0.999}, "the discriminator has called every face real"),
        ({"D(x)": 0.001, "D(G(z))": 0.999}, "the discriminator has been wrong about every face"),
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


def test_a_critic_has_no_probabilities_to_be_sure_of(model: GAN) -> None:
    critic = GAN(**SMALL, loss={"name": "wasserstein"}, normalise="spectral")
    critic.generator = model.generator
    health = Health(patience=2)
    for epoch in range(4):
        epoch_of(critic, health, epoch, **{"D(x)": 1.0, "D(G(z))": 1.0})
    assert health.warnings == []


def draw_the_same(model: GAN) -> None:
    with torch.no_grad():
        model.generator.spread.weight.zero_()


def test_the_same_face_again_and_again_is_a_collapse(model: GAN) -> None:
    health = Health(patience=2)
    epoch_of(model, health, 0)
    draw_the_same(model)
    for epoch in (1, 2):
        epoch_of(model, health, epoch)
    assert "its modes have collapsed" in health.warnings[0]


def test_first_weights_draw_grey_and_that_is_no_collapse_yet(model: GAN) -> None:
    draw_the_same(model)
    health = Health(patience=2)
    for epoch in range(5):
        epoch_of(model, health, epoch, steps=100)
    assert health.warnings == []
    for epoch in (10, 11):  # a thousand steps later it is
        epoch_of(model, health, epoch, steps=100)
    assert "its modes have collapsed" in health.warnings[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(model: GAN, value: float) -> None:
    sentence = (
        r"The generator loss became NaN or infinite in epoch 3.*Lower model.lr or model.discriminator_lr, or train in"
        r" float32.*The checkpoint of the last whole epoch was kept"
    )
    with pytest.raises(DivergenceError, match=sentence):
        epoch_of(model, Health(), 2, generator_loss=value)


def test_what_would_not_help_after_a_divergence_is_not_said(model: GAN) -> None:
    model._steps, model._sums = {"discriminator": 1}, {"discriminator_loss": torch.tensor(math.nan)}
    with pytest.raises(DivergenceError) as stop:
        Health().on_train_batch_end(trainer(0, precision="32-true", kept=False), model, None, batch(), 0)
    assert str(stop.value).endswith("Lower model.lr or model.discriminator_lr.")


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


@pytest.mark.parametrize(
    ("build", "settings", "sentence"),
    [
        (DistanceSettings, {"n_images": 2}, "task.distances.n_images=2 must be at least 3"),
        (DistanceSettings, {"every_n_epochs": 0}, "task.distances.every_n_epochs=0 must be at least 1"),
        (DistanceSettings, {"splits": ["train"]}, r"names 'train'; faces that are not .* of val and test\.$"),
        (DistanceSettings, {"splits": ["vla"]}, "names 'vla'.*Did you mean 'val'"),
        (DistanceSettings, {"splits": []}, "task.distances.splits is an empty list"),
        (SampleGrid, {"folder": "x", "n": 65}, "callbacks.samples.n=65"),
        (SampleGrid, {"folder": "x", "every_n_epochs": 0}, "callbacks.samples.every_n_epochs=0 must be at least 1"),
        (Health, {"check_every": 0}, "callbacks.health.check_every=0 must be at least 1"),
        (Health, {"patience": 0}, "callbacks.health.patience=0 must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(build: type, settings: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build(**settings)
