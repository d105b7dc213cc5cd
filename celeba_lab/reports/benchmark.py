"""The report for ``task=benchmark``: tables in the terminal, as CSV and as Markdown, a figure and an HTML page."""

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from celeba_lab import figures
from celeba_lab.console import console, show_table
from celeba_lab.data.celeba import CelebA
from celeba_lab.figures.benchmarks import Bars
from celeba_lab.files import write_atomically
from celeba_lab.reports.page.page import PageTable, Picture, Section, write_page
from celeba_lab.runs.folder import PAGE
from celeba_lab.runs.run import Run

DESCRIPTIONS = {
    "input": "Faces per second that reach the training loop, by the number of worker processes. packed, memory and jpeg"
    " are the stores of celeba_lab. The reference opens each image with Pillow and transforms it with torchvision, and"
    " torchvision is its own CelebA dataset with the same transforms.",
    "packing": "Faces per second that are decoded, resized and written to a new file, from which later runs read.",
    "smile": "Training of MobileNetV2 on one attribute. bare is the training step alone, on tensors in memory and"
    " without Lightning. The reference is a plain loop as in a notebook. An epoch includes validation.",
    "attributes": "Training of MobileNetV2 on forty attributes, like smile.",
    "gan": "Training of a GAN, like smile. A GAN is not validated in each epoch.",
    "inference": "Faces per second that are classified, with the logits of each face and its mirror image averaged."
    " predict and evaluate are commands, whose start and report are not part of the faces per second but of the time of"
    " the command. bare is the network on tensors in memory, with its batch normalisation folded into the convolutions"
    " and few images at a time. The reference is the same network as it was trained.",
    "analyses": "Seconds of whole commands, with all tables and figures. The reference is a script that computes only"
    " the numbers, as a notebook does.",
    "startup": "Seconds from the start of a command to its end, or to the end of the first training step if the images"
    " have been packed.",
    "memory": "Memory of a training run with all of its processes, where shared memory counts once: the median in the"
    " first and in the last quarter of training, and the largest value from the start to the end of the command.",
    "growth": "Time per training image of an epoch with validation, by the number of images.",
    "processes": "Training with one and with two processes, on all images per second together.",
    "neighbours": "Training while other programs run on the same machine. Two runs are counted together.",
    "celeba": "What the measured speeds mean for all 202,599 images of CelebA and the four epochs of the default"
    " recipe, if the time per image stays the same, beside counted bounds of a GPU.",
}
"""What each section measures, and what its candidates are."""

_UNDEFINED = "-"
_NOT_MEASURED = "not measured"
_OURS = "celeba_lab"
# CelebA, the epochs of the default recipe, and counted bounds of one NVIDIA H200 in images per second.
_TRAIN, _ALL, _EPOCHS = 162_770, 202_599, 4
_BOUNDS = {
    "H200, starting operations at batch size 32": 3_000,
    "H200, goal": 15_000,
    "H200, memory traffic in bfloat16": 40_000,
    "H200, arithmetic in bfloat16": 540_000,
}
_GPUS = 8


def show_start(data: CelebA, machine: Mapping[str, str]) -> None:
    """Print the faces and the machine that are used."""
    console.print(data.describe())
    console.print(f"machine: {machine['processor']}, {machine['cores']} cores, {machine['memory']}", soft_wrap=True)


def show_section(table: pd.DataFrame, section: str) -> None:
    """Print the results of a section, and the reasons why candidates could not be measured."""
    rows = table[table["section"] == section]
    show_table(section, present(rows))
    for candidate, note in sorted({(row.candidate, row.note) for row in _records(rows) if row.note}):
        console.print(f"{candidate} was not measured. {note}", style="yellow", soft_wrap=True)


