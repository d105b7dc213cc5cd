"""Rank runs by their score, with the settings in which they differ."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from celeba_lab.config import flatten
from celeba_lab.console import display_path
from celeba_lab.files import load_yaml, natural_order
from celeba_lab.runs.find import distinct_names
from celeba_lab.runs.job import Job
from celeba_lab.runs.settings import OVERRIDES, SETTINGS
from celeba_lab.runs.summary import SUMMARY, Summary
from celeba_lab.runs.sweep import short_names

# Settings that differ between all runs, because they name the run or its folder.
_OWN = ("name", "resume", "checkpoint", "print_config", "score", "direction", "fail_fast")
_OWN_ENDS = ("dirpath", "save_dir", "default_root_dir", "path", "folder")


@dataclass(frozen=True)
class Entry:
    """A run in a leaderboard.

    Attributes:
        name: Shortest suffix of the folder's path that distinguishes the run from the other runs.
        folder: Folder of the run.
        state: State of the run; see :class:`~celeba_lab.runs.job.Job`.
        settings: Settings of the run by dotted name, or those that its sweep varies.
        metrics: Metrics by name. A run that is not finished has none.
        seconds: Duration of the run in seconds, or None if it is unknown.
        checkpoint: Path to the checkpoint of the run, or None.
        task: Name of the task, or None if the run is not finished.
        reason: Why the run failed, or None.
        data: Name of the data, or None.
        data_overrides: Overrides that make another command use the same data.
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


def read_entries(folders: Iterable[Path]) -> list[Entry]:
    """Read runs, finished or not, from their folders.

    Args:
        folders: Folders of runs. If some of them are jobs of sweeps, only the settings that these sweeps vary are read.

    Raises:
        UserError: A file in a folder is damaged.
    """
    ordered = sorted(folders, key=natural_order)
    jobs = [Job.read(folder) if (folder / Job.FILE).is_file() else None for folder in ordered]
    varied = {key for job in jobs if job is not None for key in job.varied}
    names = distinct_names(ordered)
    entries = []
    for folder, job, name in zip(ordered, jobs, names, strict=True):
        summary = Summary.read(folder) if (folder / SUMMARY).is_file() else None
        settings = _read_settings(folder) if job is None else {key: _parse(text) for key, text in job.varied.items()}
        state = "finished" if summary is not None else job.state if job is not None else "stopped"
        entries.append(
            Entry(
                name=name,
                folder=folder,
                state=state,
                settings={key: value for key, value in settings.items() if not varied or key in varied},
                metrics=summary.metrics if summary else {},
                seconds=_duration(job, summary),
                checkpoint=_find_checkpoint(folder, summary) if summary else None,
                task=summary.task if summary else None,
                reason=job.reason if job else None,
                data=summary.data.get("name") if summary and summary.data else None,
                data_overrides=_read_data_overrides(folder),
            )
        )
    return entries


def _parse(text: str) -> Any:
    """Return the number that an override contains, or its text."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


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


def _duration(job: Job | None, summary: Summary | None) -> float | None:
    if job is not None and job.seconds is not None:
        return job.seconds
    return summary.total_seconds if summary else None


def _read_settings(folder: Path) -> dict[str, Any]:
    """Read those settings of a run that can differ between the runs of an experiment."""
    path = folder / SETTINGS
    if not path.is_file():
        return {}
    stored = load_yaml(path)
    settings = flatten(OmegaConf.to_container(stored)) if isinstance(stored, DictConfig) else {}
    return {
        key: value
        for key, value in settings.items()
        if key not in _OWN and key.rpartition(".")[2] not in _OWN_ENDS and not key.startswith("data.otherwise")
    }


def rank(entries: Sequence[Entry], score: str | None, direction: str) -> list[Entry]:
    """Sort runs by their score, best first. Runs without the score follow in their original order.

    Args:
        entries: The runs.
        score: Name of the metric.
        direction: ``maximize`` if high scores are better, or ``minimize``.
    """
    sign = -1.0 if direction == "maximize" else 1.0

    def key(entry: Entry) -> tuple[bool, float, bool]:
        value = entry.metrics.get(score or "", float("nan"))
        is_missing = value != value
        return is_missing, 0.0 if is_missing else sign * value, entry.state != "finished"

    return sorted(entries, key=key)


def varied_settings(entries: Sequence[Entry]) -> list[str]:
    """Return the names of the settings in which runs differ, in the order in which they first occur."""
    names = dict.fromkeys(name for entry in entries for name in entry.settings)
    absent = object()
    return [name for name in names if len({str(entry.settings.get(name, absent)) for entry in entries}) > 1]


def leaderboard_table(entries: Sequence[Entry], score: str | None) -> pd.DataFrame:
    """Return one row per ranked run: its varied settings, the score, all overall metrics, its duration and its state.

    Args:
        entries: Runs, best first.
        score: Name of the metric that ranks them.
    """
    keys = varied_settings(entries)
    names = short_names(keys)
    metrics = dict.fromkeys(name for entry in entries for name in entry.metrics if name.count("/") <= 1)
    ordered = [name for name in (score, *metrics) if name is not None]
    rows = []
    for position, entry in enumerate(entries, start=1):
        is_ranked = score is not None and score in entry.metrics
        row: dict[str, Any] = {"rank": position if is_ranked else None, "run": entry.name}
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
