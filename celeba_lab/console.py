"""Output in the terminal: tables, progress and commands."""

import logging
import os
import shlex
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, TypeVar

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.live import Live
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    import pandas as pd


T = TypeVar("T")


def is_main_process() -> bool:
    """Return whether this process prints and writes files, as only one process of a distributed run does."""
    # torchrun, SLURM and Lightning's launcher set these variables.
    for variable in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if variable in os.environ:
            return os.environ[variable] == "0"
    return True


console = Console(highlight=False, quiet=not is_main_process())

PROGRAM = "python -m celeba_lab"


def quiet_libraries() -> None:
    """Hide advertisements of libraries, and advice that does not apply."""
    # With Hydra, Lightning's messages would appear twice: through its own handler and through that of the root logger.
    logging.getLogger("lightning").handlers.clear()
    logging.getLogger("lightning.pytorch").handlers.clear()
    # Frozen layers are in evaluation mode on purpose.
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
    # Undefined metrics are reported as undefined.
    warnings.filterwarnings("ignore", ".*No (positive|negative) samples (found )?in targets?.*")
    # The logged values have already been synchronised by torchmetrics.
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")
    # A resumed run continues in its own folder.
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    # The folder of a run may have been moved or copied.
    warnings.filterwarnings("ignore", ".*The dirpath has changed from.*")
    # Lightning 2.6 uses an older name of torch's pytree.
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    # The number of workers is a decision of the data module. On two cores, more workers are slower.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # Distances store thousands of feature vectors on purpose.
    warnings.filterwarnings("ignore", ".*Kernel Inception Distance. will save all extracted features.*")
    # The size of the model is reported as its number of parameters.
    warnings.filterwarnings("ignore", ".*is not supported by the model summary.*")
    warnings.filterwarnings("ignore", ".*number of training batches.*smaller than the logging interval.*")


def show_configuration(cfg: DictConfig) -> None:
    """Print the resolved configuration as a tree with a branch for each group, without settings that are null."""
    tree = Tree("configuration", guide_style="dim")
    for key in map(str, cfg):
        value = cfg[key]
        if value is None:
            continue
        if OmegaConf.is_config(value):
            text = OmegaConf.to_yaml(value, resolve=True).rstrip()
            tree.add(f"[bold]{key}[/bold]").add(Syntax(text, "yaml", background_color="default"))
        else:
            tree.add(f"[bold]{key}[/bold]: {value}")
    console.print(tree)


