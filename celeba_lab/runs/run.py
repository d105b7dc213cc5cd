"""A single execution of a task, and the folder that contains its results."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Unpack

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.text import Text
from typing_extensions import override

from celeba_lab.config import build, flatten, overrides_of
from celeba_lab.console import console, display_path, is_main_process
from celeba_lab.files import check_name, remove_staged, write_atomically, write_csv
from celeba_lab.runs.environment import device_name, git_commit, library_versions
from celeba_lab.runs.events import LogPosition, cut_events, measure_events
from celeba_lab.runs.job import Job
from celeba_lab.runs.loggers import Loggers, register, release
from celeba_lab.runs.settings import RESUME, write_overrides, write_settings
from celeba_lab.runs.summary import SUMMARY, Summary, SummaryFields
from celeba_lab.runs.sweep import short_names
from celeba_lab.runs.threads import thread_facts
from celeba_lab.runs.waiting import waiting_facts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

    from celeba_lab.data.celeba import CelebA


PAGE = "report.html"
_DPI = 150
_COMPRESS_LEVEL = 4  # takes half as long as the default of 6, and the files are 5% larger


class RunFolder:
    """A run folder, in which reports save ``tables/*.csv`` and ``figures/*.png``.

    Args:
        path: Path to the folder.
        loggers: Loggers to which every table and figure is also sent.

    Attributes:
        path: Path to the folder.
        seconds: Wall-clock time of each part of the run, in seconds.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import pandas as pd
        >>> with TemporaryDirectory() as folder:
        ...     path = RunFolder(Path(folder)).table("scores", pd.DataFrame({"accuracy": [0.93]}))
        ...     path.read_text().splitlines()
        ['accuracy', '0.93']
    """

    def __init__(self, path: Path, loggers: Iterable[Any] = ()) -> None:
        self.path = path
        self._loggers = Loggers(loggers)
        self.seconds: dict[str, float] = {}

    def begin(self) -> None:
        """Prepare the folder for new results. Every method that writes to the folder calls this method first."""

    @property
    def loggers(self) -> Loggers:
        """The loggers of the run."""
        return self._loggers

    @property
    def writer(self) -> "SummaryWriter | None":
        """TensorBoard's ``SummaryWriter``, or None if TensorBoard is not used."""
        self.begin()
        return self.loggers.writer

    def table(self, name: str, frame: "pd.DataFrame") -> Path:
        """Write a table to ``tables/<name>.csv``, send it to the loggers, and return the path.

        Undefined values are empty cells. Texts and names of columns that a spreadsheet would run as formulas, such as
        names of images, are quoted; see :func:`~celeba_lab.files.formats.quote_cell`.
        """
        self.begin()
        path = self.path / "tables" / f"{name}.csv"
        write_csv(path, frame)
        self.loggers.send_table(name, frame)
        return path

    def matrix(self, name: str, values: "np.ndarray", rows: Sequence[str], columns: Sequence[str], corner: str) -> Path:
        """Write a matrix to ``tables/<name>.csv`` and return the path.

        Args:
            name: Name of the table.
            values: Values of the matrix, (R, C).
            rows: Names of the R rows, which are written to the first column.
            columns: Names of the C columns.
            corner: Heading of the first column.
        """
        import pandas as pd

        frame = pd.DataFrame(values, columns=list(columns))
        frame.insert(0, corner, list(rows))
        return self.table(name, frame)

    def figure(self, name: str, figure: "Figure", step: int = 0) -> Path:
        """Save a figure to ``figures/<name>.png`` at 150 dpi, send it to the loggers, and return the path."""
        self.begin()
        path = self.path / "figures" / f"{name}.png"
        stream = BytesIO()
        figure.savefig(stream, format="png", dpi=_DPI, pil_kwargs={"compress_level": _COMPRESS_LEVEL})
        write_atomically(path, lambda file: file.write(stream.getbuffer()))
        self.loggers.send_figure(name, stream.getvalue(), step)
        return path

    def log_hyperparameters(
        self, hyperparameters: Mapping[str, Any], metrics: Mapping[str, float], step: int = 0
    ) -> None:
        """Send hyperparameters and the resulting metrics to the loggers, such as TensorBoard's HParams dashboard.

        The settings that the sweep varies come first, or those on the command line if the run is not part of a sweep.
        The metrics of the validation split come first as well.
        """
        self.begin()
        varied = self._varied()
        names = set(varied) or self._given()
        shown = dict(sorted((varied | dict(hyperparameters)).items(), key=lambda item: item[0] not in names))
        defined = {name: float(metrics[name]) for name in sorted(metrics, key=_rank) if math.isfinite(metrics[name])}
        self.loggers.send_results(shown, defined, step, names & shown.keys())

    def _given(self) -> set[str]:
        """Return the last parts of the names of settings that were given on the command line."""
        return set()

    def _varied(self) -> dict[str, Any]:
        """Return the settings that the sweep of this run varies, by short name."""
        if not (self.path / Job.FILE).is_file():
            return {}
        varied = Job.read(self.path).values
        return {short: varied[key] for key, short in short_names(list(varied)).items()}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the wall-clock time of the ``with`` block to ``seconds[name]``."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + perf_counter() - start, 3)


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


_SPLITS, _METRICS = ("val", "heldout", "test"), ("accuracy", "kid", "fid", "auroc", "loss")


def _rank(metric: str) -> tuple[int, int]:
    """Return the place of a metric in a table, where the most important metrics come first.

    Example:
        >>> sorted(["train/loss", "test/accuracy", "val/recall", "val/accuracy"], key=_rank)
        ['val/accuracy', 'val/recall', 'test/accuracy', 'train/loss']
    """
    split, _, name = metric.partition("/")
    return tuple(  # type: ignore[return-value]
        known.index(part) if part in known else len(known) for part, known in ((split, _SPLITS), (name, _METRICS))
    )


def _show(purpose: str, text: str) -> None:
    # Line breaks would make a path or a command hard to copy.
    console.print("  ", Text(f"{purpose}:", "dim"), f" {text}", sep="", soft_wrap=True)


def write_bad_images(run: RunFolder, data: "CelebA") -> None:
    """Write the names of any skipped images to ``tables/bad_images.csv``."""
    if len(data.bad_images):
        run.table("bad_images", data.bad_images)
