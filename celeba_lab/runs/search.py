"""A search: a sweep whose jobs are the trials of an Optuna study, which is stored in the folder of the sweep.

Every process that runs a job opens the study by itself, so the jobs may run in other processes, or on other machines
that share the folder. Optuna is imported only if it is needed.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from celeba_lab.console import display_path
from celeba_lab.errors import UserError, check_keywords, missing_extra
from celeba_lab.files import unusable
from celeba_lab.runs.job import Job
from celeba_lab.runs.record import Record

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import JournalStorage
    from optuna.trial import FrozenTrial

_IDENTITY = "search"  # Attribute of a study with the settings that all of its trials must share.
_RETRIED = "retried_job"  # Attribute of a trial that repeats a failed one, with the number of the job.


class Pruned(Exception):  # noqa: N818  # It is not an error.
    """Raised after a run has been stopped because the pruner of its search found it unpromising.

    Args:
        epoch: Number of the last epoch, counted from 1.
        epochs: Number of epochs that were planned, or None if it is not limited.
        score: Last score that was reported.
    """

    def __init__(self, epoch: int, epochs: int | None, score: float) -> None:
        self.score = score
        planned = f" of {epochs}" if epochs is not None and epochs > 0 else ""
        super().__init__(f"pruned after epoch {epoch}{planned}")


@dataclass(frozen=True, kw_only=True)
class Search(Record):
    """The settings of a search.

    Attributes:
        version: Version of the file format.
        storage: Name of the file in the folder of the sweep that contains the study.
        study: Name of the study.
        space: Values of each searched setting, as in ``interval(1e-4,1e-2)``.
        n_trials: Number of trials.
        at_once: Setting for the largest number of trials that are chosen and launched together, or None for all.
        seed: Seed of the sampler.
        sampler: Name of the sampler, and its settings.
        pruner: Name of the pruner, and its settings.
        score: Metric that is optimised, and that is reported to the pruner.
        direction: Whether high or low scores are better.
    """

    FILE: ClassVar[str] = "search.json"

    version: int = 1
    storage: str
    study: str
    space: dict[str, str]
    n_trials: int
    at_once: int | None
    seed: int
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    score: str
    direction: Literal["maximize", "minimize"]

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that all trials of a study share."""
        return {"space": self.space, "score": self.score}

    @property
    def trials_per_launch(self) -> int:
        """Number of trials in each launch, which is at most ``n_trials``. A launcher may run them one after another."""
        return min(self.at_once or self.n_trials, self.n_trials)

    @property
    def prunes(self) -> bool:
        """Whether trials are stopped early."""
        return str(self.pruner["name"]) != "none"