def show_metrics(title: str, columns: Mapping[str, Mapping[str, float]]) -> None:
    """Print metrics side by side.

    Args:
        title: Title of the table.
        columns: For each column, such as a split, the values by the names of the metrics.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    for name in columns:
        table.add_column(split_name(name), justify="right")
    names = dict.fromkeys(name for column in columns.values() for name in column)
    for name in names:
        table.add_row(name, *(_number(column.get(name)) for column in columns.values()))
    console.print(table)


def show_table(title: str, frame: "pd.DataFrame", most: int | None = None) -> None:
    """Print a table whose numbers have four digits.

    Args:
        title: Title of the table.
        frame: Table with names in its first column.
        most: Maximum number of rows. The first ones are printed.
    """
    shown = frame if most is None else frame.head(most)
    table = Table(title=title, title_justify="left")
    for column in shown.columns:
        is_text = shown[column].dtype.kind not in "iufb"
        words = " ".join(map(str, shown[column])).split() if is_text else []
        # The longest word is not broken, so that names stay complete.
        table.add_column(str(column), justify="left" if is_text else "right", min_width=max(map(len, words), default=0))
    for row in shown.itertuples(index=False):
        table.add_row(*map(_cell, row))
    if len(shown) < len(frame):
        table.caption = f"{len(frame) - len(shown)} more in the tables"
    console.print(table)


class Progress:
    """A line that shows the progress of a piece of work and the time left.

    On a terminal the line is redrawn in place, never wraps, and disappears at the end. If the output is not a terminal
    (CI, ``nohup``, SLURM), a line is printed every 30 seconds. Work that takes less than two seconds shows nothing,
    and only the main
    process of a distributed run shows anything. Work that is part of other work is shown in the line of that work.

    Args:
        what: Description of the work.
        total: Number of steps; None if it is not known.
        unit: Name of a step, in the plural.

    Example:
        >>> with Progress("decoding", total=3, unit="images") as progress:
        ...     for _ in range(3):
        ...         progress.advance()
    """

    interval = 30.0
    """Seconds between two lines in a log."""
    delay = 2.0
    """Seconds of work before anything is shown on a terminal."""
    _open: ClassVar[list["Progress"]] = []  # Work in progress, from the outermost to the innermost.

    def __init__(self, what: str, total: float | None = None, unit: str = "") -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.done = 0.0
        self.note = ""
        self._start = perf_counter()
        self._stopped = Event()
        self._thread: Thread | None = None

    def __enter__(self) -> "Progress":
        self._start = perf_counter()
        self._open.append(self)
        if len(self._open) == 1 and not console.quiet:
            self._stopped.clear()
            self._thread = Thread(target=self._show_live if console.is_terminal else self._log, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.remove(self)
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def update(self, done: float, note: str = "") -> None:
        """Set the number of finished steps and a short text that is shown after it."""
        self.done, self.note = done, note

    def advance(self, steps: float = 1) -> None:
        """Add finished steps."""
        self.done += steps

    @property
    def seconds(self) -> float:
        """Seconds since the work started."""
        return perf_counter() - self._start

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds until the work is finished; None before the first step or without a total."""
        if not self.done or self.total is None:
            return None
        return self.seconds * max(0.0, self.total - self.done) / self.done

    def text(self, width: int) -> str:
        """Return the line, with up to ``width`` characters."""
        count = f"{self.done:,.0f}" + ("" if self.total is None else f"/{self.total:,.0f}")
        left = self.seconds_left
        time = f"{format_seconds(self.seconds)} so far" if left is None else f"{format_seconds(left)} left"
        has_count = self.total is not None or self.done
        counted = f"{count} {self.unit}".strip() if has_count else ""
        parts = [part for part in (self.what, counted, self.note, time) if part]
        line = "  ".join(parts)
        room = width - len(line) - 2
        if self.total and room >= 10:
            bar = draw_bar(self.done / self.total, min(room, 30))
            line = "  ".join([parts[0], bar, *parts[1:]])
        return line if len(line) <= width else line[: width - 3] + "..."

    def _show_live(self) -> None:
        if self._stopped.wait(self.delay):
            return
        with Live(console=console, transient=True, refresh_per_second=8, get_renderable=lambda: Text(self._shown())):
            self._stopped.wait()

    def _log(self) -> None:
        while not self._stopped.wait(self.interval):
            console.print(self._shown(), markup=False, soft_wrap=True)

    def _shown(self) -> str:
        """Return the line of the innermost work, after the names of the work that it is part of."""
        outer, inner = [*self._open[:-1]], self._open[-1] if self._open else self
        prefix = "".join(f"{work.what}: " for work in outer)
        return prefix[: console.width // 2] + inner.text(console.width - min(len(prefix), console.width // 2))


def progress(items: Iterable[T], what: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Yield the items and show how many of them are finished; see :class:`Progress`."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(what, total, unit) as bar:
        for item in items:
            yield item
            bar.advance()


def draw_bar(share: float, width: int) -> str:
    """Return a bar of ``width`` characters that is filled to ``share``, from 0 to 1."""
    filled = round(min(1.0, max(0.0, share)) * width)
    return "━" * filled + "╌" * (width - filled)


def format_seconds(seconds: float) -> str:
    """Return a duration as ``1:05`` or ``2:01:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return _number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "undefined" if value != value else f"{value + 0.0:.4f}"


def command_line(overrides: Sequence[str], multirun: bool = False) -> str:
    """Return the command that runs these overrides, quoted for a shell."""
    return " ".join([PROGRAM, *(["-m"] if multirun else []), *(shlex.quote(override) for override in overrides)])


def override(key: str, value: object) -> str:
    """Return ``key=value`` in Hydra's grammar, where a value with special characters is quoted."""
    text = str(value)
    plain = all(character.isalnum() or character in "/_.-+:%" for character in text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}={text}" if plain and text else f"{key}='{escaped}'"


def display_path(path: Path) -> Path:
    """Return a path as a user in the current folder would type it."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


class MetricLines:
    """Aligned lines of metrics under one heading, such as one line for each epoch.

    Args:
        label: Heading of the first column.
        metrics: Names of the metrics, ``split/metric``. A split is named only in the first of its columns.

    Example:
        >>> lines = MetricLines("epoch", ["train/loss", "train/accuracy", "val/loss"])
        >>> lines.heading()
        'epoch  train loss  accuracy  validation loss'
        >>> lines.row("1/4", {"train/loss": 0.65, "train/accuracy": 0.6})
        '  1/4      0.6500    0.6000'
    """

    def __init__(self, label: str, metrics: Sequence[str]) -> None:
        self.label = label
        self.metrics = list(metrics)
        self.headings = list(map(_heading, ["", *self.metrics], self.metrics))

    def heading(self) -> str:
        """Return the line above the first row."""
        return "  ".join([self.label, *(heading.rjust(8) for heading in self.headings)])

    def row(self, label: str, values: Mapping[str, float]) -> str:
        """Return one line; a metric without a value leaves its column empty."""
        cells = [
            (_short(values[metric]) if metric in values else "").rjust(max(8, len(heading)))
            for metric, heading in zip(self.metrics, self.headings, strict=True)
        ]
        return "  ".join([label.rjust(len(self.label)), *cells]).rstrip()


def _heading(before: str, metric: str) -> str:
    """Return the heading of a metric, without its split if the metric before it has the same one."""
    split, _, name = metric.partition("/")
    words = name.replace("images_per_second", "images/s").replace("_", " ")
    return words if before.startswith(f"{split}/") else f"{split_name(split)} {words}"


def split_name(split: str) -> str:
    """Return the name of a split in the terminal."""
    return "validation" if split == "val" else split


def _short(value: float) -> str:
    """Return a number in up to eight characters."""
    if value != value:
        return "undefined"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"
