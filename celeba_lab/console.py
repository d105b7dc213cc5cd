"""Terminal output: tables, progress and command lines."""

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.live import Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from celeba_lab.errors import escape_controls, quote_override

if TYPE_CHECKING:
    import pandas as pd


T = TypeVar("T")


class PlainConsole(Console):
    """A console that shows names from files and settings exactly: brackets are no markup, and controls are escaped.

    Everything that is printed is escaped, also in objects such as ``Text``, tables and trees.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    @override
    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(escape_controls(text, kept="\n\t"), **settings)  # so that columns get the right width

    @override
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            # Rich's own control codes, which move the cursor, are in segments of their own.
            yield segment if segment.control else segment._replace(text=escape_controls(segment.text, kept="\n\t"))


def is_main_process() -> bool:
    """Return whether this is the main process of a run. Only the main process prints and writes files."""
    if "RANK" in os.environ:  # torchrun has set it.
        return os.environ["RANK"] == "0"
    own = [os.environ[name] for name in ("LOCAL_RANK", "NODE_RANK") if name in os.environ]
    if own:  # Lightning's launcher has set them, also in a job of SLURM.
        return set(own) == {"0"}
    return os.environ.get("SLURM_PROCID", "0") == "0"


console = PlainConsole(quiet=not is_main_process())

PROGRAM = "python -m celeba_lab"
_NUMBERS = re.compile(r"[-+\d.,:±()%\s]*")  # cells of text that are numbers, such as 0.93 ± 0.01
_NARROWEST = 14  # Fewest characters of a column of text in which words are broken.


def show_metrics(title: str, columns: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table of metrics, with one row per metric.

    Args:
        title: Title printed above the table.
        columns: Metric values in each column, by column name. Columns are usually named after splits.
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
    """Print a data frame, with floating-point numbers rounded to four decimal places.

    If the terminal is too narrow, long names are broken across lines, and then the last columns are left out. Numbers
    are never cut.

    Args:
        title: Title printed above the table.
        frame: Data frame to print. The index is not printed.
        most: Maximum number of rows to print. By default, all rows are printed.
    """
    shown = frame if most is None else frame.head(most)
    columns = [str(column) for column in shown.columns]
    cells = [[_cell(value) for value in row] for row in shown.itertuples(index=False)]
    is_text = [
        shown[column].dtype.kind not in "iufb" and not (cells and all(_NUMBERS.fullmatch(row[k]) for row in cells))
        for k, column in enumerate(shown.columns)
    ]
    widths = _fit_columns(columns, is_text, cells, console.width)
    table = Table(title=title, title_justify="left")
    for column, left, width in zip(columns, is_text, widths, strict=False):
        table.add_column(column, justify="left" if left else "right", width=width, overflow="fold")
    for row in cells:
        table.add_row(*row[: len(widths)])
    left_out = []
    if len(shown) < len(frame):
        left_out.append(_more(len(frame) - len(shown), "row"))
    if len(widths) < len(columns):
        left_out.append(_more(len(columns) - len(widths), "column"))
    table.caption = f"{' and '.join(left_out)} in the saved table" if left_out else None
    console.print(table)


def _more(count: int, noun: str) -> str:
    return f"{count} more {noun}{'' if count == 1 else 's'}"


def _fit_columns(
    columns: Sequence[str], is_text: Sequence[bool], cells: Sequence[Sequence[str]], room: int
) -> list[int]:
    """Return the widths of the columns that fit, which keep lines, or else words and numbers, whole if possible."""
    texts = [[column, *(row[k] for row in cells)] for k, column in enumerate(columns)]
    wholes = [
        [word for text in column for word in text.split()] if is_text[k] else [*column[0].split(), *column[1:]]
        for k, column in enumerate(texts)
    ]
    words = [max(map(len, whole), default=1) for whole in wholes]
    lines = [max(map(len, column), default=1) for column in texts]
    widths = [min(width, _NARROWEST) if is_text[k] else width for k, width in enumerate(words)]
    while len(widths) > 1 and sum(widths) + 3 * len(widths) + 1 > room:
        widths.pop()
    free = room - sum(widths) - 3 * len(widths) - 1
    for wanted in (words, lines):
        for k in sorted(range(len(widths)), key=lambda k: wanted[k]):  # the narrow columns first
            more = max(0, min(wanted[k] - widths[k], free))
            widths[k] += more
            free -= more
    return widths


class Progress:
    """A progress line that shows the number of finished steps and the estimated time left.

    On a terminal, the line is redrawn in place, never wraps, and disappears at the end. If the output is not a terminal
    (CI, ``nohup``, SLURM), a progress line is printed every 30 seconds, also if there are many short parts.
    Nothing is shown for work that takes less than two seconds. In a distributed run, only the main process shows
    progress. Nested progress lines are shown as a single line.

    Args:
        what: Description of the work.
        total: Total number of steps, or None if it is unknown.
        unit: Plural noun for the steps, such as ``images``.
        started: Time at which the work started, from ``time.perf_counter``. Default: when the ``with`` block starts.

    Example:
        >>> with Progress("decoding", total=3, unit="images") as progress:
        ...     for _ in range(3):
        ...         progress.advance()
    """

    interval = 30.0
    """Number of seconds between successive lines if the output is not a terminal."""
    delay = 2.0
    """Number of seconds before progress is first shown."""
    _open: ClassVar[list["Progress"]] = []  # active progress lines, outermost first
    _printed: ClassVar[float] = perf_counter()  # time of the last line in a log, initially the import time

    def __init__(self, what: str, total: float | None = None, unit: str = "", *, started: float | None = None) -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.done = 0.0
        self.note = ""
        self._started = started
        self._start = perf_counter()
        self._stopped = Event()
        self._thread: Thread | None = None

    def __enter__(self) -> "Progress":
        self._start = perf_counter() if self._started is None else self._started
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
        """Set the number of finished steps and a short note to display after it."""
        self.done, self.note = done, note

    def advance(self, steps: float = 1) -> None:
        """Increase the number of finished steps."""
        self.done += steps

    @property
    def seconds(self) -> float:
        """Seconds since the work started."""
        return perf_counter() - self._start

    @property
    def seconds_left(self) -> float | None:
        """Estimated number of seconds left, or None if no step is finished or the total is unknown."""
        if not self.done or self.total is None:
            return None
        return self.seconds * max(0.0, self.total - self.done) / self.done

    def text(self, width: int) -> str:
        """Return the progress line, truncated to ``width`` characters."""
        left = self.seconds_left
        time = f"{format_seconds(self.seconds)} so far" if left is None else f"{format_seconds(left)} left"
        counted = f"{self._count} {self.unit}".strip() if self._count else ""
        parts = [part for part in (self.what, counted, self.note, time) if part]
        line = "  ".join(parts)
        room = width - len(line) - 2
        if self.total and room >= 10:
            bar = draw_bar(self.done / self.total, min(room, 30))
            line = "  ".join([parts[0], bar, *parts[1:]])
        return line if len(line) <= width else line[: width - 3] + "..."

    @property
    def _count(self) -> str:
        """The number of finished steps and the total as text, or an empty string if neither is known."""
        if self.total is None:
            return f"{self.done:,.0f}" if self.done else ""
        return f"{self.done:,.0f}/{self.total:,.0f}"

    def _show_live(self) -> None:
        if self._stopped.wait(self.delay):
            return
        # Live must not replace sys.stdout, because this thread would put it back at the wrong time.
        options: dict[str, Any] = {"transient": True, "refresh_per_second": 8, "redirect_stdout": False}
        with Live(console=console, get_renderable=lambda: Text(self._shown()), **options):
            self._stopped.wait()

    def _log(self) -> None:
        due = max(self._start + min(self.delay, self.interval), Progress._printed + self.interval)
        while not self._stopped.wait(max(0.0, due - perf_counter())):
            console.print(self._shown(), soft_wrap=True)
            Progress._printed = perf_counter()
            due = Progress._printed + self.interval

    def _shown(self) -> str:
        """Return the innermost progress line, preceded by the descriptions and counts of the enclosing lines."""
        # The delay also applies to nested work. Otherwise, the line would flicker between short steps.
        nested = [work for work in self._open[1:] if work.seconds >= min(self.delay, self.interval)]
        *outer, inner = [self, *nested]
        prefix = "".join(f"{work.what} ({work._count}): " if work._count else f"{work.what}: " for work in outer)
        return prefix[: console.width // 2] + inner.text(console.width - min(len(prefix), console.width // 2))


def progress(items: Iterable[T], what: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Iterate over items and show progress. For the other arguments, see :class:`Progress`."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(what, total, unit) as bar:
        for item in items:
            yield item
            bar.advance()


def draw_bar(share: float, width: int) -> str:
    """Return a bar of ``width`` characters, filled to the fraction ``share`` (0 to 1)."""
    filled = round(min(1.0, max(0.0, share)) * width)
    return "━" * filled + "╌" * (width - filled)


def format_seconds(seconds: float) -> str:
    """Format a duration as ``1:05`` or ``2:01:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def format_p(p: float) -> str:
    """Format a p-value.

    Example:
        >>> format_p(0.0123), format_p(0.0001)
        ('p = 0.012', 'p < 0.001')
    """
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return _number(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "undefined" if value != value else f"{value + 0.0:.4f}"


def command_line(overrides: Sequence[str]) -> str:
    """Return the command line for the given overrides, quoted for a shell."""
    return " ".join([PROGRAM, *map(_quote, overrides)])


def _quote(text: str) -> str:
    """Quote a word for a shell, in double quotes if it contains single quotes, which is easier to read."""
    return f'"{text}"' if "'" in text and not set(text) & set('"$`\\!') else shlex.quote(text)


def format_override(key: str, value: object) -> str:
    """Return ``key=value`` in Hydra's override grammar, quoting values that contain special characters."""
    text = str(value)
    plain = all(character.isalnum() or character in "/_.-+:%" for character in text)
    return f"{key}={text}" if plain and text else f"{key}={quote_override(text)}"


def display_path(path: Path) -> Path:
    """Return a path as a user in the current folder would type it."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def split_name(split: str) -> str:
    """Return the name of a split as shown in the terminal."""
    return "validation" if split == "val" else split
