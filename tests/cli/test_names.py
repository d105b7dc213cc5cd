"""Optimizer and backbone names are recognised without importing their libraries."""

from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig
from torch.optim import Optimizer

from celeba_lab.cli.names import check_names, list_backbones, list_optimizers
from celeba_lab.errors import SettingError
from celeba_lab.models.classifier import backbones


def test_every_optimizer_of_torch_is_listed() -> None:
    of_torch = {name for name, value in vars(torch.optim).items() if isinstance(value, type)} - {Optimizer.__name__}
    assert set(list_optimizers()) == of_torch


def test_every_backbone_is_listed() -> None:
    assert set(list_backbones()) == set(backbones.list_backbones())


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.optimizer=Adm", "model.optimizer=Adm is not an optimizer in torch.optim. Did you mean 'Adam'?"),
        ("model.backbone=mobilnet_v2", "model.backbone=mobilnet_v2 is not a backbone. Did you mean 'mobilenet_v2'?"),
    ],
)
def test_a_misspelt_name_is_rejected(override: str, sentence: str, compose: Callable[..., DictConfig]) -> None:
    with pytest.raises(SettingError) as error:
        check_names(compose("experiment=smile", override))
    assert str(error.value) == sentence


def test_a_name_unlike_all_others_is_left_to_the_constructor(compose: Callable[..., DictConfig]) -> None:
    check_names(compose("experiment=smile", "model.backbone=tiny"))
    check_names(compose("experiment=clusters"))