def require_optuna() -> None:
    """Check that Optuna is installed, and let it print only warnings.

    Raises:
        UserError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("hydra/sweeper=optuna", "sweep") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def build_pruner(settings: dict[str, Any]) -> Any:
    """Return the pruner with a name and settings, such as ``{"name": "median", "n_startup_trials": 5}``.

    Raises:
        SettingError: A setting is not one of the pruner.
    """
    from optuna import pruners

    kinds = {
        "none": pruners.NopPruner,
        "median": pruners.MedianPruner,
        "percentile": pruners.PercentilePruner,
        "successive_halving": pruners.SuccessiveHalvingPruner,
        "hyperband": pruners.HyperbandPruner,
    }
    kind, given = kinds[settings["name"]], {name: value for name, value in settings.items() if name != "name"}
    check_keywords(given, kind)
    return kind(**given)


def create_study(search: Search, folder: Path) -> "Study":
    """Create the study of a search in the folder of its sweep, or open it if it exists.

    Raises:
        SettingError: A setting is not one of the pruner.
        UserError: The file is damaged, or contains the study of another search.
    """
    import optuna

    path = folder / search.storage
    _remove_incomplete_line(path)
    storage = _open_storage(path)
    names = optuna.get_all_study_names(storage)
    if names and search.study not in names:
        raise _another_study(path, f"it contains the study {names[0]}, not {search.study}")
    study = optuna.create_study(
        storage=storage,
        study_name=search.study,
        direction=search.direction,
        pruner=build_pruner(search.pruner),
        sampler=optuna.samplers.RandomSampler(),
        load_if_exists=True,
    )
    if study.direction.name.lower() != search.direction:
        raise _another_study(path, f"its direction is {study.direction.name.lower()}, not {search.direction}")
    stored = study.user_attrs.get(_IDENTITY)
    if stored is None and not study.trials:
        study.set_user_attr(_IDENTITY, search.identity)
    elif stored != search.identity:
        is_score = isinstance(stored, dict) and stored.get("space") == search.space
        raise _another_study(path, "it has another score" if is_score else "it has another search space")
    return study


def _another_study(path: Path, reason: str) -> UserError:
    hint = "Choose another hydra.sweeper.storage, or start a new sweep."
    return UserError(f"{display_path(path)} is the storage of another study: {reason}. {hint}")


def _open_storage(path: Path) -> "JournalStorage":
    """Open the file of a study.

    A journal is used instead of SQLite, because it is safe on the network file systems of clusters, only grows by whole
    lines, and needs no further libraries.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    absolute = str(path.resolve())
    try:
        return JournalStorage(JournalFileBackend(absolute, JournalFileOpenLock(absolute)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unusable(path, "it is not the storage of a study", "Start a new sweep.") from error


def _remove_incomplete_line(path: Path) -> None:
    """Remove the last line of a file if a killed process has written only a part of it."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def open_study(search: Search, folder: Path) -> "Study":
    """Open the study of a search whose sweep has been started.

    Raises:
        SettingError: A setting is not one of the pruner.
        UserError: The file is missing or damaged, or does not contain the study.
    """
    import optuna

    path = folder / search.storage
    if not path.is_file():
        raise UserError(f"{display_path(path)} does not exist, but contains the study of this sweep.")
    try:
        return optuna.load_study(
            storage=_open_storage(path),
            study_name=search.study,
            pruner=build_pruner(search.pruner),
            sampler=optuna.samplers.RandomSampler(),
        )
    except KeyError as error:
        raise _another_study(path, f"it does not contain the study {search.study}") from error


def list_trials(study: "Study") -> "list[FrozenTrial]":
    """Return the trial of each job, in the order of the jobs. Of a job that was retried, this is the last trial."""
    trials: list[FrozenTrial] = []
    for trial in study.trials:
        job = trial.user_attrs.get(_RETRIED)
        if job is None:
            trials.append(trial)
        else:
            trials[job] = trial
    return trials


def check_trials(study: "Study", search: Search, folder: Path) -> None:
    """Check that a study contains the trials of all jobs in the folder of its sweep.

    A trial is stored before its job starts, so they can be missing only if the file was damaged or replaced.

    Raises:
        UserError: A trial is missing.
    """
    numbers = []
    for path in folder.glob(f"*/{Job.FILE}"):
        with suppress(UserError):  # A damaged record of a job is set aside later.
            numbers.append(Job.read(path.parent).number)
    if numbers:
        _find_trial(study, max(numbers), folder / search.storage)


def _find_trial(study: "Study", job: int, path: Path) -> "FrozenTrial":
    trials = list_trials(study)
    if not 0 <= job < len(trials):
        raise unusable(path, f"it does not contain the trial of job {job:,}", "Start a new sweep.")
    return trials[job]


def add_trial(study: "Study", trial: "FrozenTrial", retried: int | None = None) -> None:
    """Add a running trial to a study, in a single step that a killed process has either done or not.

    Args:
        study: The study.
        trial: Trial with the same parameters.
        retried: Number of the job that failed, if this trial repeats it.
    """
    from optuna.trial import TrialState, create_trial

    study.add_trial(
        create_trial(
            state=TrialState.RUNNING,
            params=trial.params,
            distributions=trial.distributions,
            system_attrs=trial.system_attrs,
            user_attrs={} if retried is None else {_RETRIED: retried},
        )
    )


class JobTrial:
    """The trial of a job that this process runs.

    Args:
        search: The search.
        study: Its study.
        number: Number of the trial in the study.
    """

    def __init__(self, search: Search, study: "Study", number: int) -> None:
        self.search = search
        self._study = study
        self._number = number

    @classmethod
    def find(cls, folder: Path) -> "JobTrial | None":
        """Return the trial of the job in a folder, or None if it does not belong to a search or its trial has ended.

        The job of a trial that has ended can be resumed alone, and is then trained to its end.

        Raises:
            UserError: A file of the search is damaged.
        """
        if not (folder / Job.FILE).is_file() or not (folder.parent / Search.FILE).is_file():
            return None
        require_optuna()
        search = Search.read(folder.parent)
        study = open_study(search, folder.parent)
        trial = _find_trial(study, Job.read(folder).number, folder.parent / search.storage)
        return None if trial.state.is_finished() else cls(search, study, trial.number)

    @property
    def reported(self) -> dict[int, float]:
        """The reported scores by the number of the epoch, counted from 1."""
        return self._study.trials[self._number].intermediate_values

    def report(self, step: int, score: float) -> None:
        """Report a score, unless an earlier process has already reported this step.

        Args:
            step: Number of the epoch, counted from 1.
            score: Value of the metric after this epoch.
        """
        if step not in self.reported:
            self._trial().report(score, step)

    def should_prune(self) -> bool:
        """Return whether the pruner would stop this trial after the scores that have been reported."""
        return bool(self.reported) and self._trial().should_prune()

    def _trial(self) -> Any:
        from optuna.trial import Trial

        return Trial(self._study, self._study.trials[self._number]._trial_id)

    def conclude(self, job: Job) -> None:
        """Tell the study how a job has ended, unless it has been told before. Other jobs go on later."""
        from optuna.trial import TrialState

        if self._study.trials[self._number].state.is_finished():
            return
        if job.state == "finished" and job.score is not None:
            self._study.tell(self._number, job.score)
        elif job.state == "pruned":
            self._study.tell(self._number, state=TrialState.PRUNED)
        elif job.state in ("finished", "failed"):
            self._study.tell(self._number, state=TrialState.FAIL)


def conclude_trial(folder: Path) -> None:
    """If a job belongs to a search, tell the study how it has ended."""
    trial = JobTrial.find(folder)
    if trial is not None:
        trial.conclude(Job.read(folder))


def find_search(folder: Path) -> Search | None:
    """Return the search in a folder, or None if the folder does not contain one."""
    return Search.read(folder) if (folder / Search.FILE).is_file() else None
