"""The loggers of a run, and what each of them can store.

Every logger of Lightning stores metrics and hyperparameters. What else a logger can store is decided by the methods
that it has, which are those of the protocols below. A logger without a method is left out without an error.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from celeba_lab.config import one_line
from celeba_lab.errors import readable
from celeba_lab.runs.search import Pruned

if TYPE_CHECKING:
    import pandas as pd
    from torch.utils.tensorboard import SummaryWriter

Charts = Mapping[str, Mapping[str, Sequence[str]]]
"""Metrics that share a chart, as regular expressions, by the title of a group of charts and the title of a chart."""

MOST_ROWS = 10_000
"""Loggers that send tables to a service leave out tables with more rows, such as the predictions for a whole split."""


@runtime_checkable
class StoresFigures(Protocol):
    """A logger that stores figures, of which each has its own name and is sent once."""

    def send_figure(self, name: str, png: bytes, step: int) -> None:
        """Send a figure as an encoded PNG."""


@runtime_checkable
class StoresImages(Protocol):
    """A logger that stores series of images, in which each image belongs to a training step."""

    def send_image(self, tag: str, png: bytes, step: int) -> None:
        """Send an image as an encoded PNG."""


@runtime_checkable
class StoresTables(Protocol):
    """A logger that stores tables."""

    def send_table(self, name: str, frame: "pd.DataFrame") -> None:
        """Send a table. An earlier table with the same name is replaced."""


@runtime_checkable
class StoresText(Protocol):
    """A logger that stores text in Markdown format."""

    def send_text(self, name: str, text: str, step: int) -> None:
        """Send a text."""


@runtime_checkable
class StoresCharts(Protocol):
    """A logger that can show several metrics in one chart."""

    def send_charts(self, charts: Charts) -> None:
        """Send the layout of the charts."""


@runtime_checkable
class StoresResults(Protocol):
    """A logger that stores the results of a run apart from its curves."""

    def send_results(
        self, hyperparameters: Mapping[str, Any], metrics: Mapping[str, float], step: int, varied: Collection[str] = ()
    ) -> None:
        """Send hyperparameters and the resulting metrics, all of which are finite.

        Args:
            hyperparameters: Hyperparameters by name.
            metrics: Metrics by name, with the most important ones first.
            step: Number of training steps.
            varied: Names of the hyperparameters that the user has set or a sweep varies.
        """


@runtime_checkable
class StoresRows(Protocol):
    """A logger that appends rows to a file in the run folder."""

    def keep_rows(self, count: int | None) -> None:
        """Keep only the first rows that an earlier process wrote, or all of them if ``count`` is None."""


@runtime_checkable
class HasWriter(Protocol):
    """A logger that writes with TensorBoard's ``SummaryWriter``."""

    @property
    def writer(self) -> "SummaryWriter":
        """The writer."""


@runtime_checkable
class Viewable(Protocol):
    """A logger that knows how its content can be viewed."""

    def describe_view(self) -> tuple[str, str]:
        """Return a purpose, and a command or an address."""


@runtime_checkable
class Closable(Protocol):
    """A logger that must know when a run ends, which is after Lightning's ``finalize``."""

    def close(self, is_finished: bool) -> None:
        """Store everything that has been sent. If ``is_finished`` is false, the run has failed or was stopped."""


@runtime_checkable
class Withdrawable(Protocol):
    """A logger that can undo what it has stored before a run began."""

    def withdraw(self) -> None:
        """Remove everything that has been stored, unless an earlier process has stored something as well."""


