"""Training is continued only from a suitable checkpoint in the folder of the run."""

from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch

from celeba_lab.console import console
from celeba_lab.engine.resume import load_resumable, show_how_to_continue
from celeba_lab.errors import UserError
from celeba_lab.models.gan import GAN

SETTINGS = {"model": {}, "trainer": {"max_epochs": 5}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Weights-only GAN checkpoint, as written by Lightning with ``save_weights_only=true``."""
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


@pytest.fixture
def run(checkpoint: Path) -> SimpleNamespace:
    """A run whose checkpoint was saved after two of five epochs."""
    content = torch.load(checkpoint, weights_only=True)
    progress = {"epoch_progress": {"current": {"processed": 2}}}
    torch.save(content | {"optimizer_states": [], "loops": {"fit_loop": progress}}, checkpoint)
    settings = {"model": {"width": 4}, "trainer": {"max_epochs": 5}, "checkpoint": str(checkpoint)}
    return SimpleNamespace(settings=settings, path=checkpoint.parents[1])


def test_nothing_is_continued_without_a_checkpoint() -> None:
    assert load_resumable(SimpleNamespace(settings={"checkpoint": None}), "gan", []) is None


@pytest.mark.parametrize("max_epochs", [3, -1, None])
def test_a_checkpoint_with_epochs_left_is_continued(run: SimpleNamespace, max_epochs: int | None) -> None:
    run.settings["trainer"]["max_epochs"] = max_epochs
    found = load_resumable(run, "gan", ["width"])
    assert found is not None
    assert found.path == run.settings["checkpoint"]
    assert found.hyperparameters["width"] == 4


def test_a_checkpoint_that_has_been_trained_completely_is_rejected(run: SimpleNamespace) -> None:
    run.settings["trainer"]["max_epochs"] = 2
    with pytest.raises(UserError, match=r"already been trained for 2 epochs, and trainer\.max_epochs is 2\."):
        load_resumable(run, "gan", [])


def test_a_checkpoint_of_another_model_is_rejected(run: SimpleNamespace) -> None:
    run.settings["model"]["width"] = 8
    with pytest.raises(UserError, match=r"was trained with model\.width=4, not 8\."):
        load_resumable(run, "gan", ["width"])
    with pytest.raises(UserError, match="classifier"):
        load_resumable(run, "classifier", [])


def test_a_checkpoint_in_another_folder_is_rejected(run: SimpleNamespace, tmp_path: Path) -> None:
    run.path = tmp_path / "other"
    with pytest.raises(UserError, match=r"must be continued in its own run folder.* add hydra\.run\.dir=.*run$"):
        load_resumable(run, "gan", [])


def test_the_command_to_continue_replaces_the_old_checkpoint(run: SimpleNamespace) -> None:
    run.overrides = ["experiment=gan", "checkpoint=old.ckpt"]
    run.show = lambda commands: shown.extend(commands)
    shown: list[tuple[str, str]] = []
    trainer = SimpleNamespace(current_epoch=2)
    with console.capture() as printed:
        show_how_to_continue(run, trainer)
    assert printed.get() == "training was stopped in epoch 3\n"
    [(purpose, command)] = shown
    assert purpose == "continue"
    assert command.startswith("python -m celeba_lab experiment=gan checkpoint=")
    assert "old.ckpt" not in command
    assert f"hydra.run.dir={run.path}" in command
    (run.path / "checkpoints" / "last.ckpt").unlink()
    with console.capture() as printed:
        show_how_to_continue(run, trainer)
    assert "nothing to continue" in printed.get()
    assert len(shown) == 1
