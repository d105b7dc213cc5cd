"""Checkpoints are either complete or absent."""

import itertools
import multiprocessing
import os
import shutil
import tempfile
import time
from pathlib import Path

import lightning as L
import pytest
import torch
from omegaconf import OmegaConf

from celeba_lab.engine.build import build_trainer
from celeba_lab.engine.checkpoint_io import AtomicCheckpointIO
from celeba_lab.engine.torch_files import read_torch_file


def _save_forever(path: Path) -> None:
    for k in itertools.count():
        AtomicCheckpointIO().save_checkpoint({"k": k, "weights": torch.full((2_000_000,), float(k))}, path)


@pytest.mark.parametrize("milliseconds", [1, 17, 41, 73])
def test_a_run_killed_while_it_saves_leaves_a_complete_checkpoint(
    milliseconds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, elsewhere = tmp_path / "last.ckpt", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    process = multiprocessing.get_context("fork").Process(target=_save_forever, args=[path])
    process.start()
    try:
        end = time.monotonic() + 60
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(milliseconds / 1000)
    finally:
        process.kill()
        process.join()
    content = read_torch_file(path)
    assert (content["weights"] == content["k"]).all()
    assert not list(elsewhere.iterdir()), "the temporary file must be next to the checkpoint"


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, path)
    assert read_torch_file(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_the_trainer_saves_atomically(tmp_path: Path) -> None:
    cfg = OmegaConf.create({"_target_": "lightning.Trainer", "accelerator": "cpu", "default_root_dir": str(tmp_path)})
    trainer: L.Trainer = build_trainer(cfg)
    assert isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO)
    assert trainer.strategy.checkpoint_io.run_folder == tmp_path


def test_folders_inside_the_run_folder_are_created_unless_the_run_folder_has_been_deleted(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "link").symlink_to(run)
    checkpoints = AtomicCheckpointIO(tmp_path / "link")
    checkpoints.save_checkpoint({"epoch": 1}, run / "checkpoints" / "a" / "b" / "best.ckpt")
    assert read_torch_file(run / "checkpoints" / "a" / "b" / "best.ckpt") == {"epoch": 1}
    shutil.rmtree(run)
    for path in (run / "best.ckpt", run / "checkpoints" / "best.ckpt"):
        with pytest.raises(FileNotFoundError):
            checkpoints.save_checkpoint({"epoch": 2}, path)
    assert not run.exists()
    checkpoints.save_checkpoint({"epoch": 2}, tmp_path / "elsewhere" / "a" / "best.ckpt")


def test_only_checkpoint_files_are_removed(tmp_path: Path) -> None:
    kept = [tmp_path / "folder.ckpt" / "thesis.tex", tmp_path / "notes.txt"]
    for path in [*kept, tmp_path / "old.ckpt"]:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for name in ("folder.ckpt", "notes.txt", "old.ckpt", "missing.ckpt"):
        AtomicCheckpointIO().remove_checkpoint(tmp_path / name)
    assert all(path.is_file() for path in kept)
    assert not (tmp_path / "old.ckpt").exists()
