"""The best checkpoint after training."""

from pathlib import Path
from typing import Any

import torch

from celeba_lab.engine import checkpoints
from celeba_lab.engine.classifier import load_best
from celeba_lab.models.classifier.module import AttributeClassifier


def test_the_best_checkpoint_is_read_once(tmp_path: Path, trainer, save_in, monkeypatch) -> None:
    model = AttributeClassifier(["Smiling"], "shufflenet_v2_x0_5", image_size=32)
    saving = save_in(tmp_path, "best", monitor="val/loss")
    finished = trainer(saving)
    saving.best_model_path = str(tmp_path / "best.ckpt")
    content: dict[str, Any] = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams), "epoch": 4}
    torch.save(content, saving.best_model_path)
    read: list[Path] = []
    read_torch_file = checkpoints.read_torch_file
    monkeypatch.setattr(checkpoints, "read_torch_file", lambda path: read.append(path) or read_torch_file(path))
    best = load_best(finished, model)
    assert (best.epoch, best.checkpoint, best.model.training) == (5, tmp_path / "best.ckpt", False)
    weights = best.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert read == [tmp_path / "best.ckpt"]
