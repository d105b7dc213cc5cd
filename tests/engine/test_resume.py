"""Runs are resumed only from a suitable checkpoint."""

from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch

from celeba_lab.console import console
from celeba_lab.engine.resume import load_resumable, show_progress_saved
from celeba_lab.errors import UserError
from celeba_lab.models.gan import GAN
from celeba_lab.runs.run import Run


def resumed(folder: Path, **changes) -> Run:
    """Return a resumed run in a folder."""
    settings = {"name": "gan", "seed": 1, "model": {"width": 4}, "trainer": {"max_epochs": 5}, "resume": str(folder)}
    return Run(folder, "train_gan", settings | changes)


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
    with pytest.raises(UserError, match=r"last\.ckpt contains only weights, so the run cannot be resumed\."):
        load_resumable(resumed(checkpoint.parents[1]), "gan", [])


def test_a_checkpoint_with_optimizers_but_without_loops_is_rejected(checkpoint: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    torch.save({key: value for key, value in content.items() if key != "loops"} | {"optimizer_states": []}, checkpoint)
    with pytest.raises(UserError, match="contains only weights"):
        load_resumable(resumed(checkpoint.parents[1]), "gan", [])


@pytest.fixture
def folder(checkpoint: Path) -> Path:
    """Folder of a run whose checkpoint was saved after two of five epochs."""
    content = torch.load(checkpoint, weights_only=True)
    progress = {"epoch_progress": {"current": {"processed": 2}}}
    torch.save(content | {"optimizer_states": [{}, {}], "callbacks": {}, "loops": {"fit_loop": progress}}, checkpoint)
    return checkpoint.parents[1]


def test_a_new_run_is_not_resumed(folder: Path) -> None:
    assert load_resumable(resumed(folder, resume=None), "gan", []) is None


def test_a_run_without_a_checkpoint_starts_from_the_beginning(tmp_path: Path) -> None:
    with console.capture() as printed:
        assert load_resumable(resumed(tmp_path), "gan", []) is None
    assert "no checkpoint was saved, so training starts from the beginning" in printed.get()


@pytest.mark.parametrize("max_epochs", [2, 3, -1, None])
def test_a_run_is_resumed_even_if_only_its_report_is_missing(folder: Path, max_epochs: int | None) -> None:
    found = load_resumable(resumed(folder, trainer={"max_epochs": max_epochs}), "gan", ["width"])
    assert found is not None
    assert Path(found.path) == folder / "checkpoints" / "last.ckpt"
    assert found.hyperparameters["width"] == 4


def saved_in(folder: str, best: object) -> dict:
    """Return the state of a ``ModelCheckpoint`` whose best checkpoint has this path."""
    paths = {"best_model_path": best, "kth_best_model_path": "", "last_model_path": "", "best_k_models": {}}
    return {"ModelCheckpoint": {"dirpath": folder, **paths}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer_states", [{}]),
        ("callbacks", saved_in("/run/checkpoints", "/home/thesis")),
        ("callbacks", saved_in("/run/checkpoints", "/home/best.ckpt")),
        ("callbacks", saved_in("/run/checkpoints", "/run/checkpoints/..")),
        ("callbacks", saved_in("/run/checkpoints", "/run/checkpoints/../best.ckpt")),
        ("callbacks", saved_in("/run/checkpoints", "/run/checkpoints")),
        ("callbacks", saved_in("/run/checkpoints", 3)),
        ("loops", {"fit_loop": {"epoch_progress": {}}}),
        ("loops", {"fit_loop": {"epoch_progress": {"current": {"processed": "two"}}}}),
        ("events", "many"),
        ("callbacks", None),
        ("events", {"sizes": {"events.out.tfevents.1": "large"}}),
    ],
)
def test_a_checkpoint_with_a_damaged_state_is_rejected(folder: Path, key: str, value: object) -> None:
    last = folder / "checkpoints" / "last.ckpt"
    torch.save(torch.load(last, weights_only=True) | {key: value}, last)
    with pytest.raises(UserError, match=r"last\.ckpt is damaged \(.*, so the run cannot be resumed\.$"):
        load_resumable(resumed(folder), "gan", [])


def test_the_paths_of_a_run_that_has_been_moved_are_accepted(folder: Path) -> None:
    last = folder / "checkpoints" / "last.ckpt"
    state = saved_in("/old/checkpoints", "/old/checkpoints/best.ckpt")
    torch.save(torch.load(last, weights_only=True) | {"callbacks": state}, last)
    assert load_resumable(resumed(folder), "gan", []) is not None


def test_the_number_of_epochs_cannot_be_lowered(folder: Path) -> None:
    with pytest.raises(UserError, match=r"already been trained for 2 epochs, so trainer\.max_epochs=1 is too low\."):
        load_resumable(resumed(folder, trainer={"max_epochs": 1}), "gan", [])


def test_a_checkpoint_of_another_model_is_rejected(folder: Path) -> None:
    with pytest.raises(UserError, match=r"was trained with model\.width=4, not 8, so the run cannot be resumed\."):
        load_resumable(resumed(folder, model={"width": 8}), "gan", ["width"])
    with pytest.raises(UserError, match="classifier"):
        load_resumable(resumed(folder), "classifier", [])


def test_a_stopped_run_says_whether_its_state_was_saved(folder: Path) -> None:
    trainer = SimpleNamespace(current_epoch=2)
    with console.capture() as printed:
        show_progress_saved(resumed(folder), trainer)
        (folder / "checkpoints" / "last.ckpt").unlink()
        show_progress_saved(resumed(folder), trainer)
    assert printed.get().splitlines() == [
        "training was stopped in epoch 3; its state was saved",
        "training was stopped in epoch 3; no training step was completed",
    ]
