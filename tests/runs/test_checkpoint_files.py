"""Paths that are not checkpoints are rejected without opening them."""

import os
from pathlib import Path

import pytest

from celeba_lab.errors import UserError
from celeba_lab.runs.checkpoint_files import check_checkpoint_file


def test_a_device_is_not_called_missing() -> None:
    with pytest.raises(UserError, match=r"^checkpoint=/dev/zero is not a regular file\."):
        check_checkpoint_file("/dev/zero", "evaluate")


def test_a_pipe_is_rejected_without_waiting_for_a_writer(tmp_path: Path) -> None:
    pipe = tmp_path / "best.ckpt"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match=r"best\.ckpt is not a regular file\."):
        check_checkpoint_file(str(pipe), "evaluate")


@pytest.mark.parametrize("is_link", [False, True])
def test_a_missing_file_is_called_missing(tmp_path: Path, is_link: bool) -> None:
    path = tmp_path / "best.ckpt"
    if is_link:
        path.symlink_to("nowhere.ckpt")
    with pytest.raises(UserError, match=r"best\.ckpt does not exist\."):
        check_checkpoint_file(str(path), "evaluate")
