"""A callback that records the metrics of each epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning as L
import pandas as pd
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from celeba_lab.console import console, format_seconds, split_name
from celeba_lab.files import prepare_folder, write_csv

_LONGEST_NAME = 200


class EpochLog(Callback):
    """Record the metrics of each epoch, write them to a CSV file, and print one line per epoch.

    The rows are stored in checkpoints, so a continued run also has the metrics of its earlier epochs.

    Args:
        line: Names of the metrics to print. Metrics that are not logged are omitted.
        path: Path to the CSV file, which is rewritten after each epoch. If None, no file is written.

    Attributes:
        rows: Metrics by epoch (counted from 1) and metric name, as in ``Trainer.callback_metrics``.

    Example:
        >>> log = EpochLog(line=["train/loss"])
        >>> log.load_state_dict({"rows": {1: {"train/loss": 0.5}, 2: {"train/loss": 0.25}}})  # from a checkpoint
        >>> log.table()
           epoch  train/loss
        0      1        0.50
        1      2        0.25
    """

    def __init__(
        self,
        line: Sequence[str] = ("train/loss", "train/accuracy", "val/loss", "val/accuracy"),
        path: str | None = None,
    ) -> None:
        self.line = list(line)
        self.path = None if path is None else Path(path)
        self.rows: dict[int, dict[str, float]] = {}
        self._lines = MetricLines("  epoch", self.line)
        self._has_heading = False
        self._epoch_start = 0.0
        self._trainer: L.Trainer | None = None
        # Numbers of the last completed training epoch and the last completed validation epoch, counted from 1.
        self._trained = self._validated = 0

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit" and trainer.is_global_zero and self.path is not None:
            prepare_folder(self.path.parent)
        self._trainer = trainer  # Used by state_dict, which includes the row of the epoch that has just ended.

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._epoch_start = perf_counter()  # Lightning skips on_train_epoch_start if a run is resumed within an epoch.

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # The training metrics of an epoch are available only after its epoch-end hooks have run.
        self._record(trainer)
        self._epoch_start = perf_counter()

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._validated = trainer.current_epoch + 1

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._trained = trainer.current_epoch + 1

    @override
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._record(trainer)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows | self._unrecorded()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = {int(epoch): dict(row) for epoch, row in state_dict["rows"].items()}
        for row in self.rows.values():
            for name, value in row.items():
                # Names in a checkpoint become headings of a table.
                is_name = isinstance(name, str) and name.isprintable() and 0 < len(name) <= _LONGEST_NAME
                if not is_name or not isinstance(value, int | float):
                    raise ValueError(f"{name} is not a metric of an epoch")

    def table(self) -> pd.DataFrame:
        """Return a table with one row per epoch, an ``epoch`` column, and one column per metric."""
        return pd.DataFrame([{"epoch": epoch, **row} for epoch, row in sorted(self.rows.items())])

    def _unrecorded(self) -> dict[int, dict[str, float]]:
        """Return the row for the last finished epoch if it is not yet in ``rows``."""
        if self._trainer is None or self._trained == 0 or self._trained in self.rows:
            return {}
        # Lightning keeps a metric until it is logged again, so after an epoch without validation, callback_metrics
        # still contains the metrics of an earlier validation.
        splits = ("train/", "val/") if self._validated == self._trained else ("train/",)
        metrics = self._trainer.callback_metrics
        row = {name: float(value) for name, value in metrics.items() if name.startswith(splits)}
        return {self._trained: row} if row else {}

    def _record(self, trainer: L.Trainer) -> None:
        for epoch, row in self._unrecorded().items():
            self.rows[epoch] = row
            if trainer.is_global_zero:
                self._print(epoch, trainer.max_epochs, row)
                self._write()

    def _print(self, epoch: int, epochs: int | None, row: Mapping[str, float]) -> None:
        """Print the line for an epoch, preceded by a heading if no line has been printed yet."""
        if not self._has_heading:
            console.print(self._lines.heading() + _TIME_HEADING, style="bold", soft_wrap=True)
            self._has_heading = True
        label = f"{epoch}/{epochs}" if epochs is not None and epochs > 0 else str(epoch)
        line = self._lines.row(label, row).ljust(len(self._lines.heading()))
        seconds = format_seconds(perf_counter() - self._epoch_start)
        console.print(line + seconds.rjust(len(_TIME_HEADING)), soft_wrap=True)

    def _write(self) -> None:
        if self.path is not None:
            write_csv(self.path, self.table())


_TIME_HEADING = "     time"
# Headings of metrics whose full names would make the rows of GAN runs wider than 80 columns.
_ABBREVIATIONS = {"images_per_second": "images/s", "generator_loss": "G loss", "discriminator_loss": "D loss"}


class MetricLines:
    """Formats metrics as an aligned text table that is printed row by row, for example one row per epoch.

    Args:
        label: Heading of the first column.
        metrics: Metric names in the form ``split/metric``. The split appears only in the heading of its first column.

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
        """Return the heading row of the table."""
        return "  ".join([self.label, *(heading.rjust(8) for heading in self.headings)])

    def row(self, label: str, values: Mapping[str, float]) -> str:
        """Return one row of the table. Cells of metrics missing from ``values`` are empty."""
        cells = [
            (_short(values[metric]) if metric in values else "").rjust(max(8, len(heading)))
            for metric, heading in zip(self.metrics, self.headings, strict=True)
        ]
        return "  ".join([label.rjust(len(self.label)), *cells]).rstrip()


def _heading(before: str, metric: str) -> str:
    """Return the column heading of a metric, omitting the split if the previous metric has the same split."""
    split, _, name = metric.partition("/")
    words = _ABBREVIATIONS.get(name, name.replace("_", " "))
    return words if name == "images_per_second" or before.startswith(f"{split}/") else f"{split_name(split)} {words}"


def _short(value: float) -> str:
    """Format a number for a narrow column."""
    if value != value:
        return "undefined"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"
