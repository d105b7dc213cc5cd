"""Warnings about the training of a GAN."""

import types

import pytest
import torch

from celeba_lab.engine.callbacks import Health
from celeba_lab.engine.callbacks.health import spread
from celeba_lab.errors import SettingError
from celeba_lab.models.gan.module import GAN

SMALL = {"image_size": 16, "latent_size": 8, "width": 4}


def at(epoch: int, steps: int = 1) -> types.SimpleNamespace:
    """Return a trainer at the given epoch, with the given number of steps per epoch."""
    return types.SimpleNamespace(current_epoch=epoch, is_global_zero=True, global_step=epoch * steps)


def batch(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"image": torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8, generator=generator)}


def epoch_of(model: GAN, health: Health, epoch: int, steps: int = 1, **means: float) -> None:
    """Simulate an epoch with the given means and number of steps."""
    model._steps = {"discriminator": 1, "generator": 1}
    usual = {"discriminator_loss": 1.0, "generator_loss": 1.0, "D(x)": 0.7, "D(G(z))": 0.3}
    model._sums = {name: torch.tensor(value) for name, value in (usual | means).items()}
    health.on_train_batch_end(at(epoch), model, None, batch(), 0)
    health.on_train_epoch_end(at(epoch, steps), model)


@pytest.fixture
def model() -> GAN:
    torch.manual_seed(0)
    gan = GAN(**SMALL)
    with torch.no_grad():  # A DCGAN's initial weights give grey images. Larger weights give images that differ.
        gan.generator.spread.weight.mul_(200)
        gan.generator.layers[-2].weight.mul_(200)
    return gan


def test_a_healthy_run_gives_no_warning(model: GAN) -> None:
    health = Health(patience=2)
    for epoch in range(5):
        epoch_of(model, health, epoch)
    assert health.warnings == []


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        (
            {"D(x)": 0.999, "D(G(z))": 0.001},
            "the discriminator has classified nearly every face correctly for 3 epochs",
        ),
        ({"D(x)": 0.001, "D(G(z))": 0.001}, "the discriminator has classified nearly every face as generated"),
        ({"D(x)": 0.999, "D(G(z))": 0.999}, "the discriminator has classified nearly every face as real"),
        ({"D(x)": 0.001, "D(G(z))": 0.999}, "the discriminator has misclassified nearly every face"),
    ],
)
def test_a_persistently_dominant_discriminator_gives_one_warning(model: GAN, means: dict, sentence: str) -> None:
    health = Health(patience=3)
    epoch_of(model, health, 0, **means)
    epoch_of(model, health, 1)  # this epoch interrupts the streak
    for epoch in range(2, 8):
        epoch_of(model, health, epoch, **means)
    assert len(health.warnings) == 1
    assert health.warnings[0].startswith("epoch 5: " + sentence)


def test_a_critic_gives_no_warning_about_probabilities(model: GAN) -> None:
    critic = GAN(**SMALL, loss={"name": "wasserstein"}, normalization="spectral")
    critic.generator = model.generator
    health = Health(patience=2)
    for epoch in range(4):
        epoch_of(critic, health, epoch, **{"D(x)": 1.0, "D(G(z))": 1.0})
    assert health.warnings == []


def draw_the_same(model: GAN) -> None:
    with torch.no_grad():
        model.generator.spread.weight.zero_()


def test_nearly_identical_samples_give_a_warning(model: GAN) -> None:
    health = Health(patience=2)
    epoch_of(model, health, 0)
    draw_the_same(model)
    for epoch in (1, 2):
        epoch_of(model, health, epoch)
    assert "This is mode collapse" in health.warnings[0]


def test_grey_samples_of_an_untrained_generator_give_no_warning(model: GAN) -> None:
    draw_the_same(model)
    health = Health(patience=2)
    for epoch in range(5):
        epoch_of(model, health, epoch, steps=100)
    assert health.warnings == []
    for epoch in (10, 11):  # after a thousand steps, grey samples count as mode collapse
        epoch_of(model, health, epoch, steps=100)
    assert "This is mode collapse" in health.warnings[0]


def test_the_health_state_is_restored_from_a_checkpoint(model: GAN) -> None:
    health, continued = Health(patience=3), Health(patience=3)
    for epoch in range(2):
        epoch_of(model, health, epoch, **{"D(x)": 1.0, "D(G(z))": 0.0})
    continued.load_state_dict(health.state_dict())
    epoch_of(model, continued, 2, **{"D(x)": 1.0, "D(G(z))": 0.0})
    assert len(continued.warnings) == 1


@pytest.mark.parametrize("changes", [{"real_spread": "wide"}, {"streaks": {"collapsed": "x"}}, {"warnings": 3}])
def test_an_invalid_health_state_is_rejected(changes: dict) -> None:
    with pytest.raises((ValueError, TypeError)):
        Health().load_state_dict(Health().state_dict() | changes)


def test_the_spread_of_faces_equals_values_computed_by_hand() -> None:
    assert spread(torch.full((4, 3, 8, 8), 9, dtype=torch.uint8)) == 0
    half = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    half[2:] = 100
    assert spread(half) == pytest.approx(50)


def test_invalid_settings_are_rejected() -> None:
    with pytest.raises(SettingError, match=r"^patience=0 must be at least 1"):
        Health(patience=0)
