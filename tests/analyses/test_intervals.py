"""Wilson intervals match SciPy's, and Newcombe intervals match the examples in his paper."""

import numpy as np
import pytest
from scipy.stats import binomtest

from celeba_lab.analyses.intervals import difference_interval, wilson_interval


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 30), (29, 30), (450, 1000), (198_000, 200_000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilson_interval_equals_scipy(k: int, n: int, confidence: float) -> None:
    expected = binomtest(k, n).proportion_ci(confidence, method="wilson")
    low, high = wilson_interval(k, n, confidence)
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_an_interval_without_trials_is_undefined() -> None:
    low, high = wilson_interval([0, 3], [0, 4])
    assert np.isnan([low[0], high[0]]).all()
    assert low[1] < 0.75 < high[1]


def test_the_interval_of_a_difference_equals_newcombes_examples() -> None:
    """The values are examples a and d of method 10 in Table II of Newcombe (1998)."""
    low, high = difference_interval(([48, 9], [56, 3]), ([80, 10], [70, 10]))
    assert (low[0], high[0]) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    low, high = difference_interval((3, 9), (10, 10))
    assert (float(low), float(high)) == pytest.approx((0.1705, 0.8090), abs=5e-5)


def test_exchanging_the_proportions_negates_the_interval() -> None:
    low, high = difference_interval((9, 3), (10, 10))
    other_low, other_high = difference_interval((3, 9), (10, 10))
    assert (float(low), float(high)) == pytest.approx((-float(other_high), -float(other_low)))


def test_a_difference_without_trials_is_undefined() -> None:
    low, high = difference_interval((0, 1), (0, 2))
    assert np.isnan(low)
    assert np.isnan(high)
