"""The report for ``task=compare``: tables, figures and sentences that compare finished runs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from celeba_lab import figures
from celeba_lab.analyses.paired import FEW, holm, mcnemar, paired_bootstrap
from celeba_lab.console import Progress, console, display_path, format_p, progress, show_table, split_name
from celeba_lab.data.synthetic.settings import NOTICE
from celeba_lab.errors import SettingError, did_you_mean, enumerate_names
from celeba_lab.reports.page.page import PageTable, Picture, Section, write_page
from celeba_lab.reports.seed_tables import draw_seed_differences, seed_section, write_seeds
from celeba_lab.reports.seeds import SeedComparison, is_loss
from celeba_lab.runs.answers import CorrectAnswers
from celeba_lab.runs.find import find_runs
from celeba_lab.runs.finished import FinishedRun, check_same_data, read_runs
from celeba_lab.runs.folder import PAGE, RunFolder
from celeba_lab.runs.seeds import SeedGroup
from celeba_lab.runs.settings import differing_settings

CAUTION = (
    "These intervals of single runs describe the variation across images, not across seeds. Runs with the same settings"
    " but different seeds may differ by about as much. To compare settings, train each of them with several seeds."
)

_MOST_SETTINGS = 200  # Runs of other programs could have many thousands of settings, which would take long to print.


def read_comparable(patterns: str | Sequence[str], split: str, ignore: Path) -> list[FinishedRun]:
    """Read the runs that can be compared, and print the names of the runs that were left out.

    Args:
        patterns: Run folders, folders that contain run folders, or globs that match either.
        split: Split whose predictions are compared.
        ignore: Run folder of the comparison itself, which is skipped.

    Raises:
        UserError: Fewer than two runs can be compared, or the runs used different data.
    """
    with Progress("finding the runs"):
        folders, unfinished = find_runs(patterns, ignore)
    found, others = read_runs(folders, split)
    left_out = []
    for kind, reason in (
        (unfinished, "unfinished, no summary.json"),
        (others, f"no predictions for the {split_name(split)} split"),
    ):
        if kind:
            names = enumerate_names([str(display_path(folder)) for folder in kind], 20)
            left_out.append(f"Left out ({reason}): {names}.")
    if len(found) < 2:
        matched = f"matches only {found[0].name}" if found else "matches none"
        rule = (
            f"must match at least two finished runs with predictions for the {split_name(split)} split, but {matched}"
        )
        raise SettingError("runs", patterns, rule, " ".join(left_out))
    check_same_data(found, split)
    for sentence in left_out:
        console.print(sentence, style="yellow", soft_wrap=True)
    return found


def best_first(runs: Sequence[FinishedRun], metric: str) -> list[FinishedRun]:
    """Sort runs by a validation metric, with the best run first and runs without the metric last."""
    sign = 1.0 if is_loss(metric) else -1.0
    values = [sign * run.metrics.get(f"val/{metric}", float("nan")) for run in runs]
    return [runs[k] for k in np.argsort(values, kind="stable")]  # argsort moves NaN to the end.


def check_metric(runs: Sequence[FinishedRun], split: str, metric: str) -> None:
    """Check that every run has the given metric for a split.

    Raises:
        SettingError: A run does not have the metric.
    """
    for run in runs:
        if f"{split}/{metric}" not in run.metrics:
            own = [name.removeprefix(f"{split}/") for name in run.metrics if name.startswith(f"{split}/")]
            overall = enumerate_names([name for name in own if "/" not in name], 20)
            rule = f"is not a {split} metric of {run.name}, for which these metrics are available: {overall}"
            raise SettingError("metric", metric, rule, did_you_mean(metric, own))


def choose_baseline(
    runs: Sequence[FinishedRun], metric: str, named: str | None = None, groups: Sequence[SeedGroup] = ()
) -> FinishedRun:
    """Choose the baseline, with which the other runs are compared.

    Args:
        runs: Runs to compare.
        metric: Metric that determines the best run on the validation split.
        named: Name or path of the baseline run, or name of a group, whose best run is chosen. By default (None), the
            best run on the validation split is chosen. If no run has the validation metric, the first run is chosen.
        groups: Runs that differ only in their seed.

    Raises:
        SettingError: The name matches no run and no group, or more than one run.
    """
    if named is None:
        return best_first(runs, metric)[0]
    if (group := next((each for each in groups if each.name == named), None)) is not None:
        return best_first(group.runs, metric)[0]
    asked = Path(named).expanduser()
    ends = [run for run in runs if run.folder.parts[-len(asked.parts) :] == asked.parts]
    exact = [run for run in runs if run.name == named or run.folder == asked.resolve()]
    found = exact or ends
    if len(found) != 1:
        names = [run.name for run in found or runs]
        if not found:
            names += [group.name for group in groups if len(group.runs) > 1]
        rule = f"matches {len(found)} runs" if found else "is not a run or setting in this comparison"
        hint = f"Choose one of {enumerate_names(names, 12)}.{did_you_mean(named, names)}"
        raise SettingError("baseline", named, rule, hint)
    return found[0]


def run_table(runs: Sequence[FinishedRun], split: str) -> pd.DataFrame:
    """Return a table of each run's overall metrics, data, seed and provenance, with one row per run."""
    metrics = dict.fromkeys(name for run in runs for name in run.metrics if name.count("/") == 1)
    rows = []
    for run in runs:
        summary = run.summary
        rows.append(
            {
                "run": run.name,
                "task": summary.task,
                **{name: run.metrics.get(name) for name in metrics},
                "best_epoch": summary.best_epoch,
                "training_seconds": run.training_seconds,
                "seed": run.seed,
                "data": run.data["name"],
                "train_images": run.images("train"),
                f"{split}_images": run.images(split),
                "initial_weights": summary.initial_weights,
                "checkpoint": summary.checkpoint,
                "device": summary.device,
                "commit": summary.git,
                "folder": str(display_path(run.folder)),
            }
        )
    table = pd.DataFrame(rows)
    whole = [name for name in ("best_epoch", "seed", "train_images", f"{split}_images") if table[name].notna().any()]
    return table.astype(dict.fromkeys(whole, "Int64"))  # Int64 allows missing values.


