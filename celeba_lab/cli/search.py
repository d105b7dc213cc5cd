"""Run a search: choose the settings of each trial with Optuna, and let Hydra's launcher run it as a job.

Optuna's study in the folder of the sweep is the only state. A trial is added to it before its job starts, and the job
itself tells the study how it has ended. A search that was killed therefore goes on where it was.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf

from celeba_lab.cli.jobs import any_failed
from celeba_lab.cli.search_plan import build_sampler, distribution_of, parse_overrides, split_overrides
from celeba_lab.errors import SettingError
from celeba_lab.runs.job import Job
from celeba_lab.runs.search import Search, add_trial, create_study, list_trials
from celeba_lab.runs.summary import SUMMARY, Summary

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


def run_search(
    config: DictConfig, loader: ConfigLoader, launcher: Launcher, arguments: Sequence[str]
) -> list[Sequence[JobReturn]]:
    """Run the trials of a search that have not ended yet.

    Args:
        config: Configuration of the sweep, including the settings of Hydra.
        loader: Hydra's loader, which finds the choices that match a glob.
        launcher: Launcher that runs the jobs.
        arguments: Overrides of the task.

    Returns:
        What the launcher returned for each of its calls.

    Raises:
        UserError: The storage contains another study, or the task does not report the score.
    """
    folder = Path(config.hydra.sweep.dir)
    OmegaConf.save(config, folder / "multirun.yaml")
    search = Search.read(folder)
    space, fixed = split_overrides(parse_overrides(config, loader, arguments))
    distributions = {key: distribution_of(override) for key, override in space.items()}
    study = create_study(search, folder)
    _retry_failed(study)
    returned: list[Sequence[JobReturn]] = []
    launched: set[int] = set()
    while jobs := _next_jobs(search, study, distributions, launched):
        trials = list_trials(study)
        overrides = [[*fixed, *_overrides_of(trials[job])] for job in jobs]
        results = launcher.launch(overrides, initial_job_idx=jobs[0])
        for result in results:
            _ = result.return_value  # This raises the exception of a job that could not be started.
        launched.update(jobs)
        returned.append(results)
        _check_score(search, folder)
        if config.fail_fast and any_failed(folder):
            break
    return returned


def _retry_failed(study: "Study") -> None:
    """Add a trial for each job that failed in an earlier process, because resuming a sweep runs these jobs again."""
    from optuna.trial import TrialState

    for job, trial in enumerate(list_trials(study)):
        if trial.state == TrialState.FAIL:
            add_trial(study, trial, retried=job)


def _next_jobs(search: Search, study: "Study", space: dict[str, Any], launched: set[int]) -> list[int]:
    """Return the numbers of the jobs to launch, which are consecutive: interrupted ones first, then new ones."""
    from optuna.trial import TrialState

    size = search.trials_per_launch
    trials = list_trials(study)
    waiting = [k for k, trial in enumerate(trials) if trial.state == TrialState.RUNNING and k not in launched]
    if waiting:
        return [
            job for job, expected in zip(waiting, range(waiting[0], waiting[0] + size), strict=False) if job == expected
        ]
    new = range(len(trials), min(search.n_trials, len(trials) + size))
    _choose_settings(search, study, space, new)
    return list(new)


def _choose_settings(search: Search, study: "Study", space: dict[str, Any], jobs: Sequence[int]) -> None:
    """Add a trial to the study for each of some new jobs.

    The settings are chosen in a copy of the study, because Optuna would store a trial before its settings are known.
    """
    import optuna

    if not jobs:
        return
    copy = optuna.create_study(study_name=search.study, direction=search.direction, pruner=study.pruner)
    copy.add_trials(study.trials)
    for job in jobs:
        copy.sampler = build_sampler(search, space, job)
        number = copy.ask(space).number
        add_trial(study, copy.trials[number])


def _overrides_of(trial: "FrozenTrial") -> list[str]:
    """Return the overrides of a trial.

    Numbers from an interval are rounded to four significant digits, so that they can be read and typed.
    """
    from optuna.distributions import FloatDistribution

    overrides = []
    for key, distribution in trial.distributions.items():
        value = trial.params[key]
        if isinstance(distribution, FloatDistribution):
            text = f"{value:.4g}"
            value = text if distribution.low <= float(text) <= distribution.high else repr(value)
        overrides.append(f"{key}={value}")
    return overrides


def _check_score(search: Search, folder: Path) -> None:
    """Check that finished jobs report the score, without which a search cannot go on.

    Raises:
        SettingError: No finished job reports the score.
    """
    finished = [path.parent for path in folder.glob(f"*/{Job.FILE}") if (path.parent / SUMMARY).is_file()]
    metrics = [Summary.read(job).metrics for job in finished[:1]]
    if metrics and search.score not in metrics[0]:
        rule = "is not a metric of the jobs, so the search has been stopped"
        raise SettingError("score", search.score, rule, f"They report {', '.join(metrics[0])}.", is_absolute=True)
