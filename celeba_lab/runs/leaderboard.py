"""Rank runs by their score, with the settings in which they differ."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from celeba_lab.console import display_path
from celeba_lab.errors import UserError, format_value
from celeba_lab.files import load_yaml, natural_order
from celeba_lab.runs.find import distinct_names
from celeba_lab.runs.job import Job, parse_value
from celeba_lab.runs.settings import OVERRIDES, SETTINGS, RunSettings, differing_settings, read_choice
from celeba_lab.runs.summary import SUMMARY, Summary
from celeba_lab.runs.sweep import Sweep, short_names

DAMAGED = "damaged"
"""State of a run with a file that cannot be read."""


@dataclass(frozen=True)
class Entry:
    """A run in a leaderboard.

    Attributes:
        name: Shortest suffix of the folder's path that distinguishes the run from the other runs.
        folder: Folder of the run.
        state: State of the run; see :class:`~celeba_lab.runs.job.Job`. If a file of the run cannot be read, the state
            is ``damaged``.
        settings: Settings of the run by dotted name, or those that its sweep varies.
        metrics: Metrics by name. A pruned run has only its last score, and another run that is not finished has none.
        seconds: Duration of the run in seconds, or None if it is unknown.
        checkpoint: Path to the checkpoint of the run, or None.
        task: Name of the task, or None if the run is not finished.
        reason: Why the run failed or cannot be read, or None.
        data: Name of the data, or None.
        data_overrides: Overrides that make another command use the same data.
        stored: All settings in the files of the run, or None if they were not read.
    """

    name: str
    folder: Path
    state: str
    settings: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None
    checkpoint: str | None = None
    task: str | None = None
    reason: str | None = None
    data: str | None = None
    data_overrides: tuple[str, ...] = ()
    stored: RunSettings | None = None


def read_entries(folders: Iterable[Path]) -> list[Entry]:
    """Read runs, finished or not, from their folders. A run with a damaged file is listed with the state ``damaged``.

    Args:
        folders: Folders of runs. If some of them are jobs of sweeps, only the settings that these sweeps vary are read,
            also for runs whose sweep does not vary them.
    """
    ordered = sorted(folders, key=natural_order)
    jobs = [_read_job(folder) for folder in ordered]
    varied = list(dict.fromkeys(key for job in jobs if isinstance(job, Job) for key in job.varied))
    names = distinct_names(ordered)
    entries = [_read_entry(*each, varied) for each in zip(ordered, names, jobs, strict=True)]
    if varied:
        return entries
    stored = [entry.stored or RunSettings({}) for entry in entries]
    shown = differing_settings(stored)
    return [
        replace(entry, settings={key: _as_typed(own.values[key]) for key in shown if key in own.values})
        for entry, own in zip(entries, stored, strict=True)
    ]


def _read_job(folder: Path) -> Job | UserError | None:
    """Return the record of a job, the error that its file causes, or None if the run is not a job of a sweep."""
    try:
        return Job.read(folder) if (folder / Job.FILE).is_file() else None
    except UserError as error:
        return error


def _read_entry(folder: Path, name: str, job: Job | UserError | None, varied: Sequence[str]) -> Entry:
    """Read a run with the given settings, or with all settings in ``stored`` if no sweep varies any."""
    record = job if isinstance(job, Job) else None
    try:
        if isinstance(job, UserError):
            raise job
        summary = Summary.read(folder) if (folder / SUMMARY).is_file() else None
        settings = _read_settings(folder, record, varied)
        overrides = _read_data_overrides(folder)
        metrics = summary.metrics if summary else _last_score(folder, record)
        stored = None if varied or not (folder / SETTINGS).is_file() else RunSettings.read(folder)
    except UserError as error:
        known = {} if record is None else record.values
        return Entry(name, folder, DAMAGED, known, seconds=_duration(record, None), reason=error.sentence)
    return Entry(
        name=name,
        folder=folder,
        state="finished" if summary is not None else record.state if record is not None else "stopped",
        settings=settings,
        metrics=metrics,
        seconds=_duration(record, summary),
        checkpoint=_find_checkpoint(folder, summary) if summary else None,
        task=summary.task if summary else None,
        reason=record.reason if record else None,
        data=summary.data.get("name") if summary and summary.data else None,
        data_overrides=overrides,
        stored=stored,
    )


def _read_settings(folder: Path, job: Job | None, varied: Sequence[str]) -> dict[str, Any]:
    """Return the values of the settings that sweeps vary. Only if the own sweep does not vary one, files are read."""
    settings = {} if job is None else job.values
    missing = [key for key in varied if key not in settings]
    if not missing or not (folder / SETTINGS).is_file():
        return settings
    stored = RunSettings.read(folder).values
    for key in missing:
        if key in stored:
            settings[key] = _as_typed(stored[key])
        elif (choice := read_choice(folder, key)) is not None:
            settings[key] = choice
    return settings


def _as_typed(value: Any) -> Any:
    """Return a value in the files of a run as in the record of a job: a number, or text in Hydra's override grammar."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else parse_value(format_value(value))


