"""Invalid Trainer settings are rejected before the Trainer is built."""

from collections.abc import Callable
from copy import deepcopy
from typing import get_args

import pytest
from omegaconf import DictConfig

from celeba_lab.cli.trainer import check_trainer
from celeba_lab.config import import_signature
from celeba_lab.errors import SettingError


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("trainer.accumulate_grad_batches=0", "must be at least 1."),
        ("trainer.limit_train_batches=0", "must be above 0."),
        ("trainer.limit_test_batches=0.0", "must be above 0."),
        ("trainer.gradient_clip_val=-1", "must be at least 0."),
        ("trainer.check_val_every_n_epoch=0", "must be at least 1."),
        ("trainer.max_epochs=0", "must be at least 1, or -1 for no limit."),
        ("trainer.max_steps=-2", "must be at least 1, or -1 for no limit."),
        ("trainer.devices=0", "must be at least 1, or -1 for all devices."),
        ("trainer.num_nodes=0", "must be at least 1."),
        ("trainer.gradient_clip_val=inf", "must be at least 0 and finite."),
    ],
)
def test_a_number_out_of_range_is_rejected(override: str, rule: str, compose: Callable[..., DictConfig]) -> None:
    with pytest.raises(SettingError) as error:
        check_trainer(_composed(compose, override))
    assert str(error.value) == f"{override.replace('0.0', '0')} {rule}"


@pytest.mark.parametrize("unit", ["epochs", "steps"])
def test_limits_that_contradict_each_other_are_rejected(unit: str, compose: Callable[..., DictConfig]) -> None:
    with pytest.raises(SettingError, match=rf"^trainer\.min_{unit}=5 must be at most trainer\.max_{unit}=4\.$"):
        check_trainer(_composed(compose, f"trainer.min_{unit}=5", f"trainer.max_{unit}=4"))
    for most in ("5", "-1"):
        check_trainer(_composed(compose, f"trainer.min_{unit}=5", f"trainer.max_{unit}={most}"))


@pytest.mark.parametrize("trainer", ["auto", "cpu", "gpu", "ddp", "smoke"])
def test_the_trainers_of_the_configuration_are_accepted(trainer: str, compose: Callable[..., DictConfig]) -> None:
    check_trainer(_composed(compose, f"trainer={trainer}"))
    check_trainer(_composed(compose, f"trainer={trainer}", "trainer.devices=[0,1]", "trainer.max_epochs=-1"))


def test_a_task_without_a_trainer_is_accepted(compose: Callable[..., DictConfig]) -> None:
    check_trainer(compose("experiment=clusters"))


def test_every_number_of_the_trainer_has_a_range(compose: Callable[..., DictConfig]) -> None:
    """A numeric setting that a new version of Lightning adds to the Trainer must be added to the ranges."""
    hints = import_signature("lightning.Trainer").hints
    accepted = []
    composed = _composed(compose)
    for name in set(hints) & set(composed.trainer):
        cfg = deepcopy(composed)
        cfg.trainer[name] = -(10**9)
        try:
            check_trainer(cfg)
        except SettingError:
            continue
        if {int, float} & {hints[name], *get_args(hints[name])}:
            accepted.append(name)
    assert accepted == []


def _composed(compose: Callable[..., DictConfig], *overrides: str) -> DictConfig:
    cfg = compose("experiment=smile", *overrides)
    cfg.trainer.default_root_dir = "run"  # The default can be resolved only during a run.
    return cfg
