"""Determine the jobs of a sweep before it starts, and record them in its folder."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from celeba_lab.cli.explain import explain
from celeba_lab.cli.job_names import key_of, pick_varied
from celeba_lab.cli.search_plan import (
    OPTUNA_SWEEPER,
    first_value,
    listed_values,
    parse_overrides,
    plan_search,
    split_overrides,
)
from celeba_lab.cli.sweep_checks import check_finders, check_score, has_finder
from celeba_lab.cli.sweep_processes import jobs_that_choose_devices, refuse_distributed_jobs
from celeba_lab.config import overrides_of
from celeba_lab.console import console, display_path, format_override
from celeba_lab.data.workers import usable_cores
from celeba_lab.errors import SettingError, UserError, check_choice
from celeba_lab.runs.job import Job
from celeba_lab.runs.search import Search, check_trials, create_study
from celeba_lab.runs.settings import RESUME
from celeba_lab.runs.summary import SUMMARY, Summary
from celeba_lab.runs.sweep import DIRECTIONS, Sweep

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
"""Hydra's own sweeper, which tries every combination of the values."""
SUBFOLDERS = "hydra.sweep.subdir"
"""Setting that names the folders of the jobs."""
_SECTIONS = ("launcher", "sweeper")


def start_sweep(config: DictConfig) -> Sweep:
    """Record a new sweep in its folder, or check that a resumed sweep has the same jobs as before.

    Args:
        config: Configuration of the sweep, including the settings of Hydra.

    Raises:
        UserError: The sweep has no jobs, a job would use several processes, or the jobs of a resumed sweep have
            changed.
    """
    folder = Path(config.hydra.sweep.dir)
    planned = plan_sweep(config)
    search = _plan_search(config) if config.hydra.sweeper._target_ == OPTUNA_SWEEPER else None
    if planned.jobs:
        composed = _check_composed(config, planned.jobs[0])
        check_score(composed)
        _check_devices(config, planned.jobs, composed)
        _check_finders(config, planned.jobs, planned.varied)
    if config.get(RESUME) is None:
        if search is not None:
            create_study(search, folder)  # This refuses the study of another search before anything is written.
            search.write(folder)
        planned.write(folder)
        return planned
    stored = Sweep.read(folder)
    is_same_search = search is None or _is_same(search, folder)
    if stored.varied != planned.varied or _values(stored) != _values(planned) or not is_same_search:
        raise UserError(
            f"{format_override(RESUME, config.get(RESUME))} cannot be resumed, because the sweep would have other jobs"
            " than before. Undo the changes to the configuration files, or start a new sweep."
        )
    if search is not None:
        study = create_study(search, folder)  # This refuses a damaged study before anything is changed.
        check_trials(study, search, folder)
    jobs = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()]
    for path in jobs:
        _check_summary(path)
    for path in jobs:
        _prepare_again(path)
    if search is not None:
        search.write(folder)  # The number of trials may have been increased.
    return stored


def _is_same(search: Search, folder: Path) -> bool:
    """Return whether the search in the folder of a resumed sweep optimises the same, and check that its study is used.

    Raises:
        SettingError: Another study is named.
    """
    stored = Search.read(folder)
    for setting, given, used in (
        ("hydra.sweeper.study_name", search.study, stored.study),
        ("hydra.sweeper.storage", search.storage, stored.storage),
    ):
        if given != used:
            rule = f"cannot be changed when a sweep is resumed (the search uses {used})"
            raise SettingError(setting, given, rule, "Start a new sweep to use another study.", is_absolute=True)
    return search.identity == stored.identity


def _plan_search(config: DictConfig) -> Search:
    """Return the record of a search.

    Raises:
        UserError: A setting of the search is invalid, or a trial cannot be composed.
    """
    parsed = _parse(config)
    search = plan_search(config, parsed, jobs_at_once(config, None))
    space, fixed = split_overrides(parsed)
    first = {key: first_value(override) for key, override in space.items()}
    composed = _check_composed(config, [*fixed, *first.values()])
    check_score(composed, search.pruner["name"])
    decisive = [key for key in space if _chooses(config, key) or key.startswith("trainer.")]
    choices = [first, *(first | {key: text} for key in decisive for text in listed_values(space[key]))]
    jobs = [[*fixed, *choice.values()] for choice in choices]
    _check_devices(config, jobs, composed)
    _check_finders(config, jobs, list(space))
    return search


def _check_finders(config: DictConfig, jobs: Iterable[list[str]], varied: Sequence[str]) -> None:
    """Check that no callback searches for a setting that the sweep varies.

    Raises:
        UserError: A callback would replace the values that the sweep varies.
    """
    if not has_finder(varied):
        return
    kinds = {tuple(text for text in job if _chooses(config, key_of(text))): job for job in jobs}
    for job in kinds.values():
        try:
            composed = _check_composed(config, job)
        except UserError:
            continue  # Only this job fails.
        check_finders(composed, varied)


def _chooses(config: DictConfig, key: str) -> bool:
    """Return whether the callbacks of a job depend on an override: it chooses a file, or sets a callback."""
    return key in config.hydra.runtime.choices or key.startswith("callbacks.")


def _check_summary(folder: Path) -> None:
    """Check the summary of a job of a resumed sweep, because its results must not be overwritten.

    Raises:
        UserError: The summary is damaged.
    """
    if (folder / SUMMARY).is_file():
        try:
            Summary.read(folder)
        except UserError as error:
            hint = f"Or move {display_path(folder)} out of the sweep, and its job runs again."
            raise UserError(f"{error.sentence} {hint}") from error