def _read_data_overrides(folder: Path) -> tuple[str, ...]:
    path = folder / OVERRIDES
    if not path.is_file():
        return ()
    stored = OmegaConf.to_container(load_yaml(path), resolve=False)
    texts = stored if isinstance(stored, list) else []
    return tuple(text for text in texts if isinstance(text, str) and text.startswith("data"))


def _find_checkpoint(folder: Path, summary: Summary) -> str | None:
    """Return the path to the checkpoint of a run, whose folder may have been moved since its summary was written."""
    if summary.checkpoint is None:
        return None
    own = folder / "checkpoints" / Path(summary.checkpoint).name
    return str(display_path(own)) if own.is_file() else summary.checkpoint


def _last_score(folder: Path, job: Job | None) -> dict[str, float]:
    """Return the last score of a pruned run under the name of the metric that its sweep optimises."""
    if job is None or job.state != "pruned" or job.score is None or not (folder.parent / Sweep.FILE).is_file():
        return {}
    score = Sweep.read(folder.parent).score
    return {} if score is None else {score: job.score}


def _duration(job: Job | None, summary: Summary | None) -> float | None:
    if job is not None and job.seconds is not None:
        return job.seconds
    return summary.total_seconds if summary else None


def rank(entries: Sequence[Entry], score: str | None, direction: str) -> list[Entry]:
    """Sort runs by their score, best first. Pruned runs follow, then runs without the score in their original order.

    Args:
        entries: The runs.
        score: Name of the metric.
        direction: ``maximize`` if high scores are better, or ``minimize``.
    """
    sign = -1.0 if direction == "maximize" else 1.0

    def key(entry: Entry) -> tuple[bool, bool, float, bool]:
        value = entry.metrics.get(score or "", float("nan"))
        is_missing = value != value
        number = 0.0 if is_missing else sign * value
        return is_missing, entry.state == "pruned", number, entry.state != "finished"

    return sorted(entries, key=key)


def varied_settings(entries: Sequence[Entry]) -> list[str]:
    """Return the names of the settings in which runs differ, in the order in which they first occur."""
    names = dict.fromkeys(name for entry in entries for name in entry.settings)
    absent = object()
    return [name for name in names if len({str(entry.settings.get(name, absent)) for entry in entries}) > 1]


def leaderboard_table(entries: Sequence[Entry], score: str | None) -> pd.DataFrame:
    """Return one row per ranked run: its varied settings, the score, all overall metrics, its duration and its state.

    Runs with equal scores have the same rank, and the rank after them is skipped (1, 1, 3).

    Args:
        entries: Runs, best first.
        score: Name of the metric that ranks them.
    """
    keys = varied_settings(entries)
    names = short_names(keys)
    metrics = dict.fromkeys(name for entry in entries for name in entry.metrics if name.count("/") <= 1)
    ordered = [name for name in (score, *metrics) if name is not None]
    rows = []
    ranks: dict[float, int] = {}
    for position, entry in enumerate(entries, start=1):
        value = entry.metrics.get(score or "") if entry.state != "pruned" else None
        # An undefined score, which is not equal to itself, has no equals.
        row: dict[str, Any] = {"rank": None if value is None else ranks.setdefault(value, position), "run": entry.name}
        row |= {names[key]: entry.settings.get(key) for key in keys}
        row |= {name: entry.metrics.get(name) for name in dict.fromkeys(ordered)}
        row |= {"seconds": entry.seconds, "state": entry.state, "reason": entry.reason}
        rows.append(row)
    # Otherwise, pandas would show the integers in a column with missing values as 1.0.
    table = pd.DataFrame(rows, dtype=object)
    for name in (*dict.fromkeys(ordered), "seconds"):
        table[name] = table[name].astype(float)
    table["rank"] = table["rank"].astype("Int64")
    return table


def main_metrics(table: pd.DataFrame, score: str | None) -> list[str]:
    """Return the metrics that most tables show: the score, the same metric of the other splits, and the losses.

    Args:
        table: A leaderboard.
        score: Name of the metric that ranks the runs.
    """
    names = [name for name in table.columns if name.count("/") == 1]
    split, _, kind = (score or "").partition("/")
    others = [name for name in names if name.partition("/")[2] in (kind, "loss") and name != score]
    splits = [split, "val", "test"]  # The others, such as the training split, come last.
    others.sort(key=lambda name: [name.startswith(f"{known}/") for known in splits], reverse=True)
    return [name for name in (score, *others) if name in names]
