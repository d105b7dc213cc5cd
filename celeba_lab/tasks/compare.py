"""Put finished runs side by side."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten

import pandas as pd
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from celeba_lab import figures
from celeba_lab.console import console, display_path, show_table
from celeba_lab.data.annotations import SPLITS
from celeba_lab.errors import UserError, did_you_mean, enumerate_names
from celeba_lab.reports.comparison import (
    CAUTION,
    best_first,
    check_metric,
    choose_baseline,
    describe,
    lower_is_better,
    paired_tables,
    run_table,
    setting_table,
)
from celeba_lab.runs.answers import Answers, read_answers
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.find import find_runs
from celeba_lab.runs.finished import FinishedRun, check_same_data, read_runs
from celeba_lab.runs.run import RunFolder, open_run, show_ending, task_name

_FEWEST_RESAMPLES = 100  # of which the ends of a 95 % interval are the third from either side


def compare(
    cfg: DictConfig,
    runs: str | list[str],
    split: str = "test",
    metric: str = "accuracy",
    baseline: str | None = None,
    resamples: int = 2000,
) -> dict[str, float]:
    """Write what finished runs reached, in which settings they differ, and whether their images can tell them apart.

    Args:
        cfg: the configuration; the resampling depends on its ``seed``.
        runs: run folders, folders that hold some, or globs of either.
        split: train, val or test: whose predictions are compared.
        metric: ranks the runs, on validation. The tests are about accuracy.
        baseline: name or path of the run that the others are compared with; by default the best on validation.
        resamples: of the images, for the intervals.

    Returns:
        ``runs``, how many were compared; ``split/metric/best`` and ``split/metric/baseline``; and how many runs are
        ``better`` and ``worse`` than the baseline, by intervals of the accuracy that leave out 0.

    Raises:
        UserError: a setting or a run cannot be used, fewer than two runs can be compared, or they are about different
            data.
    """
    if split not in SPLITS:
        raise UserError(f"task.split={split} must be one of {', '.join(SPLITS)}.{did_you_mean(split, SPLITS)}")
    if resamples < _FEWEST_RESAMPLES:
        raise UserError(f"task.resamples={resamples}: give {_FEWEST_RESAMPLES} or more.")
    found = _read(runs, split)
    check_metric(found, split, metric)
    base = choose_baseline(found, metric, baseline)
    answers = read_answers(found, split)
    run = open_run(cfg)
    with run.timed("compute"):
        paired, details = paired_tables(answers, base.name, resamples, cfg.seed)
    table, settings = run_table(found, split), setting_table(found)
    with run.timed("report"):
        for name, frame in {"runs": table, "settings": settings, "paired": paired, "mcnemar": details}.items():
            run.table(name, frame)
        title = f"{base.summary['data'].get('name')} · {cfg.name}"
        _draw_curves(run, found, metric, title)
        _draw_differences(run, paired, f"{title} · {split}")
    values = table[f"{split}/{metric}"]
    metrics = {
        "runs": float(len(found)),
        f"{split}/{metric}/best": float(values.min() if lower_is_better(metric) else values.max()),
        f"{split}/{metric}/baseline": base.metrics[f"{split}/{metric}"],
        "better": float((paired["low"] > 0).sum()),
        "worse": float((paired["high"] < 0).sum()),
    }
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=base.summary["data"],
        metrics=metrics,
        runs={one.name: str(display_path(one.folder)) for one in found},
        baseline=base.name,
        attributes=answers.attributes,
        device=device_name(torch.device("cpu")),
    )
    _show_data(answers, split, base.summary["data"].get("name"))
    short = {"best_epoch": "epoch", "training_seconds": "seconds"}  # for a narrow terminal
    show_table(
        f"{len(table)} runs", _shown(table, [f"val/{metric}", f"{split}/{metric}", *short]).rename(columns=short)
    )
    _show_settings(settings)
    validated = f"val/{metric}" in base.metrics
    best = f"the best validation {metric}" if validated else f"the first, as none has a validation {metric}"
    console.print(f"baseline: {base.name} ({best if baseline is None else 'task.baseline'})", markup=False)
    for sentence in describe(paired):
        console.print(sentence, markup=False)
    console.print(CAUTION, style="dim")
    show_ending(run.path, [])
    return metrics


def _read(patterns: str | Sequence[str], split: str) -> list[FinishedRun]:
    """Read the runs that can be compared, and say which cannot."""
    folders, unfinished = find_runs(patterns, ignore=Path(HydraConfig.get().runtime.output_dir))
    found, others = read_runs(folders, split)
    left_out = []
    for kind, reason in ((unfinished, "unfinished, without summary.json"), (others, f"no predictions of {split}")):
        if kind:
            names = enumerate_names([str(display_path(folder)) for folder in kind], 20)
            left_out.append(f"left out ({reason}): {names}")
    if len(found) < 2:
        names = f", {found[0].name}" if found else ""
        reasons = "".join(f"; {sentence}" for sentence in left_out)
        raise UserError(
            f"task.runs={patterns} names {len(found)} finished runs with predictions of the {split} split{names}, and"
            f" it takes two to compare{reasons}."
        )
    check_same_data(found, split)
    for sentence in left_out:
        console.print(sentence, style="yellow", markup=False, soft_wrap=True)
    return found


def _draw_curves(run: RunFolder, runs: Sequence[FinishedRun], metric: str, title: str) -> None:
    histories = {one.name: one.history for one in best_first(runs, metric) if one.history is not None}
    if not histories:
        return
    extreme = "lowest" if lower_is_better(metric) else "highest"
    note = f"The {figures.MOST_CURVES} of {len(histories)} runs with the {extreme} validation {metric}"
    picture = figures.run_curves(
        dict(list(histories.items())[: figures.MOST_CURVES]),
        metric="accuracy" if metric == "loss" else metric,
        title=title,
        note=note if len(histories) > figures.MOST_CURVES else "",
        best_epochs={one.name: one.summary["best_epoch"] for one in runs if one.summary.get("best_epoch")},
    )
    run.figure("curves", picture)


def _draw_differences(run: RunFolder, paired: pd.DataFrame, title: str) -> None:
    first = paired.iloc[0]
    picture = figures.run_differences(
        paired["run"].tolist(),
        paired["difference"],
        paired["low"],
        paired["high"],
        label="accuracy minus that of the baseline",
        title=title,
        note=f"Baseline: {first['baseline']}, accuracy {first['baseline_accuracy']:.4f}. 95 % intervals of"
        f" {first['images']:,} resampled images: other seeds of the same settings may differ as much",
    )
    run.figure("differences", picture)


def _show_data(answers: Answers, split: str, name: str | None) -> None:
    images, count = answers.labels.shape
    what = answers.attributes[0] if count == 1 else f"{count} attributes"
    warning = ": SYNTHETIC faces, which say nothing about CelebA" if name == "synthetic" else ""
    console.print(
        f"data: {name}, {images:,} {split} images, {what}{warning}", style="bold yellow" if warning else "bold"
    )
    if answers.left_out:
        console.print(f"attributes that only some runs have are left out: {enumerate_names(answers.left_out, 40)}")


def _shown(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return the columns that are there; what some runs do not have is left empty, as it is not undefined."""
    shown = table[["run", *(name for name in dict.fromkeys(columns) if name in table and table[name].notna().any())]]
    shown = shown.assign(**{name: shown[name].round().astype("Int64") for name in shown if name == "training_seconds"})
    for name in shown:
        if shown[name].isna().any():
            form = "{:.4f}" if shown[name].dtype.kind == "f" else "{}"
            shown[name] = ["" if pd.isna(value) else form.format(value) for value in shown[name]]
    return shown


def _show_settings(settings: pd.DataFrame) -> None:
    if settings.empty:
        console.print("the settings are the same in all runs")
        return
    runs = len(settings.columns) - 1
    # The longer side goes down: a screen is not as wide as it is long.
    frame = settings.set_index("setting").T.rename_axis("run").reset_index() if runs > len(settings) else settings
    show_table("the settings that differ", frame.map(lambda text: shorten(text, 48, placeholder=" ...")))