def _prepare_again(folder: Path) -> None:
    """Prepare the folder of a job of a resumed sweep. Jobs that failed or were skipped run again.

    A damaged record of a job is set aside, because it contains nothing that the other files do not show.
    """
    path = folder / Job.FILE
    if not path.is_file():
        return
    try:
        state = Job.read(folder).state
    except UserError as error:
        aside = path.with_name(f"{Job.FILE}.damaged")
        path.replace(aside)
        console.print(f"{error.sentence} It was renamed to {aside.name}.", style="yellow", soft_wrap=True)
        return
    if state in ("failed", "skipped"):
        path.unlink()


def _check_composed(config: DictConfig, job: list[str]) -> DictConfig:
    """Check that the settings of a job exist, before the folder of the sweep contains anything, and return them.

    Raises:
        UserError: The settings of the job cannot be composed.
    """
    try:
        composed: DictConfig = GlobalHydra.instance().config_loader().load_sweep_config(config, job)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise UserError(sentence) from error
    return composed


def _check_devices(config: DictConfig, jobs: Iterable[Sequence[str]], first: DictConfig) -> None:
    """Check that each job uses a single process. A job that cannot be composed fails alone when it starts.

    Args:
        config: Configuration of the sweep, including the settings of Hydra.
        jobs: Overrides of each job.
        first: Composed settings of the first job.

    Raises:
        SettingError: A job would use several processes.
    """
    refuse_distributed_jobs(first)
    for job in jobs_that_choose_devices(jobs, GlobalHydra.instance().config_loader()):
        try:
            composed = _check_composed(config, job)
        except UserError:
            continue
        refuse_distributed_jobs(composed)


def jobs_at_once(config: DictConfig, jobs: int | None) -> int:
    """Return the number of jobs that the launcher runs on this machine at the same time.

    Args:
        config: Configuration of the sweep, including the settings of Hydra.
        jobs: Number of jobs that are launched together, or None if it is unknown.
    """
    launcher = config.hydra.launcher
    if str(launcher.get("_target_")).endswith(".submitit_launcher.LocalLauncher"):
        size = config.hydra.sweeper.get("max_batch_size") or jobs or 1
        return max(1, size if jobs is None else min(size, jobs))
    # Ray shares the cores itself, and the jobs of a cluster run on other machines.
    number = launcher.get("n_jobs", 1) if str(launcher.get("_target_")).endswith(".JoblibLauncher") else 1
    if isinstance(number, bool) or not isinstance(number, int) or number == 0:
        return 1
    cores = usable_cores()
    wanted = number if number > 0 else max(1, cores + 1 + number)
    return wanted if jobs is None else min(wanted, jobs)


def plan_sweep(config: DictConfig) -> Sweep:
    """Return the record of a sweep that is about to start.

    Raises:
        UserError: The sweep has no jobs.
    """
    check_choice("direction", str(config.direction), DIRECTIONS)
    sweeper = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
    assert isinstance(sweeper, dict)
    parsed = _parse(config)
    jobs: list[list[str]] | None = None
    if sweeper["_target_"] == BASIC_SWEEPER:
        [jobs] = BasicSweeper.split_arguments(parsed, None)
        if not jobs:
            empty = [override.input_line for override in parsed if override.is_sweep_override()]
            raise UserError(f"The sweep has no jobs, because {' '.join(map(str, empty))} has no values.")
    # A key that was given twice has its first place and its last value, also if the sweep is resumed.
    searched = [each for each in parsed if each.is_sweep_override()] or parsed
    keys = dict.fromkeys(map(key_of, jobs[0]) if jobs else (key_of(str(each.get_key_element())) for each in searched))
    return Sweep(
        overrides=_typed(config),
        hydra_overrides=[*filter(is_of_sweep, overrides_of(config.hydra, "hydra")), *_subfolders(config)],
        options=_options(config),
        varied=[key for key in keys if jobs is None or _differs(key, jobs)],
        jobs=jobs,
        score=config.score,
        direction=config.direction,
    )


def _typed(config: DictConfig) -> list[str]:
    """Return the overrides of the task on the command line, without those that resume the sweep."""
    return [text for text in overrides_of(config.hydra, "task") if key_of(text) != RESUME]


def _subfolders(config: DictConfig) -> list[str]:
    """Return the override that names the folders of the jobs, if it was typed.

    Raises:
        UserError: The jobs would not be in the folder of the sweep itself, where they are found again.
    """
    typed = [text for text in overrides_of(config.hydra, "hydra") if key_of(text) == SUBFOLDERS][-1:]
    if typed and "/" in typed[0]:
        raise UserError(f"{typed[0]} must not contain a slash, because each job has a folder in that of the sweep.")
    return typed


def _parse(config: DictConfig) -> list[Override]:
    return parse_overrides(config, GlobalHydra.instance().config_loader(), _typed(config))


def is_of_sweep(override: str) -> bool:
    """Return whether an override of Hydra selects or changes the launcher or the sweeper."""
    key = key_of(override).removeprefix("hydra")[1:]
    return any(key == section or key.startswith(tuple(f"{section}{sign}" for sign in "./@")) for section in _SECTIONS)


def _differs(key: str, jobs: Iterable[Sequence[str]]) -> bool:
    return len({tuple(text for text in job if key_of(text) == key) for job in jobs}) > 1


def _values(sweep: Sweep) -> list[dict[str, str]] | None:
    return None if sweep.jobs is None else [pick_varied(job, sweep.varied) for job in sweep.jobs]


def _options(config: DictConfig) -> list[str]:
    """Return the options that selected the folder and the name of the configuration."""
    name = config.hydra.job.config_name
    sources = config.hydra.runtime.config_sources
    folders = [source.path for source in sources if source.provider == "command-line"]
    return [*(["--config-name", name] if name != "config" else []), *(["--config-dir", folders[0]] if folders else [])]
