"""Callbacks that cannot be used together, or with this model or device, are refused before a run starts."""

import importlib.util
from types import SimpleNamespace

import pytest
import torch

from celeba_lab.engine.callback_rules import check_callbacks
from celeba_lab.errors import UserError

ON_CPU = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu")))


def check(compose, *overrides: str, trainer=ON_CPU) -> None:
    cfg = compose(*overrides)
    kind = "gan" if str(cfg.model._target_).endswith("GAN") else "classifier"
    check_callbacks(cfg.callbacks, trainer, kind)


@pytest.mark.parametrize(
    ("piece", "sentence"),
    [
        ("lr_finder", "callbacks.lr_finder searches for the learning rate of one optimizer, but a GAN has two"),
        ("accumulation", "callbacks.accumulation cannot accumulate gradients, because a GAN steps its optimizers"),
        ("swa", "callbacks.swa would average both networks, but a GAN averages only its generator (model.ema)."),
    ],
)
def test_a_gan_refuses_callbacks_for_one_optimizer(compose, piece: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        check(compose, "experiment=gan", f"callbacks=[gan,{piece}]")
    assert str(caught.value).startswith(sentence)
    assert str(caught.value).endswith(f" Remove it: callbacks.{piece}=null")


@pytest.mark.parametrize("piece", ["early_stopping", "batch_size_finder", "throughput"])
def test_a_gan_accepts_the_other_callbacks(compose, piece: str) -> None:
    check(compose, "experiment=gan", f"callbacks=[gan,{piece}]")


def test_a_gan_has_no_metrics_of_the_validation(compose) -> None:
    with pytest.raises(UserError, match=r"^callbacks\.best\.monitor=val/accuracy is not a metric of a GAN"):
        check(compose, "experiment=gan", "callbacks=[default,early_stopping]")


@pytest.mark.parametrize("monitor", ["heldout/kid/ema", "heldout/kdi"])
def test_a_gan_has_only_the_distances_of_the_reported_weights(compose, monitor: str) -> None:
    with pytest.raises(UserError) as caught:
        check(
            compose, "experiment=gan", "callbacks=[gan,early_stopping]", f"callbacks.early_stopping.monitor={monitor}"
        )
    assert str(caught.value) == (
        f"callbacks.early_stopping.monitor={monitor} is not a metric of a GAN, which has no validation. Choose"
        " heldout/kid, heldout/fid or a metric of training."
    )


def test_the_weights_are_averaged_once(compose) -> None:
    with pytest.raises(UserError) as caught:
        check(compose, "experiment=smile", "callbacks=[default,swa]")
    assert str(caught.value) == (
        "callbacks.swa and callbacks.ema both average the weights. Remove one of them: callbacks.ema=null"
    )
    check(compose, "experiment=smile", "callbacks=[default,swa]", "callbacks.ema=null")


@pytest.mark.parametrize("is_installed", [True, False])
def test_the_load_of_the_cpu_needs_a_library(compose, monkeypatch, is_installed: bool) -> None:
    find = importlib.util.find_spec
    found = object() if is_installed else None
    monkeypatch.setattr(
        "celeba_lab.engine.callback_rules.find_spec", lambda name: found if name == "psutil" else find(name)
    )
    arguments = ["experiment=smile", "callbacks=[default,device_stats]"]
    on_gpu = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cuda")))
    check(compose, *arguments, trainer=on_gpu)
    if is_installed:
        check(compose, *arguments)
        return
    with pytest.raises(UserError, match=r"^callbacks\.device_stats on the CPU needs libraries .*celeba-lab\[device-st"):
        check(compose, *arguments)
