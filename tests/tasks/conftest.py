"""A small trained run, shared by the tests of the tasks."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SMALL = [
    "experiment=smile",
    "trainer=cpu",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "~callbacks.progress_bar",
    "model.weights=null",
    "model.image_size=32",
    "data.batch_size=8",
]


@dataclass(frozen=True)
class TrainedRun:
    """A finished run: its folder, its summary, and what it printed."""

    folder: Path
    summary: dict[str, Any]
    printed: str

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="session")
def small() -> list[str]:
    """The overrides of a training that takes seconds, but has every callback, table and figure."""
    return list(SMALL)


@pytest.fixture(scope="session")
def trained(
    small: list[str],
    run_command: Callable[..., subprocess.CompletedProcess[str]],
    tiny_celeba: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainedRun:
    """Two epochs of ``experiment=smile`` on the tiny CelebA, trained by the real command."""
    cwd = tmp_path_factory.mktemp("trained")
    result = run_command(*small, f"data.root={tiny_celeba}", "seed=3", cwd=cwd)
    assert result.returncode == 0, result.stderr
    [summary] = cwd.glob("outputs/smile/*/summary.json")
    return TrainedRun(summary.parent, json.loads(summary.read_text()), result.stdout)