class Loggers:
    """Sends everything to those loggers that can store it.

    Args:
        loggers: Loggers of Lightning, or objects with any of the methods of the protocols in this module.

    Example:
        >>> class Titles:
        ...     def send_figure(self, name: str, png: bytes, step: int) -> None:
        ...         print(f"{name}: {len(png)} bytes after step {step}")
        >>> loggers = Loggers([Titles()])
        >>> loggers.send_figure("roc", b"PNG", step=3)
        roc: 3 bytes after step 3
        >>> loggers.send_text("configuration", "seed: 1")  # No logger stores it.
    """

    def __init__(self, loggers: Iterable[Any] = ()) -> None:
        self._loggers = list(loggers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._loggers)

    def __len__(self) -> int:
        return len(self._loggers)

    @property
    def writer(self) -> "SummaryWriter | None":
        """TensorBoard's writer, or None if no logger has one."""
        return next((logger.writer for logger in self._loggers if isinstance(logger, HasWriter)), None)

    def send_figure(self, name: str, png: bytes, step: int = 0) -> None:
        """Send a figure as an encoded PNG."""
        for logger in self._loggers:
            if isinstance(logger, StoresFigures):
                logger.send_figure(name, png, step)

    def send_image(self, tag: str, png: bytes, step: int) -> None:
        """Send an image of a series as an encoded PNG."""
        for logger in self._loggers:
            if isinstance(logger, StoresImages):
                logger.send_image(tag, png, step)

    def send_table(self, name: str, frame: "pd.DataFrame") -> None:
        """Send a table."""
        for logger in self._loggers:
            if isinstance(logger, StoresTables):
                logger.send_table(name, frame)

    def send_text(self, name: str, text: str, step: int = 0) -> None:
        """Send a text in Markdown format."""
        for logger in self._loggers:
            if isinstance(logger, StoresText):
                logger.send_text(name, text, step)

    def send_charts(self, charts: Charts) -> None:
        """Send the layout of charts with several metrics."""
        for logger in self._loggers:
            if isinstance(logger, StoresCharts):
                logger.send_charts(charts)

    def send_results(
        self, hyperparameters: Mapping[str, Any], metrics: Mapping[str, float], step: int, varied: Collection[str] = ()
    ) -> None:
        """Send hyperparameters and the resulting metrics. See :class:`StoresResults`."""
        for logger in self._loggers:
            if isinstance(logger, StoresResults):
                logger.send_results(hyperparameters, metrics, step, varied)
            elif hasattr(logger, "log_hyperparams"):  # a logger of Lightning or of the user
                logger.log_hyperparams(dict(hyperparameters))

    def keep_rows(self, count: int | None) -> None:
        """Keep only the first rows that an earlier process of a resumed run wrote, or all if ``count`` is None."""
        for logger in self._loggers:
            if isinstance(logger, StoresRows):
                logger.keep_rows(count)

    def list_views(self) -> list[tuple[str, str]]:
        """Return a purpose and a command or an address for each logger that can be viewed."""
        return [logger.describe_view() for logger in self._loggers if isinstance(logger, Viewable)]

    def close(self, is_finished: bool) -> list[str]:
        """Close all loggers at the end of a run.

        Returns:
            A sentence about a finished run for each logger that could not be closed.
        """
        sentences = []
        for logger in self._loggers:
            if isinstance(logger, Closable):
                try:
                    logger.close(is_finished)
                except Exception as error:
                    reason = readable(": ".join(filter(None, [type(error).__name__, one_line(error)])))
                    lost = f"{type(logger).__name__} could not be closed ({reason}), so its last values may be lost"
                    sentences.append(f"{lost}, but the results in the run folder are complete.")
        return sentences

    def withdraw(self) -> None:
        """Remove what the loggers have stored before the run began."""
        for logger in self._loggers:
            if isinstance(logger, Withdrawable):
                logger.withdraw()


_open: list[Loggers] = []  # Loggers of runs that have not been finished.


def register(loggers: Loggers) -> Loggers:
    """Remember loggers until :func:`release`, so that :func:`closing_loggers` closes them if their run fails."""
    _open.append(loggers)
    return loggers


def release(loggers: Loggers) -> None:
    """Forget loggers that have been closed."""
    if loggers in _open:
        _open.remove(loggers)


@contextmanager
def closing_loggers() -> Iterator[None]:
    """At the end of this block, close the loggers of runs that were not finished because of an exception.

    A run that a search has pruned has not failed.
    """
    _open.clear()
    is_pruned = False
    try:
        yield
    except Pruned:
        is_pruned = True
        raise
    finally:
        for loggers in _open:
            loggers.close(is_finished=is_pruned)  # The exception that ended the run is more important than another one.
        _open.clear()
