"""The report on a sweep, or on any runs that are ranked by a score: a leaderboard, figures and a page."""

from collections import Counter
from collections.abc import Sequence
from textwrap import shorten

import pandas as pd

from celeba_lab import figures
from celeba_lab.data.synthetic.settings import NOTICE
from celeba_lab.errors import UserError
from celeba_lab.figures.sweeps import MOST_PANELS
from celeba_lab.reports.leaderboard import TABLE, page_frame
from celeba_lab.reports.page.page import PageTable, Picture, Section, write_page
from celeba_lab.reports.seed_tables import draw_seed_differences, seed_section, write_seeds
from celeba_lab.reports.seeds import SeedComparison
from celeba_lab.runs.finished import read_history
from celeba_lab.runs.folder import PAGE, RunFolder
from celeba_lab.runs.leaderboard import Entry, varied_settings
from celeba_lab.runs.sweep import short_names

_LONGEST = 60  # Most characters of a setting on the page.


def write_sweep_report(
    run: RunFolder,
    entries: Sequence[Entry],
    table: pd.DataFrame,
    score: str | None,
    name: str,
    tables: str = "",
    over_seeds: SeedComparison | None = None,
) -> None:
    """Draw how the score depends on the settings, draw the curves of the best runs, and write ``report.html``.

    Args:
        run: Folder for the report.
        entries: Runs, best first.
        table: Their leaderboard.
        score: Name of the metric that ranks them, or None.
        name: Name of the sweep, for titles.
        tables: Folder of the leaderboard, relative to the folder of the report, with a slash at its end.
        over_seeds: Comparison of the settings over seeds, or None.
    """
    data = sorted({str(entry.data) for entry in entries if entry.data is not None})
    title = f"{', '.join(data)} · {name}" if data else name
    pictures = [*_draw_scores(run, entries, score, title), *_draw_curves(run, entries, score, title)]
    ranked = [entry for entry in entries if score is not None and score in entry.metrics]
    states = Counter(entry.state for entry in entries)
    facts = {
        "runs": ", ".join(f"{count} {state}" for state, count in states.items()),
        "score": str(score),
        "best run": ranked[0].name if ranked and ranked[0].state == "finished" else "none",
        "data": ", ".join(data) or "none",
    }
    text = "Choose runs only by metrics of the validation split. If the test split is used to choose, it is not a test."
    caption = f"Runs ranked by {score}"
    frame = page_frame(table, score)
    settings = [name for name in frame.columns if "/" not in name and name != "seconds"]
    shown = PageTable(caption, frame, f"{tables}{TABLE}.csv", settings=settings)
    sections = [Section("Leaderboard", text, [shown], pictures)]
    if over_seeds is not None:
        write_seeds(over_seeds, run.path / tables)
        picture = draw_seed_differences(run, over_seeds, f"{title}: settings over seeds")
        sections.append(seed_section(over_seeds, picture, tables))
    failed = [entry for entry in entries if entry.reason is not None and entry.state != "pruned"]
    if failed:
        frame = pd.DataFrame([{"run": entry.name, "reason": shorten(str(entry.reason), 1000)} for entry in failed])
        sections.append(
            Section("Failures", "These runs have failed or cannot be read.", [PageTable("Failed runs", frame)])
        )
    run.complete_figures()
    write_page(run.path / PAGE, title, facts, sections, warning=NOTICE if "synthetic" in data else None)


def _draw_scores(run: RunFolder, entries: Sequence[Entry], score: str | None, title: str) -> list[Picture]:
    ranked = [entry for entry in entries if score is not None and score in entry.metrics]
    scores = [entry.metrics[str(score)] for entry in ranked]
    kept = [k for k, value in enumerate(scores) if value == value]
    keys = varied_settings([ranked[k] for k in kept])[:MOST_PANELS]
    if len(kept) < 2 or not keys:
        return []
    names = short_names(keys)
    settings = pd.DataFrame(
        {names[key]: [_cell(ranked[k].settings.get(key)) for k in kept] for key in keys}, dtype=object
    )
    figure = figures.sweep_scores(
        settings,
        [scores[k] for k in kept],
        best=0,
        label=str(score),
        title=f"{title}: {score} of each run",
        pruned=[ranked[k].state == "pruned" for k in kept],
    )
    path = run.figure("scores", figure)
    caption = f"{score} of each run, above its value of each setting that the runs vary"
    return [Picture(path, caption, f"One panel per setting with the {score} of each run")]


def _draw_curves(run: RunFolder, entries: Sequence[Entry], score: str | None, title: str) -> list[Picture]:
    """Draw the validation metrics of the best runs in each epoch, if they have been recorded."""
    histories: dict[str, pd.DataFrame] = {}
    for entry in entries:
        path = entry.folder / "tables" / "history.csv"
        if entry.state == "finished" and path.is_file() and len(histories) < figures.MOST_CURVES:
            try:
                history = read_history(path)
            except UserError:  # A damaged file of one run must not stop the report on all runs.
                continue
            if {"epoch", "val/loss"} <= set(history.columns):
                histories[entry.name] = history
    if not histories:
        return []
    split, _, metric = (score or "").partition("/")
    drawn = metric if split == "val" and metric != "loss" else "accuracy"
    note = f"The best {len(histories)} of {len(entries)} runs" if len(histories) < len(entries) else ""
    figure = figures.run_curves(histories, metric=drawn, title=title, note=note)
    path = run.figure("curves", figure)
    return [Picture(path, f"Validation loss and {drawn} of the best runs in each epoch", "Learning curves of the runs")]


def _cell(value: object) -> object:
    return value if isinstance(value, int | float) else shorten(str(value), _LONGEST)
