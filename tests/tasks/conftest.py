"""One small trained run that the tests of the tasks share."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Small enough for seconds, complete enough for every callback, table and figure.
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


def run_command(*arguments: str, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """The real command, in a process of its own, one thread so that several tests can share two cores."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "140"}
    return subprocess.run(
        [sys.executable, "-m", "celeba_lab", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="session")
def trained(tiny_celeba: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Two epochs of ``experiment=smile`` on the tiny CelebA, by the real command."""
    cwd = tmp_path_factory.mktemp("trained")
    result = run_command(*SMALL, f"data.root={tiny_celeba}", "seed=3", cwd=cwd)
    assert result.returncode == 0, result.stderr
    [summary] = cwd.glob("outputs/smile/*/summary.json")
    return TrainedRun(summary.parent, json.loads(summary.read_text()), result.stdout)
