"""A classifier starts from the right weights with the right frozen layers, and is reported at its best epoch."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from celeba_lab.engine.callbacks import EpochLog
from celeba_lab.engine.classifier import build_classifier, check_unfreezing, load_best
from celeba_lab.engine.resume import Resumable
from celeba_lab.errors import UserError
from celeba_lab.models.classifier.module import AttributeClassifier

SMALL = "shufflenet_v2_x0_5"


def settings(**changes: object) -> DictConfig:
    return OmegaConf.create(
        {
            "_target_": "celeba_lab.models.classifier.AttributeClassifier",
            "attributes": ["Smiling"],
            "backbone": SMALL,
            "image_size": 32,
            "freeze": 0.5,
            **changes,
        }
    )


def test_random_weights_are_never_frozen() -> None:
    model, origin = build_classifier(settings(weights=None), [0.5])
    assert origin == "random weights (model.weights=null)"
    assert model.hparams["freeze"] == 0


def test_pretrained_weights_are_loaded_and_the_configured_layers_frozen(tmp_path: Path) -> None:
    network = AttributeClassifier(["Smiling"], SMALL, image_size=32).backbone.network
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    model, origin = build_classifier(settings(weights=str(tmp_path / "weights.pth")), [0.5])
    assert str(tmp_path / "weights.pth") in origin
    assert model.hparams["freeze"] == 0.5
    loaded = model.backbone.network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())


def test_a_resumed_classifier_keeps_the_frozen_layers_of_its_checkpoint() -> None:
    resumable = Resumable("run/checkpoints/last.ckpt", {"freeze": 0.0})
    model, origin = build_classifier(settings(weights="no such weights"), [0.5], resumable)
    assert model.hparams["freeze"] == 0
    assert origin == "continued from run/checkpoints/last.ckpt"


@pytest.mark.parametrize(("processes", "epoch", "is_rejected"), [(1, 2, False), (2, None, False), (2, 2, True)])
def test_layers_are_unfrozen_only_in_a_single_process(processes: int, epoch: int | None, is_rejected: bool) -> None:
    model, trainer = SimpleNamespace(hparams={"unfreeze_epoch": epoch}), SimpleNamespace(world_size=processes)
    if not is_rejected:
        check_unfreezing(model, trainer)
    else:
        with pytest.raises(UserError, match=r"model\.unfreeze_epoch=2 cannot be used with 2 processes"):
            check_unfreezing(model, trainer)


def test_the_best_checkpoint_is_loaded_with_the_metrics_of_its_epoch(tmp_path: Path, trainer) -> None:
    best = AttributeClassifier(["Smiling"], SMALL, image_size=32)
    saving = trainer()
    saving.strategy.connect(best)
    saving.save_checkpoint(tmp_path / "best.ckpt")  # of epoch 1, because no epoch was completed
    monitoring = ModelCheckpoint(tmp_path, monitor="val/accuracy")
    monitoring.best_model_path = str(tmp_path / "best.ckpt")
    log = EpochLog()
    log.rows = {1: {"train/loss": 0.5, "val/loss": 0.6}, 2: {"train/loss": 0.4, "val/loss": 0.7}}
    fitted = SimpleNamespace(callbacks=[log, monitoring], checkpoint_callbacks=[monitoring])
    last = AttributeClassifier(["Smiling"], SMALL, image_size=32)
    found = load_best(fitted, last)
    assert (found.checkpoint, found.epoch) == (tmp_path / "best.ckpt", 1)
    assert found.training_metrics == {"train/loss": 0.5}
    assert all(torch.equal(value, best.state_dict()[name]) for name, value in found.model.state_dict().items())


def test_the_last_weights_are_reported_if_no_checkpoint_was_saved(tmp_path: Path) -> None:
    log = EpochLog()
    log.rows = {1: {"train/loss": 0.5}, 2: {"train/loss": 0.4}}
    unmonitored = ModelCheckpoint(tmp_path)
    unmonitored.best_model_path = str(tmp_path / "last.ckpt")
    fitted = SimpleNamespace(callbacks=[log, unmonitored], checkpoint_callbacks=[unmonitored])
    model = SimpleNamespace()
    found = load_best(fitted, model)
    assert (found.model, found.checkpoint, found.epoch) == (model, None, 2)
    assert found.training_metrics == {"train/loss": 0.4}
