"""Tables, figure and sentences that show a comparison of settings over seeds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from celeba_lab import figures
from celeba_lab.console import console, format_p, show_table
from celeba_lab.errors import escape_controls, format_value
from celeba_lab.files import prepare_folder, write_atomically, write_csv
from celeba_lab.reports.page.page import PageTable, Picture, Section
from celeba_lab.reports.seeds import SeedComparison
from celeba_lab.runs.folder import RunFolder

TABLE, DIFFERENCES = "seeds", "seed_differences"
"""Names of the tables, without their suffixes."""

CAPTION = "Mean ± standard deviation over seeds (number of seeds)."
"""Meaning of the numbers in the tables."""

RULE = (
    "A value is bold only if the 95% interval of its difference from every other setting, corrected for the number of"
    " comparisons with Bonferroni's method, excludes 0."
)
"""Rule for the bold values in the tables."""

_MOST_ROWS, _MOST_SENTENCES = 20, 10
_MOST_COLUMNS = 5  # Tables with more settings than this show the names of the groups instead.


def write_seeds(comparison: SeedComparison, folder: Path) -> None:
    """Write the table as CSV, Markdown and LaTeX (with the package booktabs), and the differences as CSV.

    Args:
        comparison: The comparison.
        folder: Folder for the files.
    """
    prepare_folder(folder)
    write_csv(folder / f"{TABLE}.csv", comparison.table)
    if not comparison.differences.empty:
        write_csv(folder / f"{DIFFERENCES}.csv", comparison.differences)
    markdown, latex = _markdown(comparison), _latex(comparison)
    write_atomically(folder / f"{TABLE}.md", lambda file: file.write(markdown.encode()))
    write_atomically(folder / f"{TABLE}.tex", lambda file: file.write(latex.encode()))


def _markdown(comparison: SeedComparison) -> str:
    shown = _shown(comparison, " ± ")
    shown = shown.map(lambda text: text.replace("|", "\\|"))
    for name, best in comparison.best.items():
        shown[name] = [f"**{text}**" if row == best else text for row, text in enumerate(shown[name])]
    alignment = ["right" if name in comparison.metrics else "left" for name in shown]
    table = shown.to_markdown(index=False, disable_numparse=True, colalign=alignment)
    return f"{table}\n\n{_caption(comparison)}\n"


def _caption(comparison: SeedComparison) -> str:
    return f"{CAPTION} {RULE} {_coverage(comparison)}"


def _coverage(comparison: SeedComparison) -> str:
    """Return a sentence that says what the intervals cover."""
    if not comparison.over_images:
        return "The intervals cover seeds, but not images."
    over_images = " and ".join(comparison.over_images)
    return f"The intervals of {over_images} cover seeds and images, and all others cover only seeds."


def _latex(comparison: SeedComparison) -> str:
    shown = _shown(comparison, " $\\pm$ ")
    for name, best in comparison.best.items():
        shown[name] = [f"\\textbf{{{text}}}" if row == best else text for row, text in enumerate(shown[name])]
    # The numbers already contain commands, and only the names of the settings must be escaped.
    texts = [name for name in shown if name not in comparison.metrics]
    style = shown.style.hide(axis="index").format(escape="latex", subset=texts).format_index(escape="latex", axis=1)
    columns = "".join("r" if name in comparison.metrics else "l" for name in shown)
    caption = _caption(comparison).translate({ord(each): f"\\{each}" for each in "%_#&"}).replace("±", "$\\pm$")
    code: str = style.to_latex(
        hrules=True, column_format=columns, caption=caption, label="tab:seeds", position_float="centering"
    )
    return code


def _shown(comparison: SeedComparison, plus_minus: str) -> pd.DataFrame:
    """Return the table as texts: the settings, or the names of the groups, and mean ± sd (n) of each metric."""
    table, groups = comparison.table, comparison.groups
    settings = [group.settings for group in groups]
    if not 0 < len(settings[0]) <= _MOST_COLUMNS:
        settings = [{"setting": group.name} for group in groups]
    shown = pd.DataFrame([{key: escape_controls(format_value(own[key])) for key in own} for own in settings])
    for metric in comparison.metrics:
        cells = zip(table[metric], table[f"{metric}/sd"], table["seeds"], strict=True)
        shown[metric] = [_cell(mean, deviation, plus_minus, f" ({n})") for mean, deviation, n in cells]
    return shown


def _cell(mean: float, deviation: float, plus_minus: str, end: str) -> str:
    if np.isnan(mean):
        return ""
    return f"{mean:.4f}{end}" if np.isnan(deviation) else f"{mean:.4f}{plus_minus}{deviation:.4f}{end}"


def draw_seed_differences(run: RunFolder, comparison: SeedComparison, title: str) -> Picture | None:
    """Draw the differences from the baseline with their corrected intervals, if there are any."""
    rows = comparison.of_score
    if rows.empty:
        return None
    metric, first = comparison.metrics[0], rows.iloc[0]
    low, high = rows["corrected_low"], rows["corrected_high"]
    is_lower = metric in comparison.lower
    corrected = f", corrected for {len(rows)} comparisons" if len(rows) > 1 else ""
    seeds = f"{comparison.baseline.name}, {first['baseline_seeds']} seeds"
    figure = figures.run_differences(
        [f"{name}, {n} seeds" for name, n in zip(rows["setting"], rows["seeds"], strict=True)],
        -rows["difference"] if is_lower else rows["difference"],
        -high if is_lower else low,
        -low if is_lower else high,
        label=f"baseline {metric} minus {metric}" if is_lower else f"{metric} minus baseline {metric}",
        title=title,
        note=f"Baseline: {seeds}. 95% intervals over {_over(first)}{corrected}",
    )
    path = run.figure(DIFFERENCES, figure)
    caption = f"Difference in {metric} from {comparison.baseline.name}, with intervals over {_over(first)}"
    return Picture(path, caption, f"One interval per setting for its difference in {metric} from the baseline")


def _over(row: Any) -> str:
    """Return what the interval of a difference covers."""
    return "seeds" if pd.isna(row["images"]) else f"seeds and {row['images']:,} images"


def seed_section(comparison: SeedComparison, picture: Picture | None, tables: str = "") -> Section:
    """Return the section of a page that shows the comparison.

    Args:
        comparison: The comparison.
        picture: Figure of the differences.
        tables: Folder of the tables, relative to the folder of the page, with a slash at its end.
    """
    differences = (f"{sentence}." for sentence in describe_differences(comparison))
    text = "\n\n".join([*differences, *comparison.remarks, _coverage(comparison)])
    shown = [PageTable(CAPTION.rstrip("."), _shown(comparison, " ± "), f"{tables}{TABLE}.csv")]
    return Section("Settings over seeds", text, shown, [] if picture is None else [picture])


def show_seeds(comparison: SeedComparison | None) -> None:
    """Print the table, a sentence for each difference from the baseline, and what could not be compared, if any."""
    if comparison is None:
        return
    shown = _shown(comparison, " ± ")[comparison.metrics]
    shown = shown.map(lambda text: text.rpartition(" (")[0])
    shown.insert(0, "setting", [escape_controls(group.name) for group in comparison.groups])
    shown.insert(2, "seeds", comparison.table["seeds"])
    show_table("settings over seeds (mean ± standard deviation)", shown, _MOST_ROWS)
    sentences = list(describe_differences(comparison))
    for sentence in sentences[:_MOST_SENTENCES]:
        console.print(sentence)
    if len(sentences) > _MOST_SENTENCES:
        console.print(f"{len(sentences) - _MOST_SENTENCES} more differences are in {DIFFERENCES}.csv")
    for remark in comparison.remarks:
        console.print(remark, style="yellow")


def describe_differences(comparison: SeedComparison) -> Iterator[str]:
    """Yield one sentence for each difference from the baseline in the first metric."""
    rows = comparison.of_score
    metric = comparison.metrics[0]
    for row in rows.to_dict("records"):
        yield _sentence(row, metric, metric in comparison.lower, len(rows))


def _sentence(row: Mapping[Any, Any], metric: str, is_lower: bool, comparisons: int) -> str:
    seeds, others = row["seeds"], row["baseline_seeds"]
    over = f"over {seeds} seeds each" if seeds == others else f"over {seeds} and {others} seeds"
    over += "" if pd.isna(row["images"]) else f" and {row['images']:,} images"
    p = format_p(row["p"])
    if row["low"] <= 0 <= row["high"]:
        numbers = f"{row['difference']:+.4f}, 95% interval {row['low']:+.4f} to {row['high']:+.4f} {over}, {p}"
        return f"{row['setting']} and {row['baseline']} do not differ significantly in {metric} ({numbers})"
    low, high = sorted((abs(row["low"]), abs(row["high"])))
    word = "better" if (row["low"] > 0) != is_lower else "worse"
    sentence = (
        f"{row['setting']} is {word} than {row['baseline']} in {metric} by {abs(row['difference']):.4f}"
        f" (95% interval {low:.4f} to {high:.4f} {over}), {p}"
    )
    if comparisons == 1:
        return sentence
    adjusted = format_p(row["p_adjusted"])
    word = "but" if row["p_adjusted"] >= 0.05 else "and"
    return f"{sentence}, {word} {adjusted} after Holm's adjustment for {comparisons} comparisons"
