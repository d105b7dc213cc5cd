"""Runs that diverge in their second epoch keep the checkpoint of the first."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# A user's callback, in a file in the working directory.
BREAKING = """
import math
import torch
from lightning.pytorch.callbacks import Callback

class Break(Callback):
    def __init__(self, by_ctrl_c: bool = False) -> None:
        self.by_ctrl_c = by_ctrl_c

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 1):
            with torch.no_grad():
                next(pl_module.parameters()).fill_(math.nan)
            if self.by_ctrl_c:
                raise KeyboardInterrupt
"""
GAN = [
    "experiment=gan", "trainer=cpu", "~callbacks.progress_bar", "~callbacks.model_summary", "data.batch_size=8",
    "model.width=4", "model.image_size=16", "recipe.max_epochs=3", "task.distances=null", "recipe.precision=32-true",
]  # fmt: skip


@pytest.fixture
def diverge(small: list[str], run_command, tiny_celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``diverge(model, by_ctrl_c)`` runs an experiment whose model's weights become NaN after step 2 of epoch 2."""
    (tmp_path / "breaking.py").write_text(BREAKING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "breaking", raising=False)

    def run(model: str, by_ctrl_c: bool = False):
        arguments = GAN if model == "gan" else [*small, *(["recipe=notebook"] if model == "classifier" else [])]
        broken = ["+callbacks.break._target_=breaking.Break", f"+callbacks.break.by_ctrl_c={by_ctrl_c}"]
        return run_command(*arguments, *broken, f"data.root={tiny_celeba}", "hydra.run.dir=run", cwd=tmp_path)

    return run


def not_finite(path: Path) -> list[str]:
    """Return the names of the tensors in a checkpoint that contain NaN or infinity."""
    content = torch.load(path, weights_only=True)
    states = content["state_dict"] | {f"raw {k}": value for k, value in content.get("current_model_state", {}).items()}
    return [name for name, value in states.items() if not value.isfinite().all()]


def assert_first_epoch_is_kept(folder: Path, model: str) -> None:
    for path in (folder / "checkpoints").iterdir():
        assert not_finite(path) == [], path
        content = torch.load(path, weights_only=True)
        assert (content["epoch"], content["global_step"]) == (0, 4), path
        assert ("current_model_state" in content) == (model == "averaged classifier")
    names = {path.name for path in (folder / "checkpoints").iterdir()}
    assert names == ({"last.ckpt"} if model == "gan" else {"best.ckpt", "last.ckpt"})


@pytest.mark.parametrize("model", ["classifier", pytest.param("averaged classifier", marks=pytest.mark.slow), "gan"])
def test_the_checkpoint_of_the_first_epoch_is_kept_and_the_error_names_the_second(
    model: str, diverge, tmp_path: Path
) -> None:
    result = diverge(model)
    assert result.returncode == 1
    [sentence] = [line for line in result.stderr.splitlines() if "error" in line]
    losses = "discriminator loss and the generator loss are" if model == "gan" else "loss is"
    assert f"celeba_lab: error: Training diverged in epoch 2, step 8: the {losses} NaN or infinite. Lower" in sentence
    assert "the earlier checkpoint run/checkpoints/last.ckpt was not overwritten" in result.stdout
    assert_first_epoch_is_kept(tmp_path / "run", model)
    assert pd.read_csv(tmp_path / "run" / "tables" / "history.csv")["epoch"].tolist() == [1]
    metric = "~train/generator_loss" if model == "gan" else "val/accuracy"
    scalars = EventAccumulator(str(tmp_path / "run")).Reload().Scalars(metric)
    assert [scalar.step for scalar in scalars] == [3]
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize("model", [pytest.param("averaged classifier", marks=pytest.mark.slow), "gan"])
def test_ctrl_c_does_not_save_diverged_weights(model: str, diverge, tmp_path: Path) -> None:
    result = diverge(model, by_ctrl_c=True)
    assert result.returncode == 130
    assert "the earlier checkpoint run/checkpoints/last.ckpt was not overwritten" in result.stdout
    assert_first_epoch_is_kept(tmp_path / "run", model)
