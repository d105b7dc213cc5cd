"""Medians, ranges, ratios and disturbed results, with made-up numbers."""

import math

import pytest

from celeba_lab.benchmarks.results import SECTIONS, Result, results_metrics, results_table
from celeba_lab.benchmarks.sections import MEASURES

OURS = Result("smile", "step", "celeba_lab", "images/s", (160.0, 180.0, 170.0), (0.0, 0.02, 0.01))
BARE = Result("smile", "step", "bare", "images/s", (170.0, 200.0), (0.0, 0.3))
REFERENCE = Result("smile", "step", "reference", "images/s", (50.0,), (math.nan,))


def test_a_result_has_a_median_and_a_range() -> None:
    assert (OURS.median, OURS.lowest, OURS.highest) == (170, 160, 180)
    assert BARE.median == 185


def test_a_result_is_disturbed_if_others_used_the_cores_in_any_repeat() -> None:
    assert not OURS.is_disturbed
    assert BARE.is_disturbed
    assert BARE.other_load == 0.3
    assert not REFERENCE.is_disturbed
    assert math.isnan(REFERENCE.other_load)


def test_ratios_are_above_one_for_high_rates_and_for_short_times() -> None:
    slow, fast = (Result("smile", "epoch", name, "s", (value,)) for name, value in (("a", 30.0), ("b", 10.0)))
    assert OURS.times(REFERENCE) == pytest.approx(3.4)
    assert fast.times(slow) == 3
    assert slow.times(fast) == pytest.approx(1 / 3)


def test_the_table_compares_each_candidate_with_the_reference_and_the_bare_step() -> None:
    table = results_table([OURS, BARE, REFERENCE]).set_index("candidate")
    assert table.loc["celeba_lab", "times_reference"] == pytest.approx(3.4)
    assert table.loc["celeba_lab", "times_bare"] == pytest.approx(170 / 185)
    assert math.isnan(table.loc["reference", "times_reference"])
    assert table["repeats"].tolist() == [3, 2, 1]
    assert table["disturbed"].tolist() == [False, True, False]


def test_sections_without_a_reference_are_compared_with_the_first_candidate() -> None:
    alone, two = (
        Result("neighbours", "step", name, "images/s", (v,)) for name, v in (("alone", 100.0), ("two", 110.0))
    )
    assert results_table([alone, two])["times_reference"].tolist()[1] == pytest.approx(1.1)
    command = Result("inference", "command", "predict", "s", (3.0,))
    assert results_table([command, command])["times_reference"].isna().all()


def test_a_candidate_that_was_not_measured_is_in_the_table_but_not_in_the_metrics() -> None:
    missing = Result("input", "0_workers", "torchvision", "faces/s", note="It failed.")
    row = results_table([missing]).iloc[0]
    assert math.isnan(row["median"])
    assert (row["repeats"], row["note"], row["disturbed"]) == (0, "It failed.", False)
    assert results_metrics([OURS, missing]) == {"smile/step/celeba_lab": 170}


def test_every_section_has_a_function() -> None:
    assert list(MEASURES) == list(SECTIONS)
