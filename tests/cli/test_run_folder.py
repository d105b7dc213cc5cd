"""Every run gets its own folder, even if another run starts in the same second."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from celeba_lab.cli.run_folder import claim, create_folder, release_claims
from celeba_lab.errors import UserError

Command = Callable[..., tuple[int, str, str]]

# Runs the real command line with a fixed time and a task that only creates a file named after the seed.
SCRIPT = """
import datetime
from pathlib import Path

import hydra.core.utils
from hydra.core.hydra_config import HydraConfig

from celeba_lab.cli import main as command


class Noon(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 2, 12)


def launch(cfg):
    Path(HydraConfig.get().runtime.output_dir, f"seed_{cfg.seed}").touch()


hydra.core.utils.datetime = Noon
command.launch = launch
command.main()
"""


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert not err, "Hydra warns if a callback raises an exception"


def test_a_number_is_appended_if_the_folder_name_is_taken(tmp_path: Path) -> None:
    names = [create_folder(tmp_path / "outputs" / "run").name for _ in range(3)]
    assert names == ["run", "run_2", "run_3"]


@pytest.mark.slow
def test_runs_started_in_the_same_second_have_different_folders(tmp_path: Path) -> None:
    processes = [start("experiment=smile", f"seed={seed}", cwd=tmp_path) for seed in range(4)]
    for process in processes:
        finish(process)
    folders = sorted((tmp_path / "outputs" / "smile").iterdir())
    noon = "2026-01-02_12-00-00"
    assert [folder.name for folder in folders] == [noon, *(f"{noon}_{number}" for number in (2, 3, 4))]
    seeds = [[path.name for path in folder.glob("seed_*")] for folder in folders]
    assert sorted(seeds) == [[f"seed_{seed}"] for seed in range(4)], "two runs share a folder"
    assert all((folder / ".hydra" / "overrides.yaml").is_file() for folder in folders)


@pytest.mark.slow
def test_all_runs_of_a_sweep_share_a_new_folder(tmp_path: Path) -> None:
    taken = tmp_path / "outputs" / "smile" / "sweep_2026-01-02_12-00-00"
    taken.mkdir(parents=True)
    finish(start("-m", "experiment=smile", "seed=1,2", cwd=tmp_path))
    assert not list(taken.iterdir())
    found = sorted(path.relative_to(taken.parent) for path in taken.parent.glob("*/*/seed_*"))
    assert found == [Path(f"{taken.name}_2") / f"{job}_seed-{job + 1}" / f"seed_{job + 1}" for job in (0, 1)]


def test_a_folder_given_by_the_user_is_used_unchanged(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    finish(start("experiment=smile", "seed=7", "hydra.run.dir=mine", cwd=tmp_path))
    assert (tmp_path / "mine" / "seed_7").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("refused", ["model.lr=abc", "seed=${nothing}", "seed=${seed}", "seed=${oc.env:NOTHING}"])
def test_a_rejected_run_leaves_nothing(command: Command, tmp_path: Path, refused: str) -> None:
    code, _, err = command("experiment=smile", refused)
    assert code == 1
    assert refused.partition("=")[0] in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [None, UserError("no")])
def test_a_task_may_change_the_current_folder(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: UserError | None
) -> None:
    def task(cfg: DictConfig) -> dict[str, float]:
        assert Path.cwd() == Path(HydraConfig.get().runtime.output_dir)
        if error:
            raise error
        return {}

    monkeypatch.setattr("celeba_lab.cli.main.prepare", lambda cfg: task)
    code, _, err = command("experiment=smile", "hydra.job.chdir=true")
    assert (code, "was deleted" in err) == (1 if error else 0, False)
    assert (tmp_path / "outputs").exists() == (error is None)


def test_a_rejected_run_leaves_a_folder_given_by_the_user_as_it_was(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "empty").mkdir(parents=True)
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for _ in range(2):  # The first run does not prevent the second from using the folder.
        code, _, err = command("experiment=smile", "model.lr=abc", "hydra.run.dir=mine")
        assert code == 1
        assert "model.lr" in err
        assert sorted(path.name for path in (tmp_path / "mine").rglob("*")) == ["empty", "notes.txt"]
    (tmp_path / "here").mkdir()
    assert command("experiment=smile", "model.lr=abc", "hydra.run.dir=here/../mine")[0] == 1
    assert sorted(path.name for path in (tmp_path / "mine").rglob("*")) == ["empty", "notes.txt"]
    assert command("experiment=smile", "model.lr=abc", "hydra.run.dir=new/folder")[0] == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "refused",
    [
        ["experiment=smile", "trainer.limit_train_batches=0.01"],  # is checked after the event file has been opened
        ["experiment=smile", "trainer.enable_checkpointing=false"],
        ["experiment=gan", "trainer.accumulate_grad_batches=2"],
    ],
)
def test_a_run_that_lightning_refuses_leaves_no_files(
    run_command, tmp_path: Path, tiny_celeba: Path, refused: list[str]
) -> None:
    small = ["trainer=cpu", "model.image_size=32", "data.batch_size=8", "~callbacks.progress_bar"]
    if "experiment=smile" in refused:
        small.append("model.weights=null")
    result = run_command(*refused, *small, f"data.root={tiny_celeba}", cwd=tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("*"))


def test_each_run_of_a_sweep_claims_its_folder(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a run of a sweep trains, another process cannot resume it."""
    seen: list[bool] = []

    def task(cfg: DictConfig) -> dict[str, float]:
        descriptor = os.open(HydraConfig.get().runtime.output_dir, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        seen.append(True)
        return {}

    monkeypatch.setattr("celeba_lab.cli.main.prepare", lambda cfg: task)
    code, _, err = command("-m", "experiment=smile", "seed=1,2")
    assert code == 0, err
    assert len(seen) == 2
    for folder in tmp_path.glob("outputs/smile/*/*_seed-*"):
        assert claim(folder)
    release_claims()


def test_a_failed_run_keeps_the_files_that_it_has_written(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(cfg: DictConfig) -> None:
        Path(HydraConfig.get().runtime.output_dir, "history.csv").touch()
        raise UserError("Training diverged.")

    monkeypatch.setattr("celeba_lab.cli.main.prepare", lambda cfg: fail)
    code, _, err = command("experiment=smile")
    assert code == 1
    assert "Training diverged." in err
    assert list(tmp_path.glob("outputs/smile/*/history.csv"))
