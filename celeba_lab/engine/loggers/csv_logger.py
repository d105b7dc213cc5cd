"""Lightning's CSV logger, which keeps the rows of a resumed run."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch import loggers
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from typing_extensions import override

from celeba_lab.console import display_path, is_main_process
from celeba_lab.files import write_atomically
from celeba_lab.runs.metric_rows import METRICS, cut_rows, read_header


class CSVLogger(loggers.CSVLogger):
    """Writes all metrics to ``metrics.csv`` in the run folder, with one row per call of ``log_metrics``.

    In the folder of a resumed run, Lightning's logger would delete the rows of the earlier process.

    Args:
        save_dir: Path to the run folder.
        flush_logs_every_n_steps: Number of training steps after which rows are written to the file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for loss in (0.5, 0.25):
        ...         logger = CSVLogger(folder)
        ...         logger.log_metrics({"val/loss": loss}, step=1)
        ...         logger.close(is_finished=True)
        ...     Path(folder, "metrics.csv").read_text().split()
        ['step,val/loss', '1,0.5', '1,0.25']
    """

    def __init__(self, save_dir: str, flush_logs_every_n_steps: int = 100) -> None:
        super().__init__(save_dir, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps)
        self._kept: int | None = None

    @property
    @override
    def experiment(self) -> Any:
        if self._experiment is None and is_main_process():
            self._experiment = _Writer(self.log_dir, self._kept)
        return super().experiment

    def keep_rows(self, count: int | None) -> None:
        """Keep only the first rows of an earlier process, or all of them if ``count`` is None, which is the default."""
        self._kept = count

    def describe_view(self) -> tuple[str, str]:
        """Return the purpose ``metrics`` and the path to the table."""
        return "metrics", str(display_path(Path(self.save_dir, METRICS)))

    def close(self, is_finished: bool) -> None:
        """Write all rows to disk."""
        self.finalize("success" if is_finished else "failed")


class _Writer(ExperimentWriter):
    """A writer that appends to an existing file, of which it keeps the first rows."""

    def __init__(self, log_dir: str, kept: int | None) -> None:
        super().__init__(log_dir)
        self._kept = kept
        self._has_saved = False

    @override
    def _check_log_dir_exists(self) -> None:
        """Do not delete an existing file."""

    @override
    def save(self) -> None:
        if self.metrics and not self._has_saved:
            if self._kept is not None:
                cut_rows(Path(self.log_dir), self._kept)
            self.metrics_keys = read_header(Path(self.log_dir))
            self._has_saved = True
        super().save()

    @override
    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        stream = io.StringIO(newline="")
        writer = csv.DictWriter(stream, fieldnames=fieldnames)
        writer.writeheader()
        writer.writerows(rows)
        # If Lightning's own method were killed, all rows would be lost.
        write_atomically(path, lambda file: file.write(stream.getvalue().encode()))
