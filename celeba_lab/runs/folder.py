"""The folder of a run, to which tables and figures are written."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from celeba_lab.files import write_atomically, write_csv
from celeba_lab.runs.drawing import BackgroundDrawing, draw_png
from celeba_lab.runs.job import Job
from celeba_lab.runs.loggers import Loggers
from celeba_lab.runs.sweep import short_names

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

PAGE = "report.html"


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
        self._drawing: BackgroundDrawing | None = None

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
        """Save a figure to ``figures/<name>.png`` at 150 dpi, send it to the loggers, and return the path.

        Within :meth:`reporting`, the file may be written later.
        """
        self.begin()
        path = self.path / "figures" / f"{name}.png"
        save = partial(self._save_figure, path, name, step)
        if self._drawing is None:
            save(draw_png(figure))
        else:
            self._drawing.add(figure, save)
        return path

    def _save_figure(self, path: Path, name: str, step: int, image: bytes) -> None:
        write_atomically(path, lambda file: file.write(image))
        self.loggers.send_figure(name, image, step)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Draw the figures of the ``with`` block in other processes, and add its time to ``seconds["report"]``.

        All figures are saved at the end of the block, also after an error, or when :meth:`complete_figures` is called.
        """
        with self.timed("report"):
            self._drawing = BackgroundDrawing()
            try:
                yield
                self.complete_figures()
            except Exception:  # After Ctrl-C, the user does not want to wait for figures.
                with suppress(Exception):  # The first error is raised again, because it explains the failure.
                    self.complete_figures()
                raise
            finally:
                self._drawing = None

    def complete_figures(self) -> None:
        """Save all figures that are still being drawn."""
        if self._drawing is not None:
            self._drawing.complete()

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


_SPLITS, _METRICS = ("val", "heldout", "test"), ("accuracy", "kid", "fid", "auroc", "loss")


def _rank(metric: str) -> tuple[int, int]:
    """Return the place of a metric in a table, where the most important metrics come first.

    Example:
        >>> sorted(["train/loss", "test/accuracy", "val/recall", "val/accuracy"], key=_rank)
        ['val/accuracy', 'val/recall', 'test/accuracy', 'train/loss']
    """
    split, _, name = metric.partition("/")
    return (*_SPLITS, split).index(split), (*_METRICS, name).index(name)
