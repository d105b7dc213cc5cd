"""The last checkpoint is saved often enough, and never replaced by a state that cannot be resumed."""

import errno
import os
import shutil

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from celeba_lab.engine.callbacks import BestCheckpoint, LastCheckpoint
from celeba_lab.engine.checkpoint_io import AtomicCheckpointIO
from celeba_lab.errors import SettingError, UserError


class FailAt(Callback):
    """Raise an error in a hook of the second epoch."""

    def __init__(self, hook: str, error: BaseException) -> None:
        def fail(trainer, *_, **__):
            if trainer.current_epoch == 1:
                raise error

        setattr(self, hook, fail)


def content(path):
    return torch.load(path, weights_only=True)


def test_the_interval_is_checked():
    with pytest.raises(SettingError, match=r"every_n_minutes=0 must be above 0"):
        LastCheckpoint(every_n_minutes=0)


def test_the_name_of_the_last_checkpoint_contains_no_metrics():
    with pytest.raises(SettingError, match=r"^filename='?\{epoch\}'? must not contain braces\."):
        LastCheckpoint(filename="{epoch}")


def test_a_long_epoch_is_saved_every_few_minutes(tmp_path, toy, numbers, trainer, monkeypatch):
    minutes = iter(range(100))
    monkeypatch.setattr("celeba_lab.engine.callbacks.checkpoints.monotonic", lambda: 60 * next(minutes))
    steps = []

    class Watch(LastCheckpoint):
        def _save_checkpoint(self, trainer, filepath):
            super()._save_checkpoint(trainer, filepath)
            steps.append(trainer.global_step)

    trainer(Watch(tmp_path, every_n_minutes=2)).fit(toy(), numbers(7))
    assert steps == [2, 4, 6, 7], "the clock advances by one minute per step and by one per checkpoint"


def test_epochs_without_validation_are_saved(tmp_path, toy, numbers, trainer):
    fit = trainer(LastCheckpoint(tmp_path), max_epochs=3, check_val_every_n_epoch=2)
    fit.fit(toy(), numbers(2), numbers(1))
    assert content(tmp_path / "last.ckpt")["epoch"] == 2


def test_an_error_at_the_end_of_an_epoch_keeps_the_checkpoint_of_the_epoch_before(tmp_path, toy, numbers, trainer):
    """The callbacks after the failing one have not seen the epoch, so it must be repeated."""
    fit = trainer(FailAt("on_train_epoch_end", InterruptedError()), LastCheckpoint(tmp_path), max_epochs=2)
    with pytest.raises(InterruptedError):
        fit.fit(toy(), numbers(3))
    assert content(tmp_path / "last.ckpt")["global_step"] == 3


def test_an_error_before_training_keeps_the_checkpoint(tmp_path, toy, numbers, trainer):
    trainer(LastCheckpoint(tmp_path)).fit(toy(), numbers(3))
    broken = content(tmp_path / "last.ckpt")
    broken["optimizer_states"] = [{"state": {}, "param_groups": []}]
    torch.save(broken, tmp_path / "last.ckpt")
    before = (tmp_path / "last.ckpt").read_bytes()
    fit = trainer(LastCheckpoint(tmp_path), max_epochs=2)
    with pytest.raises(ValueError, match="parameter groups"):
        fit.fit(toy(), numbers(3), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_full_disk_keeps_the_last_checkpoint_and_the_original_error(
    tmp_path, toy, numbers, trainer, monkeypatch, capsys
):
    fit = trainer(FailAt("on_train_batch_end", InterruptedError()), LastCheckpoint(tmp_path), max_epochs=2)
    save = LastCheckpoint._save_checkpoint

    def fail_later(self, trainer, filepath):
        if trainer.current_epoch == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, trainer, filepath)

    monkeypatch.setattr(LastCheckpoint, "_save_checkpoint", fail_later)
    with pytest.raises(InterruptedError):
        fit.fit(toy(), numbers(3))
    assert content(tmp_path / "last.ckpt")["global_step"] == 3
    assert "could not be saved (No space left on device), so the earlier checkpoint" in capsys.readouterr().out


def test_the_best_checkpoint_is_found_after_the_folder_has_been_moved(tmp_path, toy, numbers, trainer):
    def fit(folder, epochs, checkpoint=None):
        best = BestCheckpoint(folder, "best", monitor="epoch", mode="min", enable_version_counter=False)
        fit = trainer(best, LastCheckpoint(folder), max_epochs=epochs)
        fit.fit(toy(), numbers(2), ckpt_path=checkpoint, weights_only=None if checkpoint is None else True)
        return best

    fit(tmp_path / "one", 1)
    shutil.move(tmp_path / "one", tmp_path / "two")
    best = fit(tmp_path / "two", 2, tmp_path / "two" / "last.ckpt")
    assert best.best_model_path == str(tmp_path / "two" / "best.ckpt")
    assert not (tmp_path / "one").exists()


def test_a_file_name_can_contain_folders(tmp_path, toy, numbers, trainer):
    """The folders depend on the epoch, so they cannot be created before training."""

    def fit(folder, epochs, checkpoint=None):
        name = "{epoch}/{val/loss:.2f}/best"
        best = BestCheckpoint(folder, name, "val/loss", mode="min", enable_version_counter=False)
        fit = trainer(best, LastCheckpoint(folder), max_epochs=epochs)
        fit.strategy.checkpoint_io = AtomicCheckpointIO(tmp_path)
        weights_only = None if checkpoint is None else True
        fit.fit(toy(), numbers(2), numbers(1), ckpt_path=checkpoint, weights_only=weights_only)
        return best

    path = fit(tmp_path / "one", 1).best_model_path
    assert path.startswith(str(tmp_path / "one" / "epoch=0"))
    shutil.move(tmp_path / "one", tmp_path / "two")
    best = fit(tmp_path / "two", 1, tmp_path / "two" / "last.ckpt")
    assert best.best_model_path == path.replace("one", "two")
    assert content(best.best_model_path)["epoch"] == 0


@pytest.mark.parametrize("kind", [BestCheckpoint, LastCheckpoint])
def test_a_folder_that_cannot_be_created_is_reported_before_training(kind, toy, numbers, trainer):
    model = toy()
    with pytest.raises(UserError, match=r"No files can be written to the folder /proc/x \("):
        trainer(kind("/proc/x", "best")).fit(model, numbers(2))
    assert model.after_step == []
