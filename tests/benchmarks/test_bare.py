"""The bare loops use the network, the optimizer and the loss of a checkpoint."""

from collections.abc import Callable
from pathlib import Path

import lightning as L
import pytest
import torch

from celeba_lab.benchmarks import bare
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN


def save(model: L.LightningModule, path: Path) -> Path:
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def classifier(made_once: Callable[..., Path]) -> Path:
    def make(folder: Path) -> None:
        save(AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=32, freeze=0.175), folder / "last.ckpt")

    return made_once("bare_classifier", make) / "last.ckpt"


def test_the_step_of_a_classifier_runs(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = bare.build_optimizer
    monkeypatch.setattr(bare, "build_optimizer", lambda *given: built.append(build(*given)) or built[-1])
    before = torch.load(classifier, weights_only=True)["state_dict"]
    assert bare.train_classifier(str(classifier), 8, 4, "cpu", "32-true")["step"] > 0
    [optimizer] = built
    assert type(optimizer).__name__ == "AdamW"
    weights = [tensor for group in optimizer.param_groups for tensor in group["params"]]
    assert any(not tensor.requires_grad for tensor in weights)  # the frozen stages
    moved = [tensor for tensor in weights if tensor.requires_grad and tensor.shape == (1, 1024)]
    assert not torch.equal(moved[0], before["head.weight"])


def test_epochs_with_other_frozen_layers_are_measured_separately(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"freeze": 0.175, "freeze_later": 0.29, "freeze_last": 0.75}
    path = save(AttributeClassifier(["Smiling"], image_size=32, **options), tmp_path / "last.ckpt")
    frozen, seconds = [], {18: 1.0, 30: 0.5, 78: 0.25}

    class Clock(bare.Clock):
        rate = property(lambda self: 1 / seconds[frozen[-1]], lambda self, value: None)

    freeze = AttributeClassifier.freeze_layers
    monkeypatch.setattr(bare, "Clock", Clock)
    monkeypatch.setattr(
        AttributeClassifier,
        "freeze_layers",
        lambda model, fraction: (freeze(model, fraction), frozen.append(len(model._frozen))),
    )
    found = bare.train_classifier(str(path), 2, 4, "cpu", "32-true", epochs=4)["step"]
    assert frozen[-3:] == [18, 30, 78]
    assert found == 4 / (1.0 + 0.5 + 0.5 + 0.25)


@pytest.mark.parametrize("joint", [True, False])
def test_the_step_of_a_gan_runs(tmp_path: Path, joint: bool) -> None:
    model = GAN(image_size=8, width=2, loss={"name": "relativistic"}, joint_batch=joint, augment={"color": 1.0})
    path = save(model, tmp_path / "last.ckpt")
    assert bare.train_gan(str(path), 4, 4, "cpu", "bf16-mixed")["step"] > 0


@pytest.mark.parametrize("folded", [True, False])
def test_faces_are_classified_with_and_without_batch_normalisation(
    classifier: Path, folded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(bare, "_average", lambda network, head, faces: seen.append((network, len(faces))))
    assert bare.classify(str(classifier), 256, "cpu", "32-true", folded)["mirrored"] > 0
    network, chunk = seen[0]
    assert any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.modules()) is not folded
    assert chunk == (16 if folded else 64)
    assert len(seen) * chunk == 256