def setting_table(runs: Sequence[FinishedRun]) -> pd.DataFrame:
    """Return a table of the settings that differ between runs, with one row per setting and one column per run.

    Settings that follow from others or from the run folder are left out. Values are formatted as in YAML. A cell is
    empty if the run does not have the setting.
    """
    rows = [
        [name, *(_yaml(run.settings[name]) if name in run.settings else "" for run in runs)]
        for name in differing_settings([run.stored for run in runs])
    ]
    return pd.DataFrame(rows, columns=["setting", *(run.name for run in runs)])


def _yaml(value: object) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def paired_tables(
    answers: CorrectAnswers, baseline: str, resamples: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare each run with the baseline using paired tests.

    Args:
        answers: Correctness of each run's predictions.
        baseline: Name of the baseline run.
        resamples: Number of bootstrap samples of the images.
        seed: Seed for the bootstrap. The interval and p-value of a run do not depend on which other runs are compared.

    Returns:
        A table of the accuracy over all attributes, with one row per run, and a table of McNemar's tests, with one row
        per run and attribute. ``p_adjusted`` is the p-value after Holm's adjustment, which is applied across the runs
        in the first table and across the attributes of each run in the second table.
    """
    base = answers.correct[baseline]
    rows, details = [], []
    for run, correct in progress(answers.correct.items(), "comparing the runs", unit="runs"):
        if run == baseline:
            continue
        only_run = np.count_nonzero(correct & ~base, axis=0)
        only_baseline = np.count_nonzero(base & ~correct, axis=0)
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
                "images": correct.shape[0],
                "attributes": correct.shape[1],
                "accuracy": correct.mean(),
                "baseline_accuracy": base.mean(),
                **asdict(paired_bootstrap(correct, base, resamples, seed)),
                "attributes_better": int((shown & (only_run > only_baseline)).sum()),
                "attributes_worse": int((shown & (only_run < only_baseline)).sum()),
            }
        )
    table = pd.DataFrame(rows)
    table["p_adjusted"] = holm(table["p"])
    return table, pd.concat(details, ignore_index=True)


def describe(paired: pd.DataFrame) -> Iterator[str]:
    """Yield one sentence for each row of the first table returned by :func:`paired_tables`."""
    for row in paired.itertuples(index=False):
        yield _sentence(row, len(paired))


def _sentence(row: Any, comparisons: int) -> str:
    if not row.images_apart:
        return (
            f"{row.run} and {row.baseline} predict the same number of attributes correctly in each of the"
            f" {row.images:,} images"
        )
    p = format_p(row.p)
    if row.low <= 0 <= row.high:
        numbers = f"{row.difference:+.4f}, 95% interval {row.low:+.4f} to {row.high:+.4f}, {p}"
        return f"{row.run} and {row.baseline} do not differ significantly on {row.images:,} images ({numbers})"
    low, high = sorted((abs(row.low), abs(row.high)))
    sentence = (
        f"{row.run} is {'better' if row.low > 0 else 'worse'} than {row.baseline} by {abs(row.difference):.4f}"
        f" (95% interval {low:.4f} to {high:.4f}), {p}"
    )
    if row.p_adjusted >= 0.05:
        sentence += (
            f", but p = {row.p_adjusted:.2g} after Holm's adjustment for multiple comparisons (n = {comparisons})"
        )
    if row.images_apart < FEW:
        sentence += f"; only {row.images_apart} images distinguish them, too few for a reliable result"
    return sentence


def comparison_metrics(
    values: pd.Series, baseline: FinishedRun, paired: pd.DataFrame, over_seeds: SeedComparison | None = None
) -> dict[str, float]:
    """Return the metrics of a comparison.

    Args:
        values: Column of the compared metric in the table from :func:`run_table`.
        baseline: Baseline run, with which the other runs are compared.
        paired: First table from :func:`paired_tables`.
        over_seeds: Comparison of settings over seeds, or None.
    """
    name = str(values.name)
    settings = {} if over_seeds is None else over_seeds.counts
    return settings | {
        "runs": float(len(values)),
        f"{name}/best": float(values.min() if is_loss(name) else values.max()),
        f"{name}/baseline": baseline.metrics[name],
        "better": float((paired["low"] > 0).sum()),
        "worse": float((paired["high"] < 0).sum()),
    }


def write_comparison(
    run: RunFolder,
    runs: Sequence[FinishedRun],
    tables: Mapping[str, pd.DataFrame],
    over_seeds: SeedComparison | None,
    split: str,
    metric: str,
    title: str,
) -> None:
    """Write the tables and ``report.html``, and draw the figures.

    Args:
        run: Run folder of the comparison.
        runs: The compared runs.
        tables: Tables from :func:`run_table`, :func:`setting_table` and :func:`paired_tables`, with the names ``runs``,
            ``settings``, ``paired`` and ``mcnemar``.
        over_seeds: Comparison of settings over seeds, or None.
        split: Split whose predictions are compared.
        metric: Metric by which the runs are ranked.
        title: Prefix of the titles.
    """
    for name, content in tables.items():
        run.table(name, content)
    paired, shown = tables["paired"], tables["runs"]
    sections = []
    if over_seeds is not None:
        write_seeds(over_seeds, run.path / "tables")
        heading = f"{title} · {split_name(split)}: settings over seeds"
        sections.append(seed_section(over_seeds, draw_seed_differences(run, over_seeds, heading), "tables/"))
    curves = draw_curves(run, runs, metric, title)
    pictures = [draw_differences(run, paired, title, split), *([] if curves is None else [curves])]
    text = "\n\n".join([*(f"{sentence}." for sentence in describe(paired)), CAUTION])
    columns = dict.fromkeys([f"{split}/{metric}", f"val/{metric}", "seed", "best_epoch", "training_seconds", "folder"])
    frame = shown[["run", *(name for name in columns if name in shown and shown[name].notna().any())]]
    table = PageTable("The runs", frame, "tables/runs.csv")
    settings = PageTable("Settings that differ", tables["settings"], "tables/settings.csv", rows=_MOST_SETTINGS)
    sections.append(Section("Single runs", text, [table, settings], pictures))
    data = runs[0].data["name"]
    facts = {"runs": str(len(runs)), "data": str(data), "split": split_name(split), "metric": metric}
    run.complete_figures()
    write_page(run.path / PAGE, title, facts, sections, warning=NOTICE if data == "synthetic" else None)


def draw_curves(run: RunFolder, runs: Sequence[FinishedRun], metric: str, title: str) -> Picture | None:
    """Draw per-epoch metrics of the runs that are best on the validation split, skipping runs without a history."""
    histories = {one.name: one.history for one in best_first(runs, metric) if one.history is not None}
    if not histories:
        return None
    extreme = "lowest" if is_loss(metric) else "highest"
    note = f"The {figures.MOST_CURVES} runs with the {extreme} validation {metric}, out of {len(histories)} runs"
    figure = figures.run_curves(
        dict(list(histories.items())[: figures.MOST_CURVES]),
        metric="accuracy" if metric == "loss" else metric,
        title=title,
        note=note if len(histories) > figures.MOST_CURVES else "",
        best_epochs={one.name: one.summary.best_epoch for one in runs if one.summary.best_epoch is not None},
    )
    caption = "Validation metrics of the runs after each epoch"
    return Picture(run.figure("curves", figure), caption, "Learning curves of the runs")


def draw_differences(run: RunFolder, paired: pd.DataFrame, title: str, split: str) -> Picture:
    """Draw the differences and intervals in the first table returned by :func:`paired_tables`."""
    first = paired.iloc[0]
    figure = figures.run_differences(
        paired["run"].tolist(),
        paired["difference"],
        paired["low"],
        paired["high"],
        label="accuracy minus baseline accuracy",
        title=f"{title} · {split_name(split)}",
        note=f"Baseline: {first['baseline']}, accuracy {first['baseline_accuracy']:.4f}. 95% bootstrap"
        f" intervals over {first['images']:,} images. Changing only the seed may cause similar differences",
    )
    caption = f"Difference in accuracy between each run and {first['baseline']}, with intervals over images"
    return Picture(run.figure("differences", figure), caption, "One interval per run for its difference in accuracy")


def show_data(answers: CorrectAnswers, split: str, name: str | None) -> None:
    """Print the name of the data, the number of images, and the compared attributes."""
    images, count = answers.labels.shape
    what = answers.attributes[0] if count == 1 else f"{count} attributes"
    warning = ": SYNTHETIC faces, so the numbers do not apply to CelebA" if name == "synthetic" else ""
    console.print(
        f"data: {name}, {images:,} {split_name(split)} images, {what}{warning}",
        style="bold yellow" if warning else "bold",
    )
    if answers.left_out:
        console.print(f"attributes left out because only some runs have them: {enumerate_names(answers.left_out, 40)}")


def show_runs(table: pd.DataFrame, metric: str, split: str) -> None:
    """Print the metric, best epoch and training time of each run in the table from :func:`run_table`."""
    short = {"best_epoch": "epoch", "training_seconds": "seconds"}  # shorter headings for narrow terminals
    shown = _shown(table, [f"val/{metric}", f"{split}/{metric}", *short])
    show_table(f"{len(table)} runs", shown.rename(columns=short))


def _shown(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the columns in which at least one run has a value, with empty cells for runs without a value."""
    shown = table[["run", *(name for name in dict.fromkeys(columns) if name in table and table[name].notna().any())]]
    shown = shown.assign(**{name: shown[name].round().astype("Int64") for name in shown if name == "training_seconds"})
    for name in shown:
        if shown[name].isna().any():
            form = "{:.4f}" if shown[name].dtype.kind == "f" else "{}"
            shown[name] = ["" if pd.isna(value) else form.format(value) for value in shown[name]]
    return shown


def show_settings(settings: pd.DataFrame) -> None:
    """Print the table of differing settings that :func:`setting_table` returns."""
    if settings.empty:
        console.print("all runs have the same settings")
        return
    runs = len(settings.columns) - 1
    # The longer dimension becomes the rows, because a terminal is limited in width but not in height.
    frame = settings.set_index("setting").T.rename_axis("run").reset_index() if runs > len(settings) else settings
    shown = frame if frame is not settings else settings.head(_MOST_SETTINGS)
    show_table("settings that differ", shown.map(lambda text: shorten(text, 48, placeholder=" ...")))
    if len(shown) < len(frame):
        console.print(f"{len(frame) - len(shown):,} more settings differ; see tables/settings.csv")


def show_differences(paired: pd.DataFrame, baseline: FinishedRun, metric: str, is_chosen: bool) -> None:
    """Print the baseline, the comparison of each other run with the baseline, and a caution about the intervals.

    Args:
        paired: First table from :func:`paired_tables`.
        baseline: Baseline run, with which the other runs are compared.
        metric: Metric by which the baseline was chosen.
        is_chosen: Whether the user chose the baseline.
    """
    validated = f"val/{metric}" in baseline.metrics
    best = f"best validation {metric}" if validated else f"first run, because no run has a validation {metric}"
    console.print("single runs on the same images:", style="bold")
    console.print(f"baseline: {baseline.name} ({'set in the configuration' if is_chosen else best})")
    for sentence in describe(paired):
        console.print(sentence)
    console.print(CAUTION, style="dim")
