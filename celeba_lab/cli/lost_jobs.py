"""Let the other jobs of a sweep go on if the process of a job is killed, and record what happened to this job."""

from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from celeba_lab.cli.job_names import name_job, pick_varied
from celeba_lab.cli.job_process import LOST, REQUEUED, LostJob
from celeba_lab.cli.run_folder import claim, release
from celeba_lab.errors import UserError
from celeba_lab.runs.job import Job
from celeba_lab.runs.sweep import Sweep

_NOT_STARTED = "It did not start. The files in .submitit in the folder of the sweep may say why."
_ENDED = ("finished", "failed", "skipped")


@contextmanager
def surviving_lost_jobs() -> Iterator[None]:
    """Within this block, a job whose process is killed fails alone."""
    instantiate = Plugins.instantiate_launcher

    @wraps(instantiate)
    def tolerant(plugins: Plugins, *args: Any, **named: Any) -> Launcher:
        return _TolerantLauncher(instantiate(plugins, *args, **named), named["config"])

    with patch.object(Plugins, "instantiate_launcher", tolerant):
        yield


class _TolerantLauncher(Launcher):
    """A launcher that returns a result for each job, also if the process of a job was killed.

    Args:
        launcher: The launcher that runs the jobs.
        config: Configuration of the sweep, including the settings of Hydra.
    """

    def __init__(self, launcher: Launcher, config: DictConfig) -> None:
        self._launcher, self._config = launcher, config

    def setup(self, **named: Any) -> None:
        """The launcher has been set up before."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, and record those that ended without a result as failed."""
        try:
            with _keeping_results(self._launcher):
                results = list(self._launcher.launch(job_overrides, initial_job_idx))
        except BrokenProcessPool:
            return self._launch_again(job_overrides, initial_job_idx)
        ended = {number for number, (_, job) in _read_jobs(self._folder).items() if job.state in _ENDED}
        for number, (overrides, result) in enumerate(zip(job_overrides, results, strict=True), initial_job_idx):
            if number in ended:
                continue
            record_lost(self._folder, number, overrides, result.reason if isinstance(result, LostJob) else LOST)
        return results

    def _launch_again(self, job_overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        """Launch jobs again after the process of one of them was killed, because joblib then ends all of its processes.

        The jobs that were running go on one by one, so that a job that needs too much memory fails alone.
        """
        running = [n for n, (_, job) in _read_jobs(self._folder).items() if job.state == "running"]
        interrupted = [number for number in sorted(running) if first <= number < first + len(job_overrides)]
        if not interrupted:
            raise UserError("The processes of the sweep were killed before they started a job. Start fewer at once.")
        for number in interrupted:
            overrides = job_overrides[number - first]
            with suppress(BrokenProcessPool):
                self._launcher.launch([overrides], number)
            record_lost(self._folder, number, overrides)
        return self.launch(job_overrides, first)  # Jobs that have ended are not started again.

    @property
    def _folder(self) -> Path:
        return Path(str(self._config.hydra.sweep.dir))


def record_lost(folder: Path, number: int, overrides: Sequence[str], reason: str = LOST) -> None:
    """Record a job as failed if no process runs it although it has not ended.

    Args:
        folder: Folder of the sweep.
        number: Number of the job.
        overrides: Overrides of the job.
        reason: Sentence that explains why the job has not ended.
    """
    own = pick_varied(overrides, Sweep.read(folder).varied)
    where, job = _read_jobs(folder).get(number, (folder / name_job(number, own), None))
    if job is None:
        where.mkdir(exist_ok=True)
        reason = _NOT_STARTED if reason == LOST else reason
        Job(number=number, varied=own, state="failed", reason=reason).write(where)
    elif (job.state == "running" or job.reason == REQUEUED) and _is_abandoned(where):
        replace(job, state="failed", reason=reason).write(where)


def _read_jobs(folder: Path) -> dict[int, tuple[Path, Job]]:
    """Return the folder and the record of each job that has been started, by number."""
    records = [(path.parent, Job.read(path.parent)) for path in folder.glob(f"*/{Job.FILE}")]
    return {job.number: (path, job) for path, job in records}


def _keeping_results(launcher: Launcher) -> Any:
    """Return a block in which submitit does not raise an exception for a job without a result."""
    if type(launcher).__module__.partition(".")[2] != "hydra_submitit_launcher.submitit_launcher":
        return nullcontext()
    from submitit.core import core, utils

    results = core.Job.results

    def kept(job: Any) -> list[Any]:
        try:
            found: list[Any] = results(job)
        except (utils.UncompletedJobError, utils.FailedJobError):
            return [LostJob(LOST)]
        return found

    return patch.object(core.Job, "results", kept)


def _is_abandoned(folder: Path) -> bool:
    """Return whether no process uses the folder of a job."""
    if not claim(folder):
        return False
    release(folder)
    return True
