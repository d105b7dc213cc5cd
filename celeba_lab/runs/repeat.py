"""Compare a run with the earlier run that it repeats."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from celeba_lab.runs.environment import git_commit, library_versions
from celeba_lab.runs.summary import Summary

_ABSENT = "none"


def changed_environment(original: Summary) -> list[str]:
    """Return what is different today from when a run was recorded: the versions of libraries and the commit.

    Args:
        original: Summary of the run.
    """
    today = {**library_versions(), "commit": git_commit()}
    return list(_differences({**original.versions, "commit": original.git}, today))


def changed_data(original: Summary, repeated: Summary) -> list[str]:
    """Return in which respects two runs used different devices or data."""
    pairs = []
    for summary in (original, repeated):
        data = {key: value for key, value in (summary.data or {}).items() if key != "root"}
        pairs.append({"device": summary.device, **data})
    # Earlier versions did not record the fingerprint.
    if any("fingerprint" not in pair for pair in pairs):
        for pair in pairs:
            pair.pop("fingerprint", None)
    return list(_differences(*pairs))


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old != new:
            yield f"{name}: {_ABSENT if old is None else old} before, {_ABSENT if new is None else new} now"


def compare_metrics(original: Summary, repeated: Summary) -> pd.DataFrame:
    """Return a table with the columns ``metric``, ``original``, ``repeated`` and ``equal``, which is true or false.

    Undefined metrics are equal to each other.
    """
    rows = []
    for name in {**original.metrics, **repeated.metrics}:
        old, new = original.metrics.get(name), repeated.metrics.get(name)
        are_undefined = old is not None and new is not None and math.isnan(old) and math.isnan(new)
        rows.append({"metric": name, "original": old, "repeated": new, "equal": old == new or are_undefined})
    return pd.DataFrame(rows, columns=["metric", "original", "repeated", "equal"])


def compare_predictions(original: Path, repeated: Path) -> dict[str, bool]:
    """Return for each table of predictions, by name, whether both runs wrote exactly the same bytes.

    Args:
        original: Folder of the earlier run.
        repeated: Folder of the run that repeats it.
    """
    paths = {path.name for folder in (original, repeated) for path in (folder / "tables").glob("predictions_*.csv")}
    return {name: _same_bytes(original / "tables" / name, repeated / "tables" / name) for name in sorted(paths)}


def _same_bytes(one: Path, other: Path) -> bool:
    if not one.is_file() or not other.is_file() or one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while chunk := first.read(2**20):
            if chunk != second.read(2**20):
                return False
    return True
