"""A job whose process is killed fails alone, and the others run."""

import fcntl
import os
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from celeba_lab.cli.job_process import LOST, REQUEUED, LostJob
from celeba_lab.cli.lost_jobs import record_lost, surviving_lost_jobs
from celeba_lab.errors import UserError
from celeba_lab.runs.job import Job
from celeba_lab.runs.sweep import Sweep

JOBS = [["seed=1"], ["seed=2"], ["seed=3"]]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    record = Sweep(
        overrides=["seed=1,2,3"], hydra_overrides=[], options=[], varied=["seed"], jobs=JOBS, score=None,
        direction="maximize",
    )  # fmt: skip
    record.write(tmp_path)
    return tmp_path


def write(sweep: Path, number: int, state: str, reason: str | None = None) -> None:
    folder = sweep / f"{number}_seed-{number + 1}"
    folder.mkdir(exist_ok=True)
    Job(number=number, varied={"seed": str(number + 1)}, state=state, reason=reason).write(folder)


def outcomes(sweep: Path) -> list[tuple[str, str | None]]:
    jobs = [Job.read(path.parent) for path in sorted(sweep.glob("*/job.json"))]
    return [(job.state, job.reason) for job in jobs]


def launch(sweep: Path, launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> Sequence[JobReturn]:
    monkeypatch.setattr(Plugins, "instantiate_launcher", lambda plugins, **named: launcher)
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(sweep)}}})
    with surviving_lost_jobs():
        found = Plugins.instance().instantiate_launcher(config=config)
    return found.launch(JOBS, 0)


class Fake(Launcher):
    """A launcher whose job with seed 2 is killed, like a job that needs too much memory.

    Args:
        sweep: Folder of the sweep.
        is_pool: If true, two jobs run at the same time, and both of them are killed if one is killed, as with joblib.
    """

    def __init__(self, sweep: Path, is_pool: bool) -> None:
        self.sweep, self.is_pool = sweep, is_pool
        self.started: list[int] = []

    def setup(self, **named) -> None: ...

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        known = {Job.read(path.parent).number: Job.read(path.parent).state for path in self.sweep.glob("*/job.json")}
        results: list[JobReturn] = []
        todo = range(initial_job_idx, initial_job_idx + len(job_overrides))
        for number in todo:
            if known.get(number) in ("finished", "failed"):
                results.append(JobReturn(status=JobStatus.COMPLETED))
                continue
            self.started.append(number)
            write(self.sweep, number, "running")
            if number == 1 and self.is_pool:
                raise BrokenProcessPool
            if self.is_pool and number == 0 and 1 in todo and 1 not in known:
                continue  # The next job is started before this one has ended.
            if number != 1:
                write(self.sweep, number, "finished")
            results.append(LostJob("Its node has failed.") if number == 1 else JobReturn(status=JobStatus.COMPLETED))
        return results


def test_a_job_without_a_result_fails_alone(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = launch(sweep, Fake(sweep, is_pool=False), monkeypatch)
    assert [result.return_value for result in results] == [None, None, None]
    assert outcomes(sweep) == [("finished", None), ("failed", "Its node has failed."), ("finished", None)]


def test_after_the_pool_was_killed_the_interrupted_jobs_go_on_one_by_one(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = Fake(sweep, is_pool=True)
    launch(sweep, launcher, monkeypatch)
    assert launcher.started == [0, 1, 0, 1, 2]
    assert outcomes(sweep) == [("finished", None), ("failed", LOST), ("finished", None)]


def test_a_pool_that_never_starts_a_job_ends_the_sweep(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Fake(sweep, is_pool=True)
    monkeypatch.setattr(Fake, "launch", lambda *args: exec("raise BrokenProcessPool", globals()))
    with pytest.raises(UserError, match=r"were killed before they started a job\."):
        launch(sweep, launcher, monkeypatch)


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        ("running", None, ("failed", LOST)),
        ("stopped", REQUEUED, ("failed", LOST)),
        ("stopped", None, ("stopped", None)),
        ("finished", None, ("finished", None)),
    ],
)
def test_only_jobs_that_should_go_on_are_lost(
    sweep: Path, state: str, reason: str | None, expected: tuple[str, str | None]
) -> None:
    write(sweep, 0, state, reason)
    record_lost(sweep, 0, JOBS[0])
    assert outcomes(sweep) == [expected]


def test_a_job_that_did_not_start_is_recorded_in_its_folder(sweep: Path) -> None:
    record_lost(sweep, 1, JOBS[1])
    assert Job.read(sweep / "1_seed-2").varied == {"seed": "2"}
    assert outcomes(sweep)[0][1].startswith("It did not start.")


def test_a_job_that_another_process_runs_is_not_lost(sweep: Path) -> None:
    write(sweep, 0, "running")
    descriptor = os.open(sweep / "0_seed-1", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    record_lost(sweep, 0, JOBS[0])
    os.close(descriptor)
    assert outcomes(sweep) == [("running", None)]
