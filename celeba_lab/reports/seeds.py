"""The comparison of settings over seeds, for named runs and at the end of a sweep."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from celeba_lab.analyses.paired import holm
from celeba_lab.analyses.seeds import SeedEstimate, seed_difference, seed_mean
from celeba_lab.errors import UserError, enumerate_names
from celeba_lab.runs.answers import CorrectAnswers, read_answers
from celeba_lab.runs.finished import FinishedRun
from celeba_lab.runs.leaderboard import Entry
from celeba_lab.runs.seeds import SeedGroup, group_runs, read_seed_runs

_MOST_BYTES = 2**28  # Larger prediction tables would delay the end of a sweep by more than about a quarter of a minute.


@dataclass(frozen=True)
class SeedComparison:
    """Groups of runs that differ only in their seed, and the differences between them.

    Attributes:
        groups: The groups, best first.
        metrics: Metrics that are compared. The first one determines the order of the groups.
        lower: Those metrics of which low values are better.
        baseline: Group with which the others are compared.
        table: One row per group with the mean, standard deviation and 95% interval of each metric.
        differences: One row per metric and group with the difference from the baseline. It is empty if there is only
            one group.
        best: Row of the group whose value is bold, for each metric that has such a group.
        over_images: Metrics whose intervals cover images.
        remarks: Sentences about what could not be compared.
    """

    groups: list[SeedGroup]
    metrics: list[str]
    lower: frozenset[str]
    baseline: SeedGroup
    table: pd.DataFrame
    differences: pd.DataFrame
    best: dict[str, int]
    over_images: list[str]
    remarks: list[str]

    @property
    def of_score(self) -> pd.DataFrame:
        """The differences in the first metric that have an interval."""
        if self.differences.empty:
            return self.differences
        rows = self.differences[self.differences["metric"] == self.metrics[0]]
        return rows[rows["low"].notna()]

    @property
    def counts(self) -> dict[str, float]:
        """Metrics of a comparison: the numbers of settings, and of those that differ after Holm's adjustment."""
        rows = self.of_score
        differ = rows[rows["p_adjusted"] < 0.05]["difference"] if len(rows) else pd.Series(dtype=float)
        above, below = float((differ > 0).sum()), float((differ < 0).sum())
        better, worse = (below, above) if self.metrics[0] in self.lower else (above, below)
        return {"settings": float(len(self.groups)), "settings/better": better, "settings/worse": worse}


def compare_groups(
    groups: Sequence[SeedGroup],
    metrics: Sequence[str],
    lower: frozenset[str],
    answers: Mapping[str, CorrectAnswers],
    baseline: SeedGroup | None = None,
    remarks: Sequence[str] = (),
) -> SeedComparison:
    """Compare groups of runs over their seeds, and over the images if the predictions are known.

    Args:
        groups: The groups.
        metrics: Metrics to compare, of which the first one determines the order of the groups.
        lower: Those metrics of which low values are better.
        answers: Correctness of the predictions of all runs, by split.
        baseline: Group with which the others are compared. Defaults to the best group with several seeds.
        remarks: Sentences about runs that have been left out.
    """
    first = metrics[0]
    sign = 1.0 if first in lower else -1.0
    means = [group.scores(first, answers.get(first.partition("/")[0])).mean() for group in groups]
    ordered = [groups[k] for k in np.argsort([sign * mean for mean in means], kind="stable")]
    base = baseline or next((group for group in ordered if len(group.runs) > 1), ordered[0])
    scores = {name: [group.scores(name, answers.get(name.partition("/")[0])) for group in ordered] for name in metrics}
    position = ordered.index(base)
    found = [_differences(ordered, position, name, scores[name]) for name in metrics]
    best = {name: _find_best(scores[name], name in lower) for name in metrics}
    return SeedComparison(
        groups=ordered,
        metrics=list(metrics),
        lower=lower,
        baseline=base,
        table=_table(ordered, scores),
        differences=pd.concat(found, ignore_index=True) if len(ordered) > 1 else pd.DataFrame(),
        best={name: row for name, row in best.items() if row is not None},
        over_images=[name for name in metrics if any(values.ndim == 2 for values in scores[name])],
        remarks=[*remarks, *_remarks(ordered, base, first, scores[first])],
    )


