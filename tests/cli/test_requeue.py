"""A job of SLURM that is requeued goes on with the run or the sweep that it had started, in the same folder."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from celeba_lab.cli.processes import share_arguments
from celeba_lab.cli.requeue import mark_folder, requeue_job
from celeba_lab.runs.interrupts import Interrupted
from celeba_lab.runs.job import Job
from celeba_lab.runs.sweep import Sweep

Command = Callable[..., tuple[int, str, str]]
USR1 = 128 + signal.SIGUSR1


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A job of SLURM that has a single process."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text('#!/bin/sh\necho "$@" >> called.txt\n')
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    for name, value in {"SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def begin_run(folder: str) -> Path:
    (path := Path(folder) / ".hydra").mkdir(parents=True)
    (path / "overrides.yaml").write_text("[]")
    (Path(folder) / "config.yaml").touch()
    return Path(folder)


def begin_sweep(folder: str) -> Path:
    Path(folder).mkdir(parents=True)
    Sweep(
        overrides=[], hydra_overrides=[], options=[], varied=[], jobs=None, score=None, direction="maximize"
    ).write(Path(folder))  # fmt: skip
    return Path(folder)


def test_a_requeued_job_finds_what_it_has_started(slurm: pytest.MonkeyPatch) -> None:
    swept, trained = ["-m", "seed=1,2"], ["seed=1"]
    mark_folder(begin_sweep("outputs/paper/smile/sweep_1"), swept)
    mark_folder(begin_run("outputs/smile/1"), trained)
    os.utime(next(Path("outputs/smile/1").glob(".slurm_*")), (1, 1))
    mark_folder(begin_run("outputs/smile/0"), trained)
    assert [share_arguments(each) for each in (swept, trained)] == [swept, trained]

    slurm.setenv("SLURM_RESTART_COUNT", "1")
    assert share_arguments(swept) == [*swept, "resume=outputs/paper/smile/sweep_1"]
    assert share_arguments(trained) == [*trained, "resume=outputs/smile/0"], "the one that was started last"
    assert share_arguments(["seed=2"]) == ["seed=2"], "another command of the same script"
    slurm.setenv("SLURM_JOB_ID", "78")
    assert share_arguments(swept) == swept


def test_a_requeued_job_goes_on_in_the_folder_that_was_given(slurm: pytest.MonkeyPatch) -> None:
    begin_sweep("s")
    slurm.setenv("SLURM_RESTART_COUNT", "1")
    assert share_arguments(["-m", "seed=1,2", "hydra.sweep.dir=s"]) == ["-m", "seed=1,2", "resume=s"]
    assert share_arguments(["-m", "seed=1,2", "++hydra.sweep.dir=s"]) == ["-m", "seed=1,2", "resume=s"]
    assert share_arguments(["-m", "hydra.sweep.dir=t"]) == ["-m", "hydra.sweep.dir=t"], "it had not begun"


def test_a_requeued_job_does_not_repeat_a_run_from_its_start(slurm: pytest.MonkeyPatch) -> None:
    for number, arguments in enumerate((["repeat=old"], ["task=repeat", "task.run=old"])):
        mark_folder(begin_run(f"outputs/smile/{number}"), [*arguments, "data.num_workers=0"])
    slurm.setenv("SLURM_RESTART_COUNT", "1")
    for number, arguments in enumerate((["repeat=old"], ["task=repeat", "task.run=old"])):
        expected = ["data.num_workers=0", f"resume=outputs/smile/{number}"]
        assert share_arguments([*arguments, "data.num_workers=0"]) == expected


def test_a_sweep_that_is_warned_of_its_time_limit_is_requeued_and_goes_on(
    command: Command, slurm: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun: list[tuple[int, bool]] = []

    def prepare(cfg: DictConfig) -> None:
        begun.append((cfg.seed, cfg.name == "smile"))
        raise Interrupted(signal.SIGUSR1)

    slurm.setattr("celeba_lab.cli.main.prepare", prepare)
    arguments = ["-m", "experiment=smile", "seed=1,2", "score=val/accuracy"]
    code, _, err = command(*arguments)
    [folder] = (tmp_path / "outputs" / "smile").iterdir()
    assert code == USR1
    assert f"To resume: python -m celeba_lab resume=outputs/smile/{folder.name}\n" in err
    assert err.endswith("celeba_lab: The job 77 was requeued.\n")
    assert (tmp_path / "called.txt").read_text() == "requeue 77\n"

    slurm.setenv("SLURM_RESTART_COUNT", "1")
    (folder / "0_seed-1" / "job.json").unlink()
    code, out, _ = command(*arguments)
    assert (code, begun) == (USR1, [(1, True)] * 2)
    assert f"sweep: 2 jobs in outputs/smile/{folder.name}\n" in out
    assert list((tmp_path / "outputs" / "smile").iterdir()) == [folder]
    assert Job.read(folder / "0_seed-1").state == "stopped"


def test_a_sweep_whose_jobs_are_in_the_queue_is_not_requeued(slurm: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "was not requeued. Resume the sweep when its own jobs have left the queue." in requeue_job(True)
    assert not (tmp_path / "called.txt").exists()
    slurm.delenv("SLURM_JOB_ID")
    assert requeue_job(True) is None


def test_a_refused_run_leaves_nothing_in_a_job_of_slurm(command: Command, slurm, tmp_path: Path) -> None:
    assert command("experiment=cooccurrence", "task.fraction=9")[0] == 1
    assert not (tmp_path / "outputs").exists()
