"""Tables, the figure and the page of a benchmark, with made-up numbers."""

import math

import pandas as pd
import pytest

from celeba_lab.benchmarks.results import SECTIONS, Result, results_table
from celeba_lab.reports.benchmark import (
    DESCRIPTIONS,
    describe_load,
    extrapolate,
    fill_page,
    markdown,
    panels_of,
    present,
    short,
    show_section,
)

RESULTS = [
    Result("smile", "step", "celeba_lab", "images/s", (160.0, 170.0, 180.0), (0.0, 0.0, 0.4)),
    Result("smile", "step", "reference", "images/s", (50.0,), (0.0,)),
    Result("smile", "epoch", "celeba_lab", "s", (10.0,), (0.0,)),
    Result("packing", "pack", "celeba_lab", "faces/s", (2000.0,), (0.0,)),
    Result("input", "2_workers", "torchvision", "faces/s", note="The command failed with exit code 1: no space left."),
]


@pytest.fixture
def table() -> pd.DataFrame:
    return results_table(RESULTS)


def test_every_section_is_described() -> None:
    assert list(DESCRIPTIONS) == [*SECTIONS, "celeba"]


@pytest.mark.parametrize(
    ("value", "text"), [(999.6, "1,000"), (99.95, "100.0"), (1.5, "1.50"), (0, "0"), (math.nan, "-")]
)
def test_numbers_are_shown_with_three_digits(value: float, text: str) -> None:
    assert short(value) == text


def test_the_shown_table_marks_disturbed_results_and_leaves_out_empty_columns(table: pd.DataFrame) -> None:
    shown = present(table[table["section"] == "smile"])
    assert shown["median"].tolist() == ["170!", "50.0", "10.0"]
    assert shown["range"].tolist()[0] == "160 - 180"
    assert shown["x ref."].tolist() == ["3.40", "-", "-"]
    assert "x bare" not in shown


def test_the_reason_why_a_candidate_is_missing_is_printed(
    table: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    show_section(table, "input")
    printed = " ".join(capsys.readouterr().out.split())
    assert "torchvision was not measured. The command failed with exit code 1: no space left." in printed


def test_a_sentence_warns_if_others_disturbed(table: pd.DataFrame) -> None:
    assert describe_load(table).startswith("Other processes used up to 40% of the cores. 1 of 4 results may be wrong")
    assert describe_load(results_table(RESULTS[1:])) == ""


def test_bars_are_drawn_for_what_was_measured(table: pd.DataFrame) -> None:
    step, epoch, pack = panels_of(table)
    assert step.title == "smile: step (images/s)"
    assert epoch.title == "smile: epoch (s, low is good)"
    assert step.labels == ["celeba_lab", "reference"]
    assert step.texts == ["170!  (3.40 x)", "50.0"]
    assert step.marked == [True, False]
    assert pack.ranges == [(2000, 2000)]


def test_the_measured_epoch_is_extrapolated_to_all_of_celeba(table: pd.DataFrame) -> None:
    rows = extrapolate(table, images=2000).set_index("what")
    ours = rows.loc["smile with validation, celeba_lab, on this machine"]
    assert (ours["basis"], ours["one"], ours["eight"]) == (
        "measured",
        f"{4 * 10 * 162_770 / 1600 / 60:.1f} min",
        "not measured",
    )
    assert rows.loc["packing all images, on this machine", "one"] == "101 s"
    goal = rows.loc["smile, H200, goal"]
    assert (goal["basis"], goal["one"], goal["eight"]) == ("goal", "43.4 s", "5.43 s")
    assert extrapolate(results_table(RESULTS[3:]), images=2000).empty


def test_the_tables_of_a_page_are_replaced(table: pd.DataFrame) -> None:
    text = markdown({"smile": present(table[table["section"] == "smile"])}, {"cores": "2"}, "")
    page = "Before.\n\n<!-- begin smile -->\nold\n<!-- end smile -->\n\n<!-- begin gan -->\nkept\n<!-- end gan -->\n"
    filled = fill_page(page, text)
    assert "old" not in filled
    assert "| step       | celeba_lab | 170!" in filled
    assert "kept" in filled
    assert filled.startswith("Before.\n\n<!-- begin smile -->")
    assert fill_page(filled, text) == filled
