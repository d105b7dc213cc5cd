"""Checkpoints from which training cannot be continued."""

from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch

from celeba_lab.engine.resume import load_resumable
from celeba_lab.errors import UserError
from celeba_lab.models.gan import GAN

SETTINGS = {"model": {}, "trainer": {"max_epochs": 5}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Checkpoint of a GAN with its weights only, as Lightning writes it with ``save_weights_only=true``."""
    model = GAN(image_size=16, width=4)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.strategy.connect(model)
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    trainer.save_checkpoint(path, weights_only=True)
    return path


@pytest.mark.parametrize("missing", ["nothing", "loops"])
def test_a_checkpoint_with_weights_only_is_rejected(checkpoint: Path, missing: str) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content.pop(missing, None)
    torch.save(content, checkpoint)
    run = SimpleNamespace(settings=SETTINGS | {"checkpoint": str(checkpoint)}, path=checkpoint.parents[1])
    with pytest.raises(UserError, match=r"last\.ckpt contains only weights, .* or start again without a checkpoint\.$"):
        load_resumable(run, "gan", [])


def test_a_checkpoint_with_optimizers_but_without_loops_is_rejected(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    torch.save({key: value for key, value in content.items() if key != "loops"} | {"optimizer_states": []}, checkpoint)
    run = SimpleNamespace(settings=SETTINGS | {"checkpoint": str(checkpoint)}, path=checkpoint.parents[1])
    with pytest.raises(UserError, match="contains only weights"):
        load_resumable(run, "gan", [])
