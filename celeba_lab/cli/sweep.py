"""Sweeps: the score that ranks their runs, and what happens before the first and after the last of them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from omegaconf import DictConfig

    from celeba_lab.cli.sweep_monitor import SweepMonitor
    from celeba_lab.runs.leaderboard import Entry
    from celeba_lab.runs.sweep import Sweep


def score_of(cfg: "DictConfig", metrics: dict[str, float]) -> float | None:
    """Return the metric selected by ``score``, or None if the task does not report this metric."""
    return metrics.get(cfg.score)


class _Started:
    """The sweep of this process, from the moment when Hydra has composed its settings."""

    def __init__(
        self, folder: Path, sweep: "Sweep", monitor: "SweepMonitor", resume_command: str, is_queued: bool
    ) -> None:
        self.folder, self.sweep, self.monitor = folder, sweep, monitor
        self.resume_command, self.is_queued = resume_command, is_queued


_started: list[_Started] = []


def begin_sweep(config: "DictConfig") -> None:
    """Record a sweep in its folder, say how to resume it, and start to follow its jobs.

    Raises:
        UserError: The sweep has no jobs, or the jobs of a resumed sweep have changed.
    """
    from celeba_lab.cli.resume import resume_command
    from celeba_lab.cli.sweep_monitor import SweepMonitor
    from celeba_lab.cli.sweep_plan import jobs_at_once, start_sweep
    from celeba_lab.cli.typed import list_typed_for_sweep
    from celeba_lab.console import console, display_path
    from celeba_lab.data.workers import usable_cores
    from celeba_lab.runs.search import find_search

    folder = Path(config.hydra.sweep.dir)
    sweep = start_sweep(config)
    search = find_search(folder) if sweep.jobs is None else None
    number = len(sweep.jobs) if sweep.jobs is not None else search.n_trials if search is not None else None
    together = number if search is None else search.trials_per_launch
    monitor = SweepMonitor(folder, number, sweep.score, lambda: _rank_early(folder, sweep))
    jobs = "a search" if number is None else f"{number:,} job{'' if number == 1 else 's'}"
    if search is not None:
        jobs = f"a search of {search.n_trials:,} trial{'' if number == 1 else 's'}"
    console.print(f"sweep: {jobs} in {display_path(folder)}", soft_wrap=True)
    if number is not None and not sweep.varied:
        console.print("  No setting has several values, as in seed=1,2, so nothing is varied.", soft_wrap=True)
    command = resume_command(folder, list_typed_for_sweep(sweep))
    console.print(f"if stopped: {command}", soft_wrap=True)
    is_queued = str(config.hydra.launcher.get("_target_")).endswith(".SlurmLauncher")
    _started.append(_Started(folder, sweep, monitor, command, is_queued))
    at_once = jobs_at_once(config, together)
    if at_once > usable_cores() and together == at_once:
        setting = "max_batch_size" if search is None else "n_jobs"
        hint = f"Start fewer with hydra.sweeper.{setting}, or use hydra/launcher=joblib."
        console.print(f"{at_once:,} jobs start at the same time. {hint}", style="yellow", soft_wrap=True)
    _prepare_processes(at_once)
    monitor.start()


def _prepare_processes(jobs: int) -> None:
    """Set the environment of the processes that a launcher starts, and share the cores between jobs at the same time.

    Two trainings on two cores take several times as long if each uses two threads. torch reads these variables on
    import.
    """
    from celeba_lab.cli.job_process import worker_environment
    from celeba_lab.data.workers import JOBS_AT_ONCE
    from celeba_lab.runs.threads import choose_threads

    os.environ.update(worker_environment())
    if jobs > 1:
        os.environ[JOBS_AT_ONCE] = str(jobs)
        choose_threads()


def has_queued_jobs() -> bool:
    """Return whether the jobs of the sweep of this process are jobs of SLURM, which go on without it."""
    return any(each.is_queued for each in _started)


@contextmanager
def watching_sweep() -> Iterator[None]:
    """Stop following the jobs at the end of this block, and exit with status 1 if a job of the sweep has failed."""
    from celeba_lab.cli.lost_jobs import surviving_lost_jobs
    from celeba_lab.runs.interrupts import Interrupted

    _started.clear()
    environment = dict(os.environ)
    try:
        with surviving_lost_jobs():
            yield
    except (KeyboardInterrupt, Interrupted) as error:
        for each in _started:
            error.add_note(f"To resume: {each.resume_command}")
        raise
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        for each in _started:
            each.monitor.stop()
    for each in _started:
        _conclude(each.folder, each.sweep)


def _rank(folder: Path, sweep: "Sweep") -> "tuple[list[Entry], pd.DataFrame]":
    """Rank the jobs that have been started, and write the leaderboard to the folder of the sweep."""
    from celeba_lab.reports.leaderboard import write_leaderboard
    from celeba_lab.runs.job import Job
    from celeba_lab.runs.leaderboard import rank, read_entries

    folders = [path.parent for path in folder.glob(f"*/{Job.FILE}")]
    entries = rank(read_entries(folders), sweep.score, sweep.direction)
    return entries, write_leaderboard(entries, sweep.score, folder)


def _rank_early(folder: Path, sweep: "Sweep") -> str | None:
    """Rank the jobs that have been started, and return a sentence if they do not report the score."""
    from celeba_lab.reports.leaderboard import explain_missing_score

    entries, _ = _rank(folder, sweep)
    return explain_missing_score(entries, sweep.score)


def _conclude(folder: Path, sweep: "Sweep") -> None:
    """Write and print the leaderboard, print one line for each job that failed, and exit with status 1 if any did."""
    from celeba_lab.cli.sweep_monitor import describe
    from celeba_lab.console import Progress, console, display_path
    from celeba_lab.reports.leaderboard import describe_damaged
    from celeba_lab.reports.seeds import compare_entries
    from celeba_lab.reports.sweep import write_sweep_report
    from celeba_lab.runs.folder import PAGE, RunFolder
    from celeba_lab.runs.job import Job
    from celeba_lab.runs.leaderboard import DAMAGED, main_metrics
    from celeba_lab.tasks.leaderboard import show_ranking

    entries, table = _rank(folder, sweep)
    over_seeds = compare_entries(entries, main_metrics(table, sweep.score), sweep.score, sweep.direction)
    with Progress("writing the report"):
        name = str(display_path(folder))
        write_sweep_report(RunFolder(folder), entries, table, sweep.score, name, over_seeds=over_seeds)
    show_ranking(entries, table, sweep.score, sweep.direction, over_seeds)
    console.print(f"report: {display_path(folder / PAGE)}", soft_wrap=True)
    damaged = describe_damaged(entries)
    for line in damaged:
        print(f"celeba_lab: error: {line}", file=sys.stderr)
    unfinished = [Job.read(entry.folder) for entry in entries if entry.state not in ("finished", "pruned", DAMAGED)]
    for job in sorted(unfinished, key=lambda job: job.number):
        line = describe(job, None)
        if job.state == "running":
            line = f"job {job.number} is being run by another process. Resume the sweep when it has ended."
        print(f"celeba_lab: error: {line}", file=sys.stderr)
    if unfinished or damaged:
        sys.exit(1)
