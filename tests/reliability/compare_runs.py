"""Compare two run folders to the last bit, except for times, paths and versions of the run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import Tensor

# Values that depend on the clock or on the run folder.
CLOCK = ("seconds", "images_per_second", "elapsed", "validation", "training", "dirpath", "_path", "events", "sizes")
_WRITTEN_FIRST = ("configuration", "custom_scalars__config__", "_hparams_")


def differences(one: Path, other: Path) -> list[str]:
    """Return short descriptions of all differences between the results of two runs."""
    found: list[str] = []
    for name in ("best.ckpt", "last.ckpt"):
        paths = [folder / "checkpoints" / name for folder in (one, other)]
        if paths[0].exists() != paths[1].exists():
            found.append(f"only one run has {name}")
        elif paths[0].exists():
            found += _compare(name, *(torch.load(path, weights_only=True) for path in paths))
    found += _compare("summary", *(_read_summary(folder) for folder in (one, other)))
    names = [{str(p.relative_to(folder)) for p in _results(folder)} for folder in (one, other)]
    found += [f"only one run has {name}" for name in sorted(names[0] ^ names[1])]
    shared = names[0] & names[1]
    if _shows_speed(one):
        shared.discard("figures/training.png")
    for name in sorted(shared):
        found += _compare_files(name, one / name, other / name)
    return found + _compare_events(one, other)


def _shows_speed(folder: Path) -> bool:
    """Return whether the training curves of a run contain the images per second, which depend on the clock."""
    history = folder / "tables" / "history.csv"
    return history.exists() and "train/images_per_second" in pd.read_csv(history, nrows=0).columns


def _results(folder: Path) -> Iterator[Path]:
    yield from (path for kind in ("tables", "figures") for path in (folder / kind).rglob("*") if path.is_file())


def _compare_files(name: str, one: Path, other: Path) -> list[str]:
    if name.endswith(".csv"):
        tables = [pd.read_csv(path, dtype=str) for path in (one, other)]
        tables = [table.drop(columns=[c for c in table if _is_clock(str(c))]) for table in tables]
        return [] if tables[0].equals(tables[1]) else [f"{name} differs"]
    return [] if one.read_bytes() == other.read_bytes() else [f"{name} differs"]


def _read_summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    summary = json.loads(path.read_text()) if path.exists() else {}  # A search writes no summary of a pruned run.
    return {key: value for key, value in summary.items() if key not in ("checkpoint", "git")}


def _is_clock(key: str) -> bool:
    return key.endswith(CLOCK)


def _compare(name: str, one: Any, other: Any) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        one, other = ({_name(key): v for key, v in part.items() if not _is_clock(str(key))} for part in (one, other))
        found = [f"only one run has {name}.{key}" for key in one.keys() ^ other.keys()]
        return found + [
            text for key in one.keys() & other.keys() for text in _compare(f"{name}.{key}", one[key], other[key])
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [text for i, pair in enumerate(zip(one, other, strict=True)) for text in _compare(f"{name}[{i}]", *pair)]
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [f"{name} differs"]
    equal = one == other or (one != one and other != other) or _is_same_path(one, other)
    return [] if equal else [f"{name} is {one!r}, then {other!r}"]


def _name(key: Any) -> str:
    """Return a key as text, without the folder if it is a path."""
    return Path(key).name if isinstance(key, str) and key.startswith("/") else str(key)


def _is_same_path(one: Any, other: Any) -> bool:
    """Return whether two values are paths that differ only in the name of the run folder."""
    return isinstance(one, str) and isinstance(other, str) and "/" in one and Path(one).name == Path(other).name


def _compare_events(one: Path, other: Path) -> list[str]:
    read = [_read_events(folder) for folder in (one, other)]
    # Lightning itself writes the epoch once with the training metrics and once with the validation metrics.
    repeated = [key for key, values in read[1].items() if len(values) > 1 and key[0] != "~~epoch"]
    found = [f"TensorBoard has several values of {key}" for key in repeated]
    found += [f"TensorBoard: only one run has {key}" for key in sorted(read[0].keys() ^ read[1].keys())]
    shared = read[0].keys() & read[1].keys()
    return found + [f"TensorBoard: {key} differs" for key in sorted(shared) if read[0][key] != read[1][key]]


def _read_events(folder: Path) -> dict[tuple[str, int], list[bytes]]:
    """Return all values in the event files by tag and step, except for times and what every process writes first."""
    values: dict[tuple[str, int], list[bytes]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if not _is_clock(value.tag) and not value.tag.startswith(_WRITTEN_FIRST):
                    values.setdefault((value.tag, event.step), []).append(value.SerializeToString())
    return values