def _table(groups: Sequence[SeedGroup], scores: Mapping[str, Sequence[np.ndarray]]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for k, group in enumerate(groups):
        row: dict[str, Any] = {"setting": group.name, **group.settings, "seeds": len(group.runs)}
        for name, of_groups in scores.items():
            of_runs = of_groups[k].reshape(len(group.runs), -1).mean(axis=1)
            row[name] = of_runs.mean()
            row[f"{name}/sd"] = of_runs.std(ddof=1) if len(of_runs) > 1 else np.nan
            interval = seed_mean(of_groups[k]) if _is_known(of_groups[k]) else None
            row |= {f"{name}/low": np.nan if interval is None else interval.low}
            row |= {f"{name}/high": np.nan if interval is None else interval.high}
        rows.append(row)
    return pd.DataFrame(rows)


def _is_known(scores: np.ndarray) -> bool:
    """Return whether an interval over seeds can be computed: there are several seeds, and each has the metric."""
    return len(scores) > 1 and not np.isnan(scores).any()


def _difference(one: np.ndarray, other: np.ndarray, comparisons: int = 1) -> SeedEstimate | None:
    if not _is_known(one) or not _is_known(other):
        return None
    if one.ndim != other.ndim:
        one, other = (scores.reshape(len(scores), -1).mean(axis=1) for scores in (one, other))
    return seed_difference(one, other, 1 - 0.05 / comparisons)


def _differences(groups: Sequence[SeedGroup], baseline: int, metric: str, scores: Sequence[np.ndarray]) -> pd.DataFrame:
    """Return one row per group with its difference from the baseline, its 95% interval and the corrected interval."""
    rows: list[dict[str, Any]] = []
    others = [k for k in range(len(groups)) if k != baseline]
    for k in others:
        found = _difference(scores[k], scores[baseline])
        corrected = _difference(scores[k], scores[baseline], len(others))
        # Without several seeds, only the difference of the means is known.
        value = scores[k].mean() - scores[baseline].mean() if found is None else found.value
        rows.append(
            {
                "metric": metric,
                "setting": groups[k].name,
                "baseline": groups[baseline].name,
                "seeds": len(scores[k]),
                "baseline_seeds": len(scores[baseline]),
                "images": scores[k].shape[1] if scores[k].ndim == scores[baseline].ndim == 2 else None,
                "difference": value,
                "standard_error": np.nan if found is None else found.standard_error,
                "degrees_of_freedom": np.nan if found is None else found.degrees_of_freedom,
                "low": np.nan if found is None else found.low,
                "high": np.nan if found is None else found.high,
                "p": np.nan if found is None else found.p,
                "corrected_low": np.nan if corrected is None else corrected.low,
                "corrected_high": np.nan if corrected is None else corrected.high,
            }
        )
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    known = table["p"].notna()
    table["p_adjusted"] = np.nan
    if known.any():
        table.loc[known, "p_adjusted"] = holm(table.loc[known, "p"])
    return table.astype({"images": "Int64"})


def _find_best(scores: Sequence[np.ndarray], is_lower: bool) -> int | None:
    """Return the group that differs from every other one according to the corrected intervals, or None."""
    means = np.array([values.mean() for values in scores])
    if len(scores) < 2 or np.isnan(means).any():
        return None
    best = int(means.argmin() if is_lower else means.argmax())
    for k, values in enumerate(scores):
        found = None if k == best else _difference(scores[best], values, len(scores) - 1)
        if k != best and (found is None or not (found.low > 0 or found.high < 0)):
            return None
    return best


def _remarks(
    groups: Sequence[SeedGroup], baseline: SeedGroup, metric: str, scores: Sequence[np.ndarray]
) -> Iterator[str]:
    """Yield sentences about settings that cannot be compared over seeds."""
    alone = [group.name for group in groups if len(group.runs) == 1]
    if alone:
        names = enumerate_names(alone)
        yield f"These settings have only one seed, so they have no interval over seeds: {names}."
    unknown = [group.name for group, values in zip(groups, scores, strict=True) if np.isnan(values).any()]
    if unknown:
        yield f"{metric} is undefined for a run, so the mean is undefined: {enumerate_names(unknown)}."
    if len(groups) == 1:
        yield f"All {len(baseline.runs)} runs have the same settings, so there are no settings to compare."


def compare_entries(
    entries: Sequence[Entry], metrics: Sequence[str], score: str | None, direction: str
) -> SeedComparison | None:
    """Compare the finished runs of a leaderboard over their seeds, or return None if no setting has several seeds.

    Runs that cannot be compared are left out, and a remark says why. No run makes this function fail.

    Args:
        entries: Runs, of which the unfinished ones are ignored.
        metrics: Metrics to compare; see :func:`~celeba_lab.runs.leaderboard.main_metrics`.
        score: Metric that ranks the runs.
        direction: Whether high or low scores are better.
    """
    if score is None or score not in metrics:
        return None
    runs, remarks = read_seed_runs([entry.folder for entry in entries if entry.state == "finished"])
    without = [run.name for run in runs if np.isnan(run.metrics.get(score, np.nan))]
    if without:
        reason = f"because they do not report {score}: {enumerate_names(without)}."
        remarks.append(f"These runs were left out of the comparison over seeds, {reason}")
    groups, repeated = group_runs([run for run in runs if run.name not in without])
    if all(len(group.runs) < 2 for group in groups):
        return None
    remarks += describe_repeated(repeated)
    kind = score.partition("/")[2]
    lower = frozenset(
        name for name in metrics if (direction == "minimize" if name.partition("/")[2] == kind else is_loss(name))
    )
    # The same metric of all splits comes first. Metrics of the training split do not compare settings.
    ordered = sorted(
        (name for name in dict.fromkeys([score, *metrics]) if name == score or not name.startswith("train/")),
        key=lambda name: (name != score, name.partition("/")[2] != kind),
    )
    answers, reasons = _read_all_answers([run for group in groups for run in group.runs], ordered)
    return compare_groups(groups, ordered, lower, answers, remarks=[*remarks, *reasons])


def is_loss(metric: str) -> bool:
    """Return whether a metric is a loss, of which low values are better."""
    return metric.endswith("loss")


def describe_repeated(runs: Sequence[FinishedRun]) -> list[str]:
    """Return a sentence about runs that repeat the settings and the seed of another run, if there are any."""
    if not runs:
        return []
    names = enumerate_names([run.name for run in runs])
    reason = "because they have the settings and the seed of another run"
    return [f"These runs were left out of the comparison over seeds, {reason}: {names}."]


def _read_all_answers(
    runs: Sequence[FinishedRun], metrics: Sequence[str]
) -> tuple[dict[str, CorrectAnswers], list[str]]:
    """Read the predictions of those splits whose accuracies are compared, if all runs saved the same attributes."""
    answers: dict[str, CorrectAnswers] = {}
    sentences = []
    for split in dict.fromkeys(name.partition("/")[0] for name in metrics if name.partition("/")[2] == "accuracy"):
        paths = [run.predictions(split) for run in runs]
        missing = [run.name for run, path in zip(runs, paths, strict=True) if not path.is_file()]
        reason = None
        if missing:
            reason = f"these runs have not saved their predictions: {enumerate_names(missing)}"
        elif sum(path.stat().st_size for path in paths) > _MOST_BYTES:
            reason = f"the tables of predictions are larger than {_MOST_BYTES >> 20} MiB"
        else:
            try:
                found = read_answers(runs, split)
                # Accuracies over only the shared attributes would differ from those in the leaderboard.
                if found.left_out:
                    reason = f"only some of the runs predict these attributes: {enumerate_names(found.left_out)}"
                else:
                    answers[split] = found
            except UserError as error:
                reason = error.sentence
        if reason is not None:
            sentences.append(f"The intervals of {split}/accuracy cover seeds, but not images: {reason.rstrip('.')}.")
    return answers, sentences


def choose_group(groups: Sequence[SeedGroup], metric: str, run: FinishedRun | None = None) -> SeedGroup:
    """Choose the group with which the others are compared.

    Args:
        groups: The groups.
        metric: Metric that determines the best group on the validation split.
        run: Run whose group is chosen. By default, or if the run repeats another one, the best group with several
            seeds is chosen. If no group has the validation metric, the first one is chosen.
    """
    own = next((group for group in groups if run is not None and run in group.runs), None)
    if own is not None:
        return own
    several = [group for group in groups if len(group.runs) > 1] or list(groups)
    means = [group.values(f"val/{metric}").mean() for group in several]
    # argsort moves NaN to the end.
    return several[int(np.argsort(means if is_loss(metric) else [-mean for mean in means], kind="stable")[0])]


def compare_seeds(
    groups: Sequence[SeedGroup],
    repeated: Sequence[FinishedRun],
    answers: CorrectAnswers,
    split: str,
    metric: str,
    run: FinishedRun | None = None,
) -> SeedComparison | None:
    """Compare the groups of named runs, or return None if no group has several seeds.

    Args:
        groups: The groups.
        repeated: Runs that were left out because they repeat another run.
        answers: Correctness of the predictions of all runs.
        split: Split of the predictions.
        metric: Metric that is compared, in this split and in the validation split.
        run: Run whose group is the baseline; see :func:`choose_group`.
    """
    if all(len(group.runs) < 2 for group in groups):
        return None
    names = dict.fromkeys([f"{split}/{metric}", f"val/{metric}", f"{split}/loss", "val/loss"])
    metrics = [name for name in names if any(name in one.metrics for group in groups for one in group.runs)]
    lower = frozenset(name for name in metrics if is_loss(name))
    baseline = choose_group(groups, metric, run)
    return compare_groups(groups, metrics, lower, {split: answers}, baseline, describe_repeated(repeated))
