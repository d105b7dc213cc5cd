"""What can be wrong with a checkpoint is said in a sentence, and nothing in it is ever run."""

import pathlib
import re

import lightning as L
import numpy as np
import pytest
import torch

from celeba_lab.engine.checkpoints import load_classifier, read_checkpoint
from celeba_lab.errors import UserError
from celeba_lab.models.classifier.module import AttributeClassifier

NAMES = ["Smiling", "Male"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A checkpoint of two random attributes, as Lightning writes it."""
    path = tmp_path_factory.mktemp("checkpoints") / "best.ckpt"
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(AttributeClassifier(NAMES, "shufflenet_v2_x0_5", image_size=32, threshold=0.3))
    trainer.save_checkpoint(path)
    return path


def test_a_checkpoint_gives_its_model(checkpoint):
    model = load_classifier(str(checkpoint), "evaluate")
    assert model.attributes == NAMES
    assert model.hparams["threshold"] == 0.3
    assert not model.training
    stored = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, stored[key]) for key, value in model.state_dict().items())


def test_a_checkpoint_is_read_whole(checkpoint):
    content = read_checkpoint(str(checkpoint), "continue training")
    assert content["hyper_parameters"]["attributes"] == NAMES
    assert {"state_dict", "epoch", "global_step", "loops"} <= set(content)


def test_none_given():
    with pytest.raises(UserError, match=r"^To evaluate, name a checkpoint: checkpoint=outputs/"):
        load_classifier(None, "evaluate")


def test_no_such_file(tmp_path):
    path = tmp_path / "best.ckpt"
    with pytest.raises(UserError, match=rf"^checkpoint={re.escape(str(path))}: there is no such file\."):
        load_classifier(str(path), "evaluate")


def test_a_folder(tmp_path):
    with pytest.raises(UserError, match=r"is a folder\. Name the file in it: .*checkpoints/best\.ckpt$"):
        load_classifier(str(tmp_path), "evaluate")


def cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda _: b"<!DOCTYPE html><html>", cut, lambda _: b"PK\x03\x04", lambda _: bytes(1000)]
)
def test_a_damaged_file(tmp_path, checkpoint, damage):
    path = tmp_path / "best.ckpt"
    path.write_bytes(damage(checkpoint.read_bytes()))
    size = f"{path.stat().st_size:,} bytes"
    with pytest.raises(UserError, match=rf"best\.ckpt cannot be read \({size}; \w+\).* damaged or no checkpoint"):
        load_classifier(str(path), "evaluate")


def test_a_file_with_code_in_it_is_refused_not_run(tmp_path):
    class Attack:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "attacked",))

    path = tmp_path / "best.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": {"attributes": Attack()}}, path)
    with pytest.raises(UserError, match="cannot be read"):
        load_classifier(str(path), "evaluate")
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("content", [{"conv.weight": torch.zeros(2)}, torch.zeros(3), [1, 2], {"state_dict": {}}])
def test_something_else(tmp_path, content):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(UserError, match=r"is no Lightning checkpoint with hyperparameters.*model\.weights"):
        load_classifier(str(path), "evaluate")


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"generator.0.weight": torch.zeros(2)}, "hyper_parameters": {"latent": 100}},
        {"state_dict": {"generator.0.weight": torch.zeros(2)}, "hyper_parameters": {"attributes": ["Smiling"]}},
    ],
)
def test_a_checkpoint_of_another_kind(tmp_path, content):
    path = tmp_path / "gan.ckpt"
    torch.save(content, path)
    with pytest.raises(
        UserError, match=r"gan\.ckpt holds no attribute classifier\. To predict, give one of experiment=attributes\."
    ):
        load_classifier(str(path), "predict")


# -- guards: the reasons for reading a checkpoint ourselves before Lightning does --------------------------------------


def test_guard_an_empty_checkpoint_has_no_sentence(tmp_path):
    # Once torch says which file is empty, read_checkpoint may leave that to it.
    path = tmp_path / "best.ckpt"
    path.touch()
    with pytest.raises(EOFError) as caught:
        torch.load(path, weights_only=True)
    assert "best.ckpt" not in str(caught.value)


@pytest.mark.parametrize("value", [np.float64(0.5), pathlib.Path("x")])
def test_guard_hyperparameters_must_be_plain(tmp_path, value):
    # Once this loads, the plain types of AttributeClassifier's arguments are taste, not need.
    path = tmp_path / "model.ckpt"
    torch.save({"hyper_parameters": {"lr": value}}, path)
    with pytest.raises(Exception, match="Weights only load failed"):
        torch.load(path, weights_only=True)


def test_guard_resuming_past_the_end_is_silent(tmp_path):
    # Once Lightning objects, _read_unfinished in tasks/train.py need not.
    class Nothing(L.LightningModule):
        def training_step(self, batch, batch_idx):
            steps.append(batch_idx)

        def configure_optimizers(self):
            return None

    steps: list[int] = []
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    first = L.Trainer(max_epochs=2, enable_checkpointing=False, **options)
    first.fit(Nothing(), [0, 1])
    first.save_checkpoint(tmp_path / "last.ckpt")
    assert steps == [0, 1, 0, 1]
    again = L.Trainer(max_epochs=2, enable_checkpointing=False, **options)
    again.fit(Nothing(), [0, 1], ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert steps == [0, 1, 0, 1]
