"""The versions, the commit and the device of a run are recorded."""

import re
import subprocess
from pathlib import Path

import pytest
import torch

from celeba_lab.runs import environment
from celeba_lab.runs.environment import device_name, git_commit, library_versions


def test_versions_of_the_relevant_libraries_are_recorded():
    versions = library_versions()
    assert {"celeba_lab", "python", "torch", "torchvision", "lightning", "numpy"} <= set(versions)
    assert all(version[0].isdigit() for version in versions.values())


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Git checkout with one commit, patched in as the location of the code."""
    folder = tmp_path / "checkout"
    (folder / "celeba_lab/runs").mkdir(parents=True)
    (folder / "celeba_lab/runs/environment.py").write_text("")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    monkeypatch.setattr(environment, "__file__", str(folder / "celeba_lab/runs/environment.py"))
    return folder


def test_the_commit_and_uncommitted_changes_are_recorded(checkout):
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert git_commit() == head.stdout[:12]
    (checkout / "celeba_lab/runs/environment.py").write_text("changed")
    assert git_commit() == head.stdout[:12] + "-dirty"


def test_no_commit_is_recorded_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "celeba_lab/runs/environment.py"))
    assert git_commit() is None


def test_no_commit_is_recorded_without_git(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() is None


def test_the_name_of_the_device_is_recorded():
    name = device_name(torch.device("cpu"))
    assert re.search(rf", {torch.get_num_threads()} threads?$", name)
    assert len(name.partition(",")[0]) > 2
