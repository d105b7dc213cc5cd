"""Strategy, precision and labels of GAN training."""

from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
from lightning.pytorch.strategies import DDPStrategy
from omegaconf import DictConfig

from celeba_lab.config import build
from celeba_lab.engine.build import build_trainer
from celeba_lab.engine.gan import (
    check_gan_trainer,
    set_apart_distances,
    set_training_data,
    strategy_for_two_networks,
)
from celeba_lab.errors import UserError
from celeba_lab.models.gan.module import GAN

_SEARCHING = "ddp_find_unused_parameters_true"


@pytest.fixture
def settings(compose) -> DictConfig:
    """A small GAN on the CPU, without a run folder."""
    return compose("experiment=gan", "trainer=cpu", "trainer.default_root_dir=null", "model.width=4")


@pytest.mark.parametrize(
    ("strategy", "devices", "expected"),
    [
        ("auto", 1, "auto"),
        ("auto", 2, _SEARCHING),
        ("ddp", 2, _SEARCHING),
        ("ddp_find_unused_parameters_false", 2, _SEARCHING),
        (_SEARCHING, 2, _SEARCHING),
        ("ddp_spawn", 2, "ddp_spawn_find_unused_parameters_true"),
        ("single_device", 1, "single_device"),
    ],
)
def test_the_ddp_strategy_finds_unused_parameters(
    settings: DictConfig, strategy: str, devices: int, expected: str
) -> None:
    settings.trainer.strategy, settings.trainer.devices = strategy, devices
    assert strategy_for_two_networks(settings.trainer) == expected


def test_a_trainer_with_several_processes_uses_the_ddp_strategy(settings: DictConfig) -> None:
    settings.trainer.devices = 2
    trainer = build_trainer(settings.trainer, strategy=strategy_for_two_networks(settings.trainer))
    assert isinstance(trainer.strategy, DDPStrategy)
    assert trainer.strategy._ddp_kwargs["find_unused_parameters"] is True


def test_a_configured_strategy_keeps_its_arguments(settings: DictConfig) -> None:
    settings.trainer.strategy = {
        "_target_": "lightning.pytorch.strategies.DDPStrategy",
        "gradient_as_bucket_view": True,
    }
    strategy: Any = strategy_for_two_networks(settings.trainer)
    assert strategy._ddp_kwargs == {"gradient_as_bucket_view": True, "find_unused_parameters": True}


@pytest.mark.parametrize(
    ("precision", "strategy", "changes", "sentence"),
    [
        ("16-true", None, {}, "trainer.precision=16-true is not precise enough"),
        ("bf16-true", None, {}, "Use trainer.precision=bf16-mixed or 32-true"),
        ("64-true", None, {}, "trainer.precision=64-true is not supported for training"),
        ("16-mixed", None, {"r1": 1.0}, "cannot be combined with a gradient penalty"),
        ("32-true", "FSDPStrategy", {}, "trainer.strategy: FSDPStrategy supports only one network"),
        ("32-true", None, {"accumulate": 2}, "trainer.accumulate_grad_batches=2 is not supported for a GAN"),
        ("32-true", None, {"clip": 1.0}, "trainer.gradient_clip_val=1 is not supported for a GAN"),
        ("32-true", None, {"clip": 0}, None),
        ("16-mixed", None, {}, None),
        ("32-true", None, {"r1": 1.0}, None),
    ],
)
def test_unsupported_training_settings_are_rejected(
    settings: DictConfig, precision: str, strategy: str | None, changes: dict[str, Any], sentence: str | None
) -> None:

    used = object() if strategy is None else object.__new__(getattr(L.pytorch.strategies, strategy))
    accumulation = changes.get("accumulate", 1)
    clipping = changes.get("clip")
    model: GAN = build(settings.model, normalization="spectral", **{k: v for k, v in changes.items() if k == "r1"})
    trainer: Any = SimpleNamespace(
        precision=precision, strategy=used, accumulate_grad_batches=accumulation, gradient_clip_val=clipping
    )
    if sentence is None:
        check_gan_trainer(trainer, model)
        return
    with pytest.raises(UserError, match=sentence):
        check_gan_trainer(trainer, model)


@pytest.mark.parametrize("conditional", [False, True])
def test_a_gan_stores_its_training_dataset_and_labels(settings: DictConfig, conditional: bool) -> None:
    labels = np.array([[1], [0], [1]], dtype=np.uint8)
    data: Any = SimpleNamespace(name="celeba", split_indices=lambda split: split, labels=lambda split: labels)
    model: GAN = build(settings.model, conditional=conditional, attributes=["Smiling"])
    set_training_data(model, data)
    assert model.trained_on == "celeba"
    if conditional:
        np.testing.assert_array_equal(model.training_labels, labels)


def test_time_spent_on_distances_is_not_counted_as_training() -> None:
    seconds = {"training": 10.0}
    schedule: Any = SimpleNamespace(seconds=2.5)
    set_apart_distances(seconds, schedule)
    assert seconds == {"training": 7.5, "distances": 2.5}
    unmeasured: dict[str, float] = {}
    set_apart_distances(unmeasured, schedule)
    assert unmeasured == {}
