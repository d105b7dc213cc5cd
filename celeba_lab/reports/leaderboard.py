"""The leaderboard of a sweep: tables for spreadsheets, documents and papers, and a table that fits the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from rich.table import Table

from celeba_lab.console import console, format_seconds
from celeba_lab.errors import did_you_mean, escape_controls, format_value
from celeba_lab.files import prepare_folder, write_atomically, write_csv
from celeba_lab.runs.leaderboard import DAMAGED, Entry, leaderboard_table, main_metrics

TABLE = "leaderboard"
"""Name of the tables, without their suffixes."""
_LONGEST = 30  # Most characters of a setting in the terminal.
_MOST_ROWS = 20
# Columns that contain text or that are shown elsewhere.
_NOT_PRINTED = ("reason",)


def write_leaderboard(entries: Sequence[Entry], score: str | None, folder: Path) -> pd.DataFrame:
    """Write the leaderboard as CSV, Markdown and LaTeX (with the package booktabs), and return it.

    The CSV file contains all overall metrics, the other two only the score, the same metric of other splits and losses.

    Args:
        entries: Runs, best first.
        score: Name of the metric that ranks them.
        folder: Folder for the three files.
    """
    table = leaderboard_table(entries, score)
    prepare_folder(folder)
    write_csv(folder / f"{TABLE}.csv", table)
    metrics = main_metrics(table, score)
    shown = _without_empty(table[[name for name in table.columns if _is_shown(name, metrics)]])
    texts = pd.DataFrame({name: [_text(name, value) for value in shown[name]] for name in shown.columns})
    texts = texts.rename(columns={"seconds": "time"})
    cells = texts.map(lambda text: text.replace("|", "\\|"))
    markdown = cells.to_markdown(index=False, disable_numparse=True, colalign=_alignment(shown)) + "\n"
    latex = texts.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
    code = latex.to_latex(hrules=True, column_format="".join("l" if a == "left" else "r" for a in _alignment(shown)))
    write_atomically(folder / f"{TABLE}.md", lambda file: file.write(markdown.encode()))
    write_atomically(folder / f"{TABLE}.tex", lambda file: file.write(code.encode()))
    return table


def page_frame(table: pd.DataFrame, score: str | None) -> pd.DataFrame:
    """Return the leaderboard as it is shown on a page: the run, its settings, the main metrics, the time and state."""
    metrics = main_metrics(table, score)
    shown = _without_empty(table[[name for name in table.columns if _is_shown(name, metrics)]])
    return shown[["run", *(name for name in shown.columns if name != "run")]]


def show_leaderboard(table: pd.DataFrame, score: str | None, title: str) -> None:
    """Print the leaderboard, without the columns for which the terminal is too narrow. No number is cut.

    The run, the settings, the score and the duration are printed first, then as many metrics as there is room for.
    """
    shown = _without_empty(table.drop(columns=[name for name in _NOT_PRINTED if name in table]))
    if (table["state"] == "finished").all():
        shown = shown.drop(columns="state")
    shown = shown.head(_MOST_ROWS)
    texts = {name: [_shortened(_text(name, value)) for value in shown[name]] for name in shown.columns}
    # In one sweep, the number of a job identifies it, and the rest of its name repeats its settings.
    numbers = [str(name).partition("_")[0] for name in shown["run"]]
    if all(number.isdigit() for number in numbers) and len(set(numbers)) == len(numbers):
        texts = {"job" if name == "run" else name: numbers if name == "run" else cells for name, cells in texts.items()}
        shown = shown.rename(columns={"run": "job"})
    kept = [name for name in texts if name == score or "/" not in name]
    # Settings are left out last, beginning with the last one.
    settings = [name for name in kept if name not in ("rank", "run", "job", score, "seconds", "state")]
    for metric in dict.fromkeys([*main_metrics(table, score), *texts]):
        if metric in texts and metric not in kept and _width([*kept, metric], texts) <= console.width:
            kept.append(metric)
    while _width(kept, texts) > console.width:
        optional = [name for name in ("seconds", *reversed(settings), "rank") if name in kept]
        if not optional:
            break
        kept.remove(optional[0])
    printed = Table(title=title, title_justify="left")
    for name, alignment in zip(texts, _alignment(shown), strict=True):
        if name in kept:
            printed.add_column(_heading(name), justify=alignment, no_wrap=True)
    for row in zip(*(texts[name] for name in texts if name in kept), strict=True):
        printed.add_row(*row)
    if len(shown) < len(table):
        printed.caption = f"{len(table) - len(shown)} more rows in the saved table"
    console.print(printed)


def explain_missing_score(entries: Sequence[Entry], score: str | None) -> str | None:
    """Return a sentence if no finished run reports the score, or None."""
    finished = [entry for entry in entries if entry.state == "finished"]
    if score is None or not finished or any(score in entry.metrics for entry in finished):
        return None
    names = list(dict.fromkeys(name for entry in finished for name in entry.metrics))
    split = f"{score.partition('/')[0]}/"
    same = [name for name in names if name.startswith(split)]
    begins = next((name for name in same if name.startswith(score)), None)
    hint = f" Did you mean '{begins}'?" if begins else did_you_mean(score, same) or did_you_mean(score, names)
    return f"score={score} is not a metric of these runs, so they are not ranked.{hint}"


def describe_damaged(entries: Sequence[Entry]) -> list[str]:
    """Return a sentence about each run with a file that cannot be read."""
    return [f"{entry.name} cannot be ranked. {entry.reason}" for entry in entries if entry.state == DAMAGED]


def _is_shown(name: str, metrics: Sequence[str]) -> bool:
    return name in metrics or (name != "reason" and name.count("/") != 1)


def _without_empty(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the columns that have no values."""
    kept = [name for name in table.columns if name in ("run", "state") or table[name].notna().any()]
    return table[kept]


def _text(name: str, value: Any) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    if name == "seconds":
        return format_seconds(float(value))
    if "/" in name and isinstance(value, float):
        return f"{value + 0.0:.4f}"
    return escape_controls(format_value(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _heading(name: str) -> str:
    return "time" if name == "seconds" else name


def _alignment(table: pd.DataFrame) -> list[Literal["left", "right"]]:
    """Return the alignment of each column: numbers to the right."""
    numbers = [
        pd.to_numeric(table[name].dropna(), errors="coerce").notna().all() and name not in ("run", "state")
        for name in table.columns
    ]
    return ["right" if is_number else "left" for is_number in numbers]


def _width(names: Sequence[str], texts: dict[str, list[str]]) -> int:
    """Return the width of a printed table, with borders and padding."""
    return 1 + sum(3 + max(map(len, (_heading(name), *texts[name]))) for name in names)
