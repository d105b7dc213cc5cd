"""A single execution of a task."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.text import Text
from typing_extensions import override

from celeba_lab.config import build, flatten, overrides_of
from celeba_lab.console import console, display_path, is_main_process
from celeba_lab.files import check_name, remove_staged
from celeba_lab.runs.environment import device_name, git_commit, library_versions
from celeba_lab.runs.events import LogPosition, cut_events, measure_events
from celeba_lab.runs.folder import PAGE, RunFolder
from celeba_lab.runs.loggers import Loggers, register, release
from celeba_lab.runs.settings import RESUME, write_overrides, write_settings
from celeba_lab.runs.summary import SUMMARY, Summary, SummaryFields
from celeba_lab.runs.threads import thread_facts
from celeba_lab.runs.waiting import waiting_facts

if TYPE_CHECKING:
    import torch

    from celeba_lab.data.celeba import CelebA


class Run(RunFolder):
    """A run of a task, with its folder and its settings.

    A task opens its run once and finishes the run once, in the main process. Nothing is written before training starts
    or before the first table, figure or logged value. A run that fails because of invalid settings or data therefore
    leaves no files behind, and a resumed run leaves its folder as it was.

    Args:
        path: Path to the run folder.
        task: Name of the task.
        settings: The resolved configuration, as nested dictionaries.
        overrides: Command-line overrides, excluding overrides of Hydra's own settings.
        loggers: Configuration of the loggers by name.

    Attributes:
        path: Path to the run folder.
        task: Name of the task.
        settings: The resolved configuration, as nested dictionaries.
        overrides: Command-line overrides, excluding overrides of Hydra's own settings.
        experiment: Name of the experiment.
        seed: Seed of the run.
        seconds: Wall-clock time of each part of the run, in seconds.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     run = Run(Path(folder), "train", {"name": "smile", "seed": 1}, ["data.limit=500", "seed=1"])
        ...     with run.timed("fit"):
        ...         pass
        >>> run.experiment, run.data_overrides, list(run.seconds)
        ('smile', ['data.limit=500'], ['fit'])
    """

    def __init__(
        self,
        path: Path,
        task: str,
        settings: Mapping[str, Any],
        overrides: Sequence[str] = (),
        loggers: DictConfig | None = None,
    ) -> None:
        super().__init__(path)
        self.task = task
        self.settings = dict(settings)
        self.overrides = list(overrides)
        self._logger_settings = loggers
        self._has_begun = False
        self._has_recorded = False
        self._is_finished = False
        self._event_sizes: Mapping[str, int] | None = {}
        self._earlier_events = measure_events(path)
        self._first_step = 0
        self.experiment: str = settings["name"]
        self.seed: int = settings["seed"]

    @classmethod
    def open(cls, cfg: DictConfig) -> "Run":
        """Open the run that Hydra has started, in the folder created by Hydra.

        Raises:
            UserError: A path in the settings, or the path to the folder, is not UTF-8 text, or a logger cannot be used.
        """
        hydra = HydraConfig.get()
        settings = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(settings, dict)
        for value in (hydra.runtime.output_dir, *flatten(settings).values()):
            check_name(Path(str(value)))
        run = cls(
            path=Path(hydra.runtime.output_dir),
            task=str(hydra.runtime.choices.get("task") or cfg.task._target_.rpartition(".")[2]),
            settings={str(name): value for name, value in settings.items()},
            overrides=overrides_of(hydra, "task"),
            loggers=cfg.logger,
        )
        # A logger that needs a login or a server is built now, because reading the data can take minutes.
        register(run.loggers)
        return run

    @cached_property
    def loggers(self) -> Loggers:
        """The loggers of the run, in the order in which they are listed."""
        loggers = Loggers(build(node) for node in (self._logger_settings or {}).values() if node)
        if self.is_resumed:
            loggers.keep_rows(0)
        return loggers

    def begin(self) -> None:
        """Log the configuration, and prepare the folder of a resumed run for new results.

        The folder of a resumed run is changed only now, when nothing can be refused any more: its settings are stored,
        and its summary and everything that was written after the last checkpoint are removed.
        """
        if self._has_begun or not is_main_process():
            return
        self._has_begun = True
        if self.is_resumed:
            (self.path / SUMMARY).unlink(missing_ok=True)
        if self.is_resumed or self._has_recorded:
            write_settings(self.path, self.settings)
        if self.is_resumed:
            write_overrides(self.path, self.overrides)
            remove_staged(self.path)
            if self._event_sizes is not None:
                cut_events(self.path, self._event_sizes, self._earlier_events)
        settings = OmegaConf.to_yaml(OmegaConf.create(dict(self.settings)))
        # A service does not learn where the user's folders are.
        for folder, name in ((self.path.resolve(), str(display_path(self.path))), (Path.home(), "~")):
            settings = settings.replace(str(folder), name)
        lines = "\n".join(f"    {line}" for line in settings.splitlines())
        self.loggers.send_text("configuration", lines, self._first_step)

    def record(self, group: str, name: str, value: Any) -> None:
        """Record the value that the run has chosen for a setting, which a resumed or repeated run uses as well.

        ``config.yaml`` contains it as soon as the run begins.

        Args:
            group: Group of the setting, such as ``recipe``.
            name: Name of the setting.
            value: The value.
        """
        self.settings[group] = {**self.settings[group], name: value}
        self._has_recorded = True

    def withdraw(self) -> None:
        """Remove what the loggers have stored of a run that was refused before it began.

        Lightning opens the loggers before its checks.
        """
        if self._has_begun or not is_main_process():
            return
        self.loggers.withdraw()
        for name in measure_events(self.path).keys() - self._earlier_events.keys():
            (self.path / name).unlink()

    @property
    def is_resumed(self) -> bool:
        """Whether an earlier process has already started this run."""
        return self.settings.get(RESUME) is not None

    def keep_logs(self, position: LogPosition, step: int) -> None:
        """Keep what the loggers of a resumed run wrote before a checkpoint. By default, all of it is removed.

        Args:
            position: How much the loggers had written when the checkpoint was saved. What is unknown is kept.
            step: Training step of the checkpoint, at which TensorBoard shows the configuration of the resumed run.
        """
        self._event_sizes, self._first_step = position.sizes, step
        self.loggers.keep_rows(position.rows)

    @property
    def last_checkpoint(self) -> Path:
        """Path to the checkpoint with the last state of training, which may not exist."""
        last = (self.settings.get("callbacks") or {}).get("last") or {}
        folder = last.get("dirpath") or self.path / "checkpoints"
        return Path(folder, f"{last.get('filename') or 'last'}.ckpt")

    def title(self, data_name: str | None) -> str:
        """Return the prefix of every figure title, with the names of the data and the experiment."""
        return f"{data_name} · {self.experiment}"

    @property
    def data_overrides(self) -> list[str]:
        """Overrides that make another command use the same data."""
        return [text for text in self.overrides if text.startswith("data")]

    def finish(
        self,
        metrics: Mapping[str, float],
        *,
        checkpoint: str | Path | None = None,
        device: "torch.device | None" = None,
        hyperparameters: Mapping[str, Any] | None = None,
        step: int = 0,
        next_commands: Sequence[tuple[str, str]] = (),
        **fields: Unpack[SummaryFields],
    ) -> dict[str, float]:
        """Log the hyperparameters, write the summary, print the location of the results, and return the metrics.

        When the summary has been written, the run is finished: an error of a logger that is closed is only printed.

        Args:
            metrics: Metric values by name.
            checkpoint: Path to the checkpoint for which the metrics were computed.
            device: Device on which the model ran. Defaults to the CPU.
            hyperparameters: Hyperparameters to send to the loggers. By default, the task settings are shown, together
                with the metrics that summarise all attributes.
            step: Training step at which the loggers show the metrics.
            next_commands: Commands to suggest to the user, as pairs of a purpose and a command.
            **fields: Additional fields of the summary; see :class:`~celeba_lab.runs.summary.Summary`.

        Raises:
            RuntimeError: The run has already been finished.
        """
        if self._is_finished:
            raise RuntimeError(f"The run in {self.path} has already been finished.")
        self.begin()
        self._is_finished = True
        if hyperparameters is not None:
            self.log_hyperparameters(hyperparameters, metrics, step)
        else:
            overall = {name: value for name, value in metrics.items() if name.count("/") <= 1}
            self.log_hyperparameters(self._task_settings(), overall, step)
        details = {**fields.get("details", {}), "threads": thread_facts() | waiting_facts()}
        if debug := self.settings.get("debug"):
            details["debug"] = debug
        fields["details"] = details
        summary = Summary(
            experiment=self.experiment,
            task=self.task,
            seed=self.seed,
            metrics=dict(metrics),
            checkpoint=None if checkpoint is None else str(display_path(Path(checkpoint))),
            device=device_name(device),
            seconds=self.seconds,
            versions=library_versions(),
            git=git_commit(),
            **fields,
        )
        commands = [*next_commands, *self.loggers.list_views()]
        summary.write(self.path)
        self.show(commands)
        for sentence in self.loggers.close(is_finished=True):
            console.print(sentence, style="yellow", soft_wrap=True)
        release(self.loggers)
        return summary.metrics

    @override
    def _given(self) -> set[str]:
        return {text.partition("=")[0].rpartition(".")[2] for text in self.overrides if "." in text.partition("=")[0]}

    def _task_settings(self) -> dict[str, Any]:
        data = self.settings["data"]
        return {"seed": self.seed, "data": None if data is None else data["name"], **flatten(self.settings["task"])}

    def show(self, next_commands: Sequence[tuple[str, str]] = ()) -> None:
        """Print the paths to the run folder and its report or figures, and commands to run next."""
        console.print("run folder: ", Text(str(display_path(self.path)), "bold"), sep="", soft_wrap=True)
        if (page := self.path / PAGE).exists():
            _show("report", str(display_path(page)))
        else:
            for figure in sorted((self.path / "figures").glob("*.png")):
                _show("figure", str(display_path(figure)))
        for profile in sorted((self.path / "profile").glob("*")):
            _show("profile", str(display_path(profile)))
        for purpose, command in next_commands:
            _show(purpose, command)


def _show(purpose: str, text: str) -> None:
    # Line breaks would make a path or a command hard to copy.
    console.print("  ", Text(f"{purpose}:", "dim"), f" {text}", sep="", soft_wrap=True)


def write_bad_images(run: RunFolder, data: "CelebA") -> None:
    """Write the names of any skipped images to ``tables/bad_images.csv``."""
    if len(data.bad_images):
        run.table("bad_images", data.bad_images)
