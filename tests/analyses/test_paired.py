"""Paired tests match manual results, SciPy and a loop over resamples, and have the properties of valid tests."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy.stats import binomtest

from celeba_lab.analyses.intervals import wilson_interval
from celeba_lab.analyses.paired import holm, mcnemar, paired_bootstrap


def answers(n: int, k: int, seed: int = 0, accuracy: float = 0.85) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each of two classifiers is correct, bool (n, k) each. Both often misclassify the same images."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(size=(n, 1)) + rng.normal(size=(n, k))
    limit = np.quantile(difficulty, accuracy)
    one, other = (difficulty + 0.5 * rng.normal(size=(n, k)) < limit for _ in range(2))
    return one, other


# ------------------------------------------------------------------------------------------------------------- McNemar


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (0, 0, 1.0),
        (5, 0, 2 / 32),
        (1, 5, 2 * (1 + 6) / 64),
        (3, 3, 1.0),
        (10, 20, math.erfc(math.sqrt((10 - 1) ** 2 / 30 / 2))),  # Chi-squared distribution with one degree of freedom.
        (100, 50, math.erfc(math.sqrt((50 - 1) ** 2 / 150 / 2))),
        (15, 15, 1.0),
        (20, 21, 1.0),  # The continuity correction reduces the difference of 1 to 0.
    ],
)
def test_mcnemar_equals_values_computed_by_hand(first: int, second: int, expected: float) -> None:
    assert mcnemar(first, second)[0] == pytest.approx(expected, rel=1e-12)


def test_mcnemar_equals_the_binomial_test_below_25_images() -> None:
    first = np.arange(25)
    np.testing.assert_allclose(mcnemar(first, 24 - first), [binomtest(int(b), 24).pvalue for b in first])
    assert mcnemar(5, 20)[0] != pytest.approx(binomtest(5, 25).pvalue, rel=0.01)
    assert mcnemar(5, 20)[0] == pytest.approx(math.erfc(math.sqrt(14**2 / 25 / 2)))


def test_mcnemar_is_symmetric_and_close_to_the_binomial_test_for_many_images() -> None:
    first, second = np.array([400, 30, 7]), np.array([460, 60, 1])
    np.testing.assert_array_equal(mcnemar(first, second), mcnemar(second, first))
    exact = [binomtest(int(b), int(b + c)).pvalue for b, c in zip(first, second, strict=True)]
    np.testing.assert_allclose(mcnemar(first, second), exact, atol=2e-3)


# ---------------------------------------------------------------------------------------------------------------- Holm


def test_holm_equals_values_computed_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6, 0.001]).tolist() == pytest.approx([1.0, 1.0, 0.003])
    assert holm([0.2]).tolist() == [0.2]


# ------------------------------------------------------------------------------------------------------------ bootstrap


def test_equal_predictions_have_no_difference() -> None:
    right, _ = answers(200, 3)
    found = paired_bootstrap(right, right)
    assert (found.difference, found.low, found.high, found.p, found.images_apart) == (0, 0, 0, 1, 0)


def test_the_bootstrap_equals_a_loop_over_resamples() -> None:
    right, base = answers(300, 4)
    base[:20] = False
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 300, (20_000, 300))
    gained = right.mean(axis=1) - base.mean(axis=1)
    loop = gained[rows].mean(axis=1)
    found = paired_bootstrap(right, base, resamples=20_000)
    assert found.difference == pytest.approx(right.mean() - base.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])), abs=1e-3)
    assert found.images_apart == np.count_nonzero(gained)


def test_a_lower_confidence_has_a_shorter_interval() -> None:
    right, base = answers(300, 1)
    narrow, wide = (paired_bootstrap(right, base, confidence=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_whole_images_are_resampled() -> None:
    """Forty copies of an attribute must not count as forty times as many images."""
    right, base = answers(400, 1)
    assert paired_bootstrap(np.tile(right, 40), np.tile(base, 40)).low == pytest.approx(
        paired_bootstrap(right, base).low, abs=1e-12
    )


def test_a_paired_test_finds_differences_that_two_separate_intervals_do_not() -> None:
    right = np.arange(1000)[:, np.newaxis] < 900
    base = right.copy()
    base[:20] = False
    low, high = wilson_interval([880, 900], [1000, 1000])
    assert low[1] < high[0]
    found = paired_bootstrap(right, base)
    assert 0 < found.low < found.difference == 0.02 < found.high
    assert found.p < 0.01


def test_exchanging_the_classifiers_negates_the_difference() -> None:
    right, base = answers(500, 2)
    one, other = paired_bootstrap(right, base, 20_000), paired_bootstrap(base, right, 20_000)
    assert other.difference == -one.difference
    assert (-other.high, -other.low) == pytest.approx((one.low, one.high), abs=1e-3)
    assert other.p == pytest.approx(one.p, abs=0.02)


def test_the_interval_depends_on_the_seed_but_not_on_the_order_of_the_images() -> None:
    right, base = answers(300, 5)
    order = np.random.default_rng(2).permutation(300)
    assert paired_bootstrap(right, base, seed=3) == paired_bootstrap(right[order], base[order], seed=3)
    assert paired_bootstrap(right, base, seed=3) != paired_bootstrap(right, base, seed=4)


def test_the_interval_excludes_zero_if_and_only_if_p_is_below_5_percent() -> None:
    pairs = [paired_bootstrap(*answers(60, 2, seed, 0.7), seed=seed) for seed in range(200)]
    assert {found.p < 0.05 for found in pairs} == {True, False}
    for found in pairs:
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
        assert found.low <= found.difference <= found.high


def test_the_ends_of_the_interval_are_differences_of_resamples() -> None:
    """The ends must be differences of resamples, not values interpolated between two of them."""
    found = paired_bootstrap(*answers(20_000, 3))
    ends = np.array([found.low, found.high]) * 60_000
    np.testing.assert_allclose(ends, np.round(ends), atol=1e-6)


def test_without_a_difference_5_percent_of_the_tests_are_significant() -> None:
    found = [paired_bootstrap(*answers(400, 3, seed), resamples=500, seed=seed).p < 0.05 for seed in range(600)]
    assert 0.03 < np.mean(found) < 0.075


def test_testing_all_of_celeba_needs_little_memory() -> None:
    right = np.random.default_rng(0).random((200_000, 40), dtype=np.float32) < 0.9
    tracemalloc.start()
    paired_bootstrap(right, ~right)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6