def present(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a table to show, with rounded numbers as text. An exclamation mark means that others disturbed.

    Columns without a number are left out.

    Args:
        rows: Rows of the table from :func:`~celeba_lab.benchmarks.results.results_table`.
    """
    frame = pd.DataFrame(
        {
            "measured": [spell(row.measurement) for row in _records(rows)],
            "by": [spell(row.candidate) for row in _records(rows)],
            "median": [f"{short(row.median)}{'!' if row.disturbed else ''}" for row in _records(rows)],
            "range": [_range(row.lowest, row.highest) for row in _records(rows)],
            "unit": rows["unit"].tolist(),
            "x ref.": [short(row.times_reference) for row in _records(rows)],
            "x bare": [short(row.times_bare) for row in _records(rows)],
        }
    )
    return frame.loc[:, [name for name in frame if name == "median" or set(frame[name]) != {_UNDEFINED}]]


def _records(frame: pd.DataFrame) -> list[Any]:
    """Return the rows of a table as named tuples."""
    return list(frame.itertuples(index=False))


def spell(name: str) -> str:
    """Return a name with spaces.

    Example:
        >>> spell("first_step"), spell("celeba_lab")
        ('first step', 'celeba_lab')
    """
    return name if name == _OURS else name.replace("_", " ")


def short(value: float) -> str:
    """Return a number with three significant digits, or with all digits before the decimal point.

    Example:
        >>> short(0.04867), short(17.02), short(164536.4), short(float("nan"))
        ('0.0487', '17.0', '164,536', '-')
    """
    if math.isnan(value):
        return _UNDEFINED
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{digits}f}"


def _range(low: float, high: float) -> str:
    return _UNDEFINED if math.isnan(low) else f"{short(low)} - {short(high)}"


def describe_load(table: pd.DataFrame) -> str:
    """Return a sentence about other processes that used the machine during the measurements."""
    measured = table[table["repeats"] > 0]
    count = int(measured["disturbed"].sum())
    if not count:
        return ""
    return (
        f"Other processes used up to {measured['other_load'].max():.0%} of the cores. {count} of {len(measured)}"
        " results may be wrong because of that and are marked with an exclamation mark. Measure again when the machine"
        " is idle."
    )


def write_benchmark(run: Run, table: pd.DataFrame, machine: Mapping[str, str], data: CelebA) -> None:
    """Write the tables, the figure and the page, and warn if other processes disturbed.

    Args:
        run: The run.
        table: Table from :func:`~celeba_lab.benchmarks.results.results_table`.
        machine: Facts about the machine.
        data: The faces that were used.
    """
    title = run.title(data.name)
    run.table("benchmark", table)
    shown = {str(name): present(rows) for name, rows in table.groupby("section", sort=False)}
    if len(whole := extrapolate(table, int(run.settings["task"]["images"]))):
        shown["celeba"] = whole
        run.table("celeba", whole)
    load = describe_load(table)
    text = markdown(shown, machine, load)
    write_atomically(run.path / "tables" / "benchmark.md", lambda file: file.write(text.encode()))
    note = "Medians. Thin lines show the lowest and the highest value, and x is the ratio to the reference"
    note += ". With !, other programs disturbed the measurement" if load else ""
    path = run.figure("benchmark", figures.benchmark_bars(panels_of(table), title=title, note=note))
    overview = Section(
        "Overview",
        "Medians of all measurements. The tables below contain the ranges, and the text above them the meaning.",
        pictures=[Picture(path, note, "One panel with bars for each measurement")],
    )
    file = {"celeba": "tables/celeba.csv"}
    sections = [
        Section(name, DESCRIPTIONS[name], [PageTable(name, frame, file.get(name, "tables/benchmark.csv"))])
        for name, frame in shown.items()
    ]
    warning = " ".join(filter(None, [data.notice, load])) or None
    run.complete_figures()
    write_page(run.path / PAGE, title, machine, [overview, *sections], warning)
    if load:
        console.print(load, style="yellow", soft_wrap=True)


def panels_of(table: pd.DataFrame) -> list[Bars]:
    """Return the bars of each measurement. Candidates that could not be measured are left out."""
    panels = []
    groups: Any = table[table["repeats"] > 0].groupby(["section", "measurement"], sort=False)
    for (section, measurement), rows in groups:
        texts, unit = [], str(rows["unit"].iloc[0])
        for row in _records(rows):
            ratio = "" if math.isnan(row.times_reference) else f"  ({short(row.times_reference)} x)"
            texts.append(f"{short(row.median)}{'!' if row.disturbed else ''}{ratio}")
        panels.append(
            Bars(
                title=f"{section}: {spell(measurement)} ({unit}{'' if unit.endswith('/s') else ', low is good'})",
                labels=[spell(name) for name in rows["candidate"]],
                values=rows["median"].tolist(),
                ranges=list(zip(rows["lowest"], rows["highest"], strict=True)),
                texts=texts,
                marked=[name not in ("bare", "reference", "torchvision", "import_hydra") for name in rows["candidate"]],
            )
        )
    return panels


def extrapolate(table: pd.DataFrame, images: int) -> pd.DataFrame:
    """Return how long all images of CelebA would take, by the measured speeds and by counted bounds of a GPU.

    Args:
        table: Table from :func:`~celeba_lab.benchmarks.results.results_table`.
        images: Number of faces in the measured data folder, of which 80% are for training.

    Returns:
        The columns ``what``, ``basis`` (``measured``, ``counted`` or ``goal``), ``one`` and ``eight`` (GPUs), with
        times as text. Measured speeds are not extrapolated to eight. Empty without a measured epoch.
    """
    medians = {(row.section, row.measurement, row.candidate): row.median for row in _records(table)}
    rows = []
    for candidate in (_OURS, "reference"):
        seconds = medians.get(("smile", "epoch", candidate), math.nan)
        if not math.isnan(seconds):
            whole = _EPOCHS * seconds * _TRAIN / (0.8 * images)
            rows.append(
                (f"smile with validation, {candidate}, on this machine", "measured", _time(whole), _NOT_MEASURED)
            )
    if not rows:
        return pd.DataFrame(columns=["what", "basis", "one", "eight"])
    rate = medians.get(("packing", "pack", _OURS), math.nan)
    if not math.isnan(rate):
        rows.append(("packing all images, on this machine", "measured", _time(_ALL / rate), _NOT_MEASURED))
    for name, bound in _BOUNDS.items():
        seconds = _EPOCHS * _TRAIN / bound
        rows.append((f"smile, {name}", "goal" if "goal" in name else "counted", _time(seconds), _time(seconds / _GPUS)))
    return pd.DataFrame(rows, columns=["what", "basis", "one", "eight"])


def _time(seconds: float) -> str:
    """Return a duration in a unit in which it is easy to imagine.

    Example:
        >>> _time(43.4), _time(217.0), _time(15_000.0)
        ('43.4 s', '3.62 min', '4.17 h')
    """
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{short(seconds / size)} {unit}"
    return f"{short(seconds)} s"


def markdown(shown: Mapping[str, pd.DataFrame], machine: Mapping[str, str], load: str) -> str:
    """Return all tables as Markdown, each between two comments from which :func:`fill_page` takes it.

    Args:
        shown: Tables to show, by section.
        machine: Facts about the machine.
        load: Sentence about other processes.
    """
    facts = pd.DataFrame({"machine": machine.keys(), "": machine.values()})
    tables = {"machine": facts, **shown}
    parts = [
        f"<!-- begin {name} -->\n\n{frame.to_markdown(index=False, disable_numparse=True)}\n\n<!-- end {name} -->\n"
        for name, frame in tables.items()
    ]
    return "\n".join([*parts, load])


def fill_page(page: str, tables: str) -> str:
    """Return a page with its tables replaced by those with the same names in ``tables/benchmark.md``.

    Args:
        page: Text with the comments ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.
        tables: Text of ``tables/benchmark.md``.

    Example:
        >>> fill_page("a <!-- begin x -->old<!-- end x --> b", "<!-- begin x -->new<!-- end x -->")
        'a <!-- begin x -->new<!-- end x --> b'
    """
    pattern = re.compile(r"<!-- begin (\w+) -->.*?<!-- end \1 -->", re.DOTALL)
    found = {match[1]: match[0] for match in pattern.finditer(tables)}
    return pattern.sub(lambda match: found.get(match[1], match[0]), page)
