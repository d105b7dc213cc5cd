"""Rank runs from their folders alone."""

import math
from collections.abc import Sequence

import pandas as pd
from omegaconf import DictConfig

from celeba_lab.console import Progress, command_line, console, display_path, format_override
from celeba_lab.errors import SettingError, check_choice
from celeba_lab.reports.leaderboard import describe_damaged, explain_missing_score, show_leaderboard, write_leaderboard
from celeba_lab.reports.seed_tables import show_seeds
from celeba_lab.reports.seeds import SeedComparison, compare_entries
from celeba_lab.reports.sweep import write_sweep_report
from celeba_lab.runs.find import find_runs
from celeba_lab.runs.leaderboard import Entry, main_metrics, rank, read_entries
from celeba_lab.runs.run import Run
from celeba_lab.runs.sweep import DIRECTIONS


def leaderboard(cfg: DictConfig, runs: str | list[str]) -> dict[str, float]:
    """Rank runs by ``score``, and write their leaderboard to the tables of this run.

    Args:
        cfg: Configuration of the run. ``score`` is the metric that ranks the runs, and ``direction`` says whether high
            or low values are better.
        runs: Sweep folders, run folders, folders that contain run folders, or globs that match these.

    Returns:
        The metrics ``runs`` (the number of runs), ``finished``, and the best value of the score under its own name.

    Raises:
        UserError: No run matches.
    """
    check_choice("direction", cfg.direction, DIRECTIONS)
    run = Run.open(cfg)
    with Progress("reading the runs"):
        finished, unfinished = find_runs(runs, ignore=run.path)
        entries = rank(read_entries([*finished, *unfinished]), cfg.score, cfg.direction)
    if not entries:
        raise SettingError("runs", runs, "contains no runs")
    run.begin()
    table = write_leaderboard(entries, cfg.score, run.path / "tables")
    over_seeds = compare_entries(entries, main_metrics(table, cfg.score), cfg.score, cfg.direction)
    with run.reporting(), Progress("writing the report"):
        write_sweep_report(run, entries, table, cfg.score, "leaderboard", "tables/", over_seeds)
    show_ranking(entries, table, cfg.score, cfg.direction, over_seeds)
    for sentence in describe_damaged(entries):
        console.print(sentence, style="yellow", soft_wrap=True)
    metrics = {"runs": float(len(entries)), "finished": float(sum(entry.state == "finished" for entry in entries))}
    if cfg.score is not None and cfg.score in entries[0].metrics:
        metrics[cfg.score] = entries[0].metrics[cfg.score]
    return run.finish(metrics, details={"runs": [str(entry.folder) for entry in entries]})


def show_ranking(
    entries: Sequence[Entry],
    table: pd.DataFrame,
    score: str | None,
    direction: str,
    over_seeds: SeedComparison | None = None,
) -> None:
    """Print the leaderboard, and commands for the best run or the reason why the runs are not ranked.

    Args:
        entries: Runs, best first.
        table: Their leaderboard.
        score: Name of the metric that ranks them.
        direction: Whether high or low scores are better.
        over_seeds: Comparison of the settings over seeds, which is printed below the leaderboard, or None.
    """
    show_leaderboard(table, score, f"leaderboard ({direction} {score})")
    show_seeds(over_seeds)
    if sentence := explain_missing_score(entries, score):
        console.print(sentence, style="yellow", soft_wrap=True)
    elif entries and entries[0].state == "finished" and not math.isnan(entries[0].metrics.get(str(score), math.nan)):
        show_best(entries[0])


def show_best(best: Entry) -> None:
    """Print commands for the best run."""
    console.print(f"best run: {display_path(best.folder)}", soft_wrap=True)
    for purpose, command in commands_for(best):
        console.print(f"  {purpose}: {command}", soft_wrap=True)


def commands_for(entry: Entry) -> list[tuple[str, str]]:
    """Return purposes and commands for a finished run: to use its checkpoint, if it has one, and to repeat it."""
    repeat = ("repeat", command_line([format_override("repeat", display_path(entry.folder))]))
    if entry.checkpoint is None:
        return [repeat]
    checkpoint = format_override("checkpoint", entry.checkpoint)
    if entry.task == "train_gan":
        return [("generate faces", command_line(["task=generate", checkpoint, *entry.data_overrides])), repeat]
    return [
        ("evaluate", command_line(["task=evaluate", checkpoint, "task.split=test", *entry.data_overrides])),
        ("predict", command_line(["task=predict", checkpoint, "task.images=photos/*.jpg"])),
        repeat,
    ]
