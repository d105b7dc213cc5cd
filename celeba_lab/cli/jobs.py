"""Run one job of a sweep, so that a job that fails does not stop the others, or a run of its own."""

import math
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from time import perf_counter

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from celeba_lab.cli.explain import ExplainedExit
from celeba_lab.cli.job_names import pick_varied
from celeba_lab.cli.job_output import OUTPUT, output_to
from celeba_lab.cli.job_process import REQUEUED, is_requeued, requeue
from celeba_lab.cli.resume import check_run, resume_command
from celeba_lab.cli.run_folder import claim
from celeba_lab.config import one_line, overrides_of
from celeba_lab.console import console, display_path, is_main_process
from celeba_lab.errors import UserError, readable
from celeba_lab.runs.interrupts import Interrupted
from celeba_lab.runs.job import Job
from celeba_lab.runs.search import Pruned, conclude_trial
from celeba_lab.runs.settings import OVERRIDES, SETTINGS, write_config, write_overrides
from celeba_lab.runs.summary import SUMMARY, Summary
from celeba_lab.runs.sweep import Sweep

_LONGEST = 200  # Most characters of the message of an unexpected error.


def run_job(cfg: DictConfig, launch: Callable[[DictConfig], float | None]) -> float | None:
    """Run a job of a sweep, record its state in its folder, and send its output to a file there.

    Args:
        cfg: Configuration of the job. If the sweep is resumed, ``resume`` is replaced by the folder of the job, or by
            null if the job has not been started before.
        launch: Function that runs the task and returns the score.

    Returns:
        The score, or None if the job failed or its task does not report the score.
    """
    hydra = HydraConfig.get()
    folder, sweep_folder = Path(hydra.runtime.output_dir), Path(hydra.sweep.dir)
    sweep = Sweep.read(sweep_folder)
    job = Job(number=hydra.job.num, varied=pick_varied(overrides_of(hydra, "task"), sweep.varied), state="running")
    if not claim(folder):  # Another process resumes this run, or goes on although its sweep was killed.
        return None
    score = _run_claimed(cfg, launch, job, folder, sweep)
    conclude_trial(folder)
    return score


def _run_claimed(
    cfg: DictConfig, launch: Callable[[DictConfig], float | None], job: Job, folder: Path, sweep: Sweep
) -> float | None:
    """Run a job whose folder is claimed, unless an earlier process has finished it. See :func:`run_job`."""
    if (folder / SUMMARY).is_file():
        return _keep(job, folder, sweep.score)
    if (folder / Job.FILE).is_file():
        earlier = Job.read(folder)
        if earlier.state == "pruned":
            return earlier.score
        if earlier.state == "failed":
            return None  # The launcher starts its jobs again after it has lost another one.
    if cfg.fail_fast and any_failed(folder.parent):
        replace(job, state="skipped").write(folder)
        return None
    job.write(folder)
    start = perf_counter()
    with output_to(folder / OUTPUT) as file:
        try:
            _choose_resumption(cfg, folder)
            score = launch(cfg)
            job = replace(job, state="finished", score=_finite(score))
        except (KeyboardInterrupt, Interrupted) as error:
            job = replace(job, state="stopped", seconds=perf_counter() - start)
            if not (isinstance(error, Interrupted) and is_requeued(error.signal)):
                job.write(folder)
                raise
            replace(job, reason=REQUEUED).write(folder)
            job = replace(job, state="failed", reason=requeue(error.signal))
        except Pruned as pruned:
            job = _pruned(job, pruned)
        except (ExplainedExit, UserError) as error:
            job = replace(job, state="failed", reason=readable(error.sentence))
        except Exception as error:
            traceback.print_exception(error, file=file)
            job = replace(job, state="failed", reason=_explain_bug(error))
    replace(job, seconds=perf_counter() - start).write(folder)
    return job.score


def run_single(cfg: DictConfig, launch: Callable[[DictConfig], float | None]) -> float | None:
    """Run the task of a command without a sweep. A job of a sweep can be resumed in this way, without its sweep.

    Its record then changes if it finishes or is pruned. Otherwise, its sweep runs it again, whatever it has recorded.

    Args:
        cfg: Configuration of the run.
        launch: Function that runs the task and returns the score.

    Returns:
        The score, or None if the task does not report the score or the run was pruned.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    if not (folder / Job.FILE).is_file() or not is_main_process():
        return launch(cfg)
    earlier = Job.read(folder)
    start = perf_counter()
    try:
        score = launch(cfg)
        name = Sweep.read(folder.parent).score if (folder.parent / Sweep.FILE).is_file() else cfg.score
        job = _finished(earlier, folder, name) if (folder / SUMMARY).is_file() else earlier
    except Pruned as pruned:
        score = None
        job = _pruned(replace(earlier, seconds=perf_counter() - start), pruned)
        console.print(
            f"{display_path(folder)} was {pruned} by its search, so it is neither tested nor reported on. To train it"
            f" to its end: {resume_command(folder)}",
            soft_wrap=True,
        )
    if replace(job, seconds=earlier.seconds) != earlier:  # Nothing may have been left to do.
        job.write(folder)
    conclude_trial(folder)
    return score


def any_failed(sweep_folder: Path) -> bool:
    """Return whether a job of a sweep has failed."""
    return any(Job.read(path.parent).state == "failed" for path in sweep_folder.glob(f"*/{Job.FILE}"))


def _keep(job: Job, folder: Path, score: str | None) -> float | None:
    """Return the score of a job that was finished by an earlier process, which may not have recorded this."""
    earlier = Job.read(folder) if (folder / Job.FILE).is_file() else job
    if earlier.state != "finished":
        earlier = _finished(job, folder, score)
        earlier.write(folder)
    return earlier.score


def _finished(job: Job, folder: Path, score: str | None) -> Job:
    """Return the record of a job whose summary has been written."""
    summary = Summary.read(folder)
    value = None if score is None else summary.metrics.get(score)
    return replace(job, state="finished", score=_finite(value), seconds=summary.total_seconds, reason=None)


def _pruned(job: Job, pruned: Pruned) -> Job:
    """Return the record of a job that its search has pruned."""
    return replace(job, state="pruned", score=_finite(pruned.score), reason=str(pruned))


def _choose_resumption(cfg: DictConfig, folder: Path) -> None:
    """Resume the job if an earlier process has started it: of a resumed sweep, or before a scheduler requeued it."""
    if all((folder / file).is_file() for file in (SETTINGS, OVERRIDES)):
        cfg.resume = str(folder)
        check_run(folder)
        return
    if cfg.resume is None:
        return  # Hydra has written the files that the following lines write.
    cfg.resume = None
    # Hydra does not write these files, because they must not change for the jobs that have been started before.
    hydra = HydraConfig.get()
    write_config(folder / ".hydra" / "hydra.yaml", OmegaConf.create({"hydra": hydra}))
    write_config(folder / ".hydra" / "config.yaml", cfg)
    write_overrides(folder, overrides_of(hydra, "task"))


def _finite(score: float | None) -> float | None:
    return None if score is None or not math.isfinite(score) else float(score)


def _explain_bug(error: Exception) -> str:
    reason = shorten(f"{type(error).__name__}: {one_line(error)}", _LONGEST)
    return readable(f"This is a bug in celeba_lab ({reason}). {OUTPUT} in the folder of the job shows the traceback.")
