"""Wilson's interval against SciPy's."""

import numpy as np
import pytest
from scipy.stats import binomtest

from celeba_lab.analyses.intervals import wilson_interval


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 30), (29, 30), (450, 1000), (198_000, 200_000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_it_is_scipys(k: int, n: int, confidence: float) -> None:
    expected = binomtest(k, n).proportion_ci(confidence, method="wilson")
    low, high = wilson_interval(k, n, confidence)
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_tried_is_undefined() -> None:
    low, high = wilson_interval([0, 3], [0, 4])
    assert np.isnan([low[0], high[0]]).all()
    assert low[1] < 0.75 < high[1]
