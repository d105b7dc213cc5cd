"""Number formatting, and ticks for axes that show ratios."""

import numpy as np

from celeba_lab.figures.numbers import ratio_text, ratio_ticks, value_text


def test_ratio_ticks_are_a_few_powers_of_two():
    assert ratio_ticks(-3, 3, most=5)[1] == ["1/4", "1", "4"]
    assert ratio_ticks(-12.5, 12.5)[1][0] == "1/4,096"
    assert ratio_ticks(np.log2(0.8), np.log2(1.25))[1] == ["0.8", "1", "1.25"]


def test_numbers_are_short_and_readable():
    assert [ratio_text(v) for v in (0, 0.0004, 0.07, 0.5, 1.02, 8.25, 1234, 1e9, np.inf)] == [
        "0",
        "4e−04",
        "0.070",
        "0.50",
        "1.02",
        "8.2",
        "1,234",
        "1e+09",
        "∞",
    ]
    assert [value_text(v, ".1f") for v in (-0.04, -0.06, np.inf, -np.inf)] == ["0.0", "−0.1", "∞", "−∞"]
