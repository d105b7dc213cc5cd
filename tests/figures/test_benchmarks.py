"""Bars of a benchmark."""

import math

from celeba_lab.figures.benchmarks import Bars, benchmark_bars


def test_each_measurement_has_a_panel_with_bars_and_ranges() -> None:
    panels = [
        Bars("step", ["a", "b"], [10.0, 5.0], [(8.0, 12.0), (5.0, 5.0)], ["10.0 (2 x)", "5.0"], [True, False]),
        Bars("epoch", ["a"], [3.0], [(3.0, 3.0)], ["3.00"], [True]),
        Bars("memory", ["a"], [math.nan], [(math.nan, math.nan)], ["-"], [True]),
    ]
    figure = benchmark_bars(panels, title="celeba · benchmark")
    first, second, third = figure.axes
    assert [bar.get_width() for bar in first.patches] == [10, 5]
    assert first.patches[0].get_facecolor() != first.patches[1].get_facecolor()
    [line] = first.lines  # A range of a single value is not drawn.
    assert line.get_xdata().tolist() == [8, 12]
    assert [text.get_text() for text in first.texts] == ["10.0 (2 x)", "5.0"]
    assert first.get_ylim()[0] > first.get_ylim()[1], "the first bar should be at the top"
    assert second.get_ylim() == first.get_ylim(), "the bars of a row should have the same height"
    assert [bar.get_width() for bar in third.patches] == [0]
