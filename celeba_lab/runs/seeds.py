"""Group runs that differ only in their seed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from celeba_lab.console import display_path, progress
from celeba_lab.errors import UserError, enumerate_names, format_value
from celeba_lab.runs.answers import CorrectAnswers
from celeba_lab.runs.find import distinct_names
from celeba_lab.runs.finished import FinishedRun, identify_data
from celeba_lab.runs.settings import differing_settings
from celeba_lab.runs.summary import SUMMARY
from celeba_lab.runs.sweep import short_names

SEED = "seed"
"""Name of the setting in which the runs of a group differ."""
_MOST_NAMED = 5  # A name with more settings than this would be harder to read than the name of a run.


@dataclass(frozen=True)
class SeedGroup:
    """Runs whose settings differ only in the seed.

    Attributes:
        name: The settings in which the group differs from the other groups, such as ``lr=0.001, freeze=0.5``.
        settings: The same settings by short name.
        runs: The runs, each with another seed.
    """

    name: str
    settings: dict[str, Any]
    runs: list[FinishedRun]

    def values(self, metric: str) -> np.ndarray:
        """Return the value of a metric for each of the R runs, float64 (R,), with NaN where it is undefined."""
        return np.array([run.metrics.get(metric, np.nan) for run in self.runs], dtype=np.float64)

    def scores(self, metric: str, answers: CorrectAnswers | None) -> np.ndarray:
        """Return the value of a metric for each run, or for each run and image.

        Args:
            metric: Name of the metric, ``split/metric``.
            answers: Correctness of the predictions of the metric's split. Only the accuracy is a mean over images.

        Returns:
            Accuracies of each run for each image, averaged over attributes, float64 (R, N), if the metric is the
            accuracy and the answers of all runs are known, and otherwise the values of the metric, float64 (R,).
        """
        is_accuracy = metric.partition("/")[2] == "accuracy"
        if answers is None or not is_accuracy or any(run.name not in answers.correct for run in self.runs):
            return self.values(metric)
        return np.stack([answers.correct[run.name].mean(axis=1) for run in self.runs])


def group_runs(runs: Sequence[FinishedRun]) -> tuple[list[SeedGroup], list[FinishedRun]]:
    """Group runs whose settings differ only in the seed, or in settings that follow from the seed or the run folder.

    Args:
        runs: Runs on the same data.

    Returns:
        The groups, in the order of their first runs, and runs that were left out because an earlier run has the same
        settings and the same seed. Such a run gives the same result, and would make the seeds look more alike.
    """
    keys = [key for key in differing_settings([run.stored for run in runs]) if key != SEED]
    found: dict[tuple[str, ...], dict[int | None, FinishedRun]] = {}
    repeated = []
    for run in runs:
        seeds = found.setdefault(tuple(str(run.settings.get(key, "")) for key in keys), {})
        if seeds.setdefault(run.seed, run) is not run:
            repeated.append(run)
    members = [list(seeds.values()) for seeds in found.values()]
    settings = _varied_settings(members) or [
        {short: group[0].settings.get(key) for key, short in short_names(keys).items()} for group in members
    ]
    names = [_name(own, group) for own, group in zip(settings, members, strict=True)]
    if len(set(names)) < len(names):
        names = [group[0].name for group in members]
    return [SeedGroup(*each) for each in zip(names, settings, members, strict=True)], repeated


def _varied_settings(groups: Sequence[Sequence[FinishedRun]]) -> list[dict[str, Any]] | None:
    """Return what a sweep varies in each group, by short name, or None if this does not describe the groups.

    A sweep over ``recipe`` changes many settings, but the user typed only one.
    """
    varied = [[{key: value for key, value in (run.varied or {}).items() if key != SEED} for run in g] for g in groups]
    keys = list(dict.fromkeys(key for group in varied for own in group for key in own))
    is_complete = all(own.keys() == set(keys) and own == group[0] for group in varied for own in group)
    if not keys or not is_complete or len({str(group[0]) for group in varied}) < len(groups):
        return None
    return [{short: group[0][key] for key, short in short_names(keys).items()} for group in varied]


def _name(settings: dict[str, Any], runs: Sequence[FinishedRun]) -> str:
    if not settings:
        return "all runs"
    if len(settings) > _MOST_NAMED:
        return runs[0].name
    return ", ".join(f"{key}={format_value(value)}" for key, value in settings.items())


def read_seed_runs(folders: Sequence[Path]) -> tuple[list[FinishedRun], list[str]]:
    """Read those of many finished runs that can be compared over seeds. No run makes this function fail.

    Args:
        folders: Folders of runs.

    Returns:
        The runs on the data that most of the runs have used, without their histories, and sentences about the runs
        that were left out.
    """
    runs, sentences = [], []
    for folder, name in progress(zip(folders, distinct_names(folders), strict=True), "reading the runs", len(folders)):
        if not (folder / SUMMARY).is_file():
            continue
        try:
            runs.append(FinishedRun.read(folder, name, with_history=False))
        except UserError as error:
            sentences.append(f"A run was left out of the comparison over seeds: {error.sentence}")
    data = [str(sorted(identify_data(run).items())) for run in runs]
    usual = Counter(data).most_common(1)[0][0] if data else ""
    others = [str(display_path(run.folder)) for run, own in zip(runs, data, strict=True) if own != usual]
    if others:
        names = enumerate_names(others)
        sentences.append(
            f"These runs were left out of the comparison over seeds, because they used other data: {names}."
        )
    return [run for run, own in zip(runs, data, strict=True) if own == usual], sentences
