"""Finished runs side by side, as tables and sentences."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from celeba_lab.analyses.paired import FEW, holm, mcnemar, paired_bootstrap
from celeba_lab.console import display_path
from celeba_lab.errors import UserError, did_you_mean, enumerate_names
from celeba_lab.runs.answers import Answers
from celeba_lab.runs.finished import FinishedRun

CAUTION = (
    "The intervals are about other images, not about other seeds: trained again, the same settings may differ as much."
    " To compare settings, give each several seeds."
)


def lower_is_better(metric: str) -> bool:
    """Return whether the best run is the one with the lowest value."""
    return metric.endswith("loss")


def best_first(runs: Sequence[FinishedRun], metric: str) -> list[FinishedRun]:
    """Order runs by a metric on validation, the split that nothing is reported on; runs without it come last."""
    sign = 1.0 if lower_is_better(metric) else -1.0
    values = [sign * run.metrics.get(f"val/{metric}", float("nan")) for run in runs]
    return [runs[k] for k in np.argsort(values, kind="stable")]  # NaN comes last


def check_metric(runs: Sequence[FinishedRun], split: str, metric: str) -> None:
    """Check that every run has a metric of a split.

    Raises:
        UserError: one has not.
    """
    for run in runs:
        if f"{split}/{metric}" not in run.metrics:
            own = [name.removeprefix(f"{split}/") for name in run.metrics if name.startswith(f"{split}/")]
            raise UserError(
                f"task.metric={metric}: {run.name} has no such metric of the {split} split; it has"
                f" {enumerate_names([name for name in own if '/' not in name], 20)}.{did_you_mean(metric, own)}"
            )


def choose_baseline(runs: Sequence[FinishedRun], metric: str, named: str | None = None) -> FinishedRun:
    """Return the run of a name or path; without one the best on validation, or the first if none was validated.

    Raises:
        UserError: no run, or more than one, has this name.
    """
    if named is None:
        return best_first(runs, metric)[0]
    asked = Path(named).expanduser()
    ends = [run for run in runs if run.folder.parts[-len(asked.parts) :] == asked.parts]
    exact = [run for run in runs if run.name == named or run.folder == asked.resolve()]
    found = exact or ends
    if len(found) != 1:
        names = [run.name for run in found or runs]
        kind = f"means {len(found)} runs" if found else "is no run of this comparison"
        raise UserError(
            f"task.baseline={named} {kind}; name one of {enumerate_names(names, 12)}.{did_you_mean(named, names)}"
        )
    return found[0]


def run_table(runs: Sequence[FinishedRun], split: str) -> pd.DataFrame:
    """Return one row per run: every ``split/metric`` of all attributes together, and how it came about."""
    metrics = dict.fromkeys(name for run in runs for name in run.metrics if name.count("/") == 1)
    rows = []
    for run in runs:
        summary, seconds = run.summary, run.summary.get("seconds") or {}
        rows.append(
            {
                "run": run.name,
                "task": summary.get("task"),
                **{name: run.metrics.get(name) for name in metrics},
                "best_epoch": summary.get("best_epoch"),
                "training_seconds": seconds.get("training", seconds.get("fit")),
                "seed": summary.get("seed", run.settings.get("seed")),
                "data": summary["data"].get("name"),
                "train_images": summary["data"].get("images", {}).get("train"),
                f"{split}_images": summary["data"].get("images", {}).get(split),
                "weights": summary.get("weights"),
                "checkpoint": summary.get("checkpoint"),
                "device": summary.get("device"),
                "commit": summary.get("git"),
                "folder": str(display_path(run.folder)),
            }
        )
    table = pd.DataFrame(rows)
    whole = [name for name in ("best_epoch", "seed", "train_images", f"{split}_images") if table[name].notna().any()]
    return table.astype(dict.fromkeys(whole, "Int64"))  # 3, not 3.0, beside a run that has none


def setting_table(runs: Sequence[FinishedRun]) -> pd.DataFrame:
    """Return the settings that are not the same in all runs: a row for each, a column for each run.

    A cell holds the value as YAML has it; it is empty where the run has no such setting.
    """
    names = dict.fromkeys(name for run in runs for name in run.settings)
    rows = []
    for name in names:
        values = [_yaml(run.settings[name]) if name in run.settings else "" for run in runs]
        if len(set(values)) > 1:
            rows.append([name, *values])
    return pd.DataFrame(rows, columns=["setting", *(run.name for run in runs)])


def _yaml(value: object) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def paired_tables(answers: Answers, baseline: str, resamples: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test each run against the baseline.

    Args:
        answers: of all runs.
        baseline: the name of one.
        resamples: of the images.
        seed: of the resampling; that of one run does not depend on which others there are.

    Returns:
        One row per run, of the accuracy over all attributes; and one row per run and attribute, of McNemar's test.
        ``p_adjusted`` is Holm's, over the runs in the first and over one run's attributes in the second.
    """
    base = answers.right[baseline]
    rows, details = [], []
    for run, right in answers.right.items():
        if run == baseline:
            continue
        only_run = np.count_nonzero(right & ~base, axis=0)
        only_baseline = np.count_nonzero(base & ~right, axis=0)
        p = mcnemar(only_run, only_baseline)
        detail = pd.DataFrame(
            {
                "run": run,
                "baseline": baseline,
                "attribute": answers.attributes,
                "only_run_right": only_run,
                "only_baseline_right": only_baseline,
                "p": p,
                "p_adjusted": holm(p),
            }
        )
        details.append(detail)
        shown = detail["p_adjusted"] < 0.05
        rows.append(
            {
                "run": run,
                "baseline": baseline,
                "images": right.shape[0],
                "attributes": right.shape[1],
                "accuracy": right.mean(),
                "baseline_accuracy": base.mean(),
                **asdict(paired_bootstrap(right, base, resamples, seed)),
                "attributes_better": int((shown & (only_run > only_baseline)).sum()),
                "attributes_worse": int((shown & (only_run < only_baseline)).sum()),
            }
        )
    table = pd.DataFrame(rows)
    table["p_adjusted"] = holm(table["p"])
    return table, pd.concat(details, ignore_index=True)


def describe(paired: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence for each row of the first table of :func:`paired_tables`."""
    for row in paired.itertuples(index=False):
        yield _sentence(row, len(paired))


def _sentence(row: Any, comparisons: int) -> str:
    if not row.images_apart:
        return f"{row.run} and {row.baseline} are right about the same things in all {row.images:,} images"
    p = f"p = {row.p:.2g}" if row.p >= 0.001 else "p < 0.001"
    if row.low <= 0 <= row.high:
        numbers = f"{row.difference:+.4f}, 95 % {row.low:+.4f} to {row.high:+.4f}, {p}"
        return f"{row.run} and {row.baseline}: no difference that {row.images:,} images can show ({numbers})"
    low, high = sorted((abs(row.low), abs(row.high)))
    sentence = (
        f"{row.run} is {'better' if row.low > 0 else 'worse'} than {row.baseline} by {abs(row.difference):.4f}"
        f" (95 % {low:.4f} to {high:.4f}), {p}"
    )
    if row.p_adjusted >= 0.05:
        sentence += f", but p = {row.p_adjusted:.2g} where all {comparisons} comparisons are counted (Holm)"
    if row.images_apart < FEW:
        sentence += f"; only {row.images_apart} images tell them apart, too few to rely on"
    return sentence
