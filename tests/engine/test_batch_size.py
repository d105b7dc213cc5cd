"""The batch size that is chosen for a device, and the settings that depend on it."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from celeba_lab.engine import batch_size
from celeba_lab.engine.batch_size import choose_batch_size
from celeba_lab.models.classifier.backbones import list_backbones

CELEBA = 162_770  # training images


@pytest.fixture
def settings(compose):
    """``settings(*overrides)`` returns the settings of a smile classifier."""

    def read(*overrides: str) -> DictConfig:
        cfg = compose("experiment=smile", *overrides)
        cfg.trainer.default_root_dir = None
        OmegaConf.set_struct(cfg, False)
        return cfg

    return read


@pytest.fixture
def gpu(monkeypatch):
    """A GPU with 80 GiB of memory. ``gpu(memory)`` changes the memory, in GiB."""

    def use(memory: float) -> None:
        properties = SimpleNamespace(total_memory=memory * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)

    monkeypatch.setattr(batch_size, "choose_device", lambda trainer: torch.device("cuda", 0))
    monkeypatch.setattr(batch_size, "count_processes", lambda trainer: int(trainer.devices))
    use(80)
    return use


@pytest.fixture
def chosen(recorder):
    """``chosen(cfg, images)`` chooses a batch size, and returns the run and the batch size of the data."""

    def choose(cfg: DictConfig, images: int = CELEBA, overrides: Sequence[str] = ()) -> tuple[Any, int]:
        run, data = recorder(*overrides), SimpleNamespace(batch_size=cfg.data.batch_size, counts={"train": images})
        choose_batch_size(run, cfg, data)
        return run, data.batch_size

    return choose


def test_batches_of_256_keep_a_gpu_busy(chosen, settings, gpu, capsys):
    cfg = settings("trainer.devices=1")
    before = OmegaConf.to_container(cfg)
    run, size = chosen(cfg)
    assert size == cfg.data.batch_size == 256
    assert cfg.model.lr == 5.7e-3  # 2e-3 * sqrt(8)
    assert cfg.callbacks.ema.decay == 0.923  # 0.99 ** 8
    average = {**before["callbacks"]["ema"], "decay": 0.923}
    assert run.recorded == {("data", "batch_size"): 256, ("model", "lr"): 5.7e-3, ("callbacks", "ema"): average}
    assert capsys.readouterr().out == (
        "batches: 256 faces instead of 32, which keep this GPU busy, with a learning rate of 0.0057 and"
        " averaged weights with a decay of 0.923. data.batch_size=32 keeps these settings as they were.\n"
    )


def test_nothing_else_changes_without_averaged_weights(chosen, settings, gpu, capsys):
    run, size = chosen(settings("trainer.devices=1", "~callbacks.ema"))
    assert (size, set(run.recorded)) == (256, {("data", "batch_size"), ("model", "lr")})
    assert "with a learning rate of 0.0057." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("images", "memory", "overrides", "expected"),
    [
        (128_000, 80, (), 256),
        (127_999, 80, (), 128),
        (32_000, 80, (), 64),
        (6_400, 80, (), 32),
        (CELEBA, 8, (), 128),
        (CELEBA, 8, ("model.image_size=64",), 256),
        (CELEBA, 80, ("trainer.devices=2",), 128),
        (CELEBA, 80, ("model.backbone=resnet18",), 256),
        (CELEBA, 80, ("model.backbone=resnet50",), 32),
        (CELEBA, 80, ("callbacks=[default,batch_size_finder]",), 32),
        (CELEBA, 80, ("callbacks=[default,lr_finder]",), 32),
    ],
)  # fmt: skip
def test_the_size_suits_the_data_the_gpu_and_the_network(chosen, settings, gpu, images, memory, overrides, expected):
    gpu(memory)
    run, size = chosen(settings("trainer.devices=1", *overrides), images)
    assert (size, run.recorded["data", "batch_size"]) == (expected, expected)


@pytest.mark.parametrize("override", ["model.lr=1e-3", "+callbacks.ema.decay=0.9"])
def test_a_value_that_is_meant_for_batches_of_32_is_left_alone(chosen, settings, gpu, override, capsys):
    cfg = settings("trainer.devices=1", override.lstrip("+"))
    before = OmegaConf.to_container(cfg)
    run, size = chosen(cfg, overrides=["experiment=smile", override])
    assert (size, run.recorded) == (32, {("data", "batch_size"): 32})
    assert OmegaConf.to_container(cfg) == before | {"data": before["data"] | {"batch_size": 32}}
    assert capsys.readouterr().out == ""


def test_a_cpu_uses_batches_of_32(chosen, settings, capsys):
    cfg = settings("trainer=cpu")
    run, size = chosen(cfg)
    assert (size, run.recorded) == (32, {("data", "batch_size"): 32})
    assert cfg.model.lr == 2e-3
    assert capsys.readouterr().out == ""


def test_the_size_of_every_backbone_is_known():
    small = {name for name in list_backbones() if batch_size._is_small(name)}
    assert {"mobilenet_v2", "resnet18", "squeezenet1_1", "efficientnet_b0"} <= small
    assert not {"resnet50", "vit_b_16", "vgg11"} & small
    assert not batch_size._is_small("my_network")


@pytest.mark.parametrize("override", ["data.batch_size=32", "data.batch_size=64", "recipe=notebook"])
def test_a_given_size_is_used_as_it_is(chosen, settings, gpu, override):
    cfg = settings("trainer.devices=1", override)
    lr = cfg.model.lr
    run, size = chosen(cfg)
    assert (size, run.recorded, cfg.model.lr) == (cfg.data.batch_size, {}, lr)
