"""Intervals over seeds match SciPy and statsmodels in special cases, and contain the true difference often enough."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ttest_1samp, ttest_ind, ttest_rel
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from celeba_lab.analyses.seeds import SeedEstimate, seed_difference, seed_mean

# Standard deviations of the difficulty of an image and of its interaction with a setting, on the scale of the logits,
# on which the noise of each prediction has the standard deviation 1.
IMAGES, INTERACTION = 2.0, 0.5


def simulate(
    rng: np.random.Generator, logit: float, runs: int, difficulty: np.ndarray, seed_sd: float, interaction: float
) -> np.ndarray:
    """Return whether each of R runs of a setting classifies each of N images correctly, float (R, N)."""
    n = len(difficulty)
    of_runs = rng.normal(scale=seed_sd, size=(runs, 1))
    of_images = difficulty + rng.normal(scale=interaction, size=n)
    return (logit + of_runs + of_images + rng.normal(size=(runs, n)) > 0).astype(float)


def true_accuracy(logit: float, seed_sd: float, interaction: float) -> float:
    """Return the mean accuracy over all seeds and images."""
    return float(norm.cdf(logit / math.sqrt(1 + IMAGES**2 + interaction**2 + seed_sd**2)))


def bootstrap(rng: np.random.Generator, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the percentile interval of a bootstrap that resamples seeds within settings and images across them."""
    n = first.shape[1]
    found = []
    for _ in range(200):
        weights = rng.multinomial(n, np.full(n, 1 / n)) / n
        one, other = (runs[rng.integers(0, len(runs), len(runs))] @ weights for runs in (first, second))
        found.append(one.mean() - other.mean())
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def coverage(
    samples: int,
    runs: tuple[int, int],
    seed_sd: tuple[float, float],
    interaction: float = INTERACTION,
    images: int = 500,
    bootstrapped: bool = False,
) -> float:
    """Return the fraction of simulated comparisons whose 95% interval contains the true difference."""
    rng = np.random.default_rng(0)
    logits = (3.0, 2.8)
    one, other = (true_accuracy(logit, sd, interaction) for logit, sd in zip(logits, seed_sd, strict=True))
    inside = 0
    for _ in range(samples):
        difficulty = rng.normal(scale=IMAGES, size=images)
        first, second = (
            simulate(rng, logit, n, difficulty, sd, interaction)
            for logit, n, sd in zip(logits, runs, seed_sd, strict=True)
        )
        found = seed_difference(first, second)
        low, high = bootstrap(rng, first, second) if bootstrapped else (found.low, found.high)
        inside += low <= one - other <= high
    return inside / samples


def numbers(found: SeedEstimate) -> list[float]:
    return [found.value, found.standard_error, found.degrees_of_freedom, found.low, found.high, found.p]


# ----------------------------------------------------------------------------------------------------------- references


def test_without_images_the_difference_is_welchs_test() -> None:
    first, second = [0.91, 0.93, 0.96], [0.90, 0.88, 0.91, 0.895, 0.9]
    expected = ttest_ind(first, second, equal_var=False)
    for confidence in (0.95, 0.99):
        found = seed_difference(first, second, confidence)
        interval = expected.confidence_interval(confidence)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
        assert (found.p, found.degrees_of_freedom) == pytest.approx((expected.pvalue, expected.df), rel=1e-9)


def test_without_images_the_mean_has_students_interval() -> None:
    values = [0.91, 0.93, 0.96]
    found, interval = seed_mean(values), ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_runs_without_variation_over_seeds_give_the_paired_t_test_over_images() -> None:
    rng = np.random.default_rng(0)
    first, second = (np.tile(rng.random(50), (3, 1)) for _ in range(2))
    found, expected = seed_difference(first, second), ttest_rel(first[0], second[0])
    interval = expected.confidence_interval()
    assert numbers(found)[2:] == pytest.approx([49, interval.low, interval.high, expected.pvalue], rel=1e-9)


def test_images_without_variation_give_welchs_test() -> None:
    first, second = np.array([0.91, 0.93, 0.96]), np.array([0.90, 0.88])
    of_images = [np.tile(runs[:, np.newaxis], (1, 20)) for runs in (first, second)]
    assert numbers(seed_difference(*of_images)) == pytest.approx(numbers(seed_difference(first, second)), rel=1e-6)


def test_the_variances_are_those_of_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(1)
    # The runs differ by more than the images explain, so no component is truncated.
    first, second = (rng.normal(size=(n, 1)) + rng.normal(size=30) + rng.normal(size=(n, 30)) for n in (3, 4))
    expected = np.var(first.mean(axis=0) - second.mean(axis=0), ddof=1) / 30
    for scores in (first, second):
        rows = [(run, image, value) for (run, image), value in np.ndenumerate(scores)]
        table = anova_lm(ols("y ~ C(run) + C(image)", pd.DataFrame(rows, columns=["run", "image", "y"])).fit())
        squares = table["sum_sq"] / table["df"]
        assert squares["C(run)"] > squares["Residual"]
        expected += (squares["C(run)"] - squares["Residual"]) / scores.size
    assert seed_difference(first, second).standard_error ** 2 == pytest.approx(expected, rel=1e-9)


# ----------------------------------------------------------------------------------------------------------- properties


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 6), st.integers(2, 30), st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_interval_has_the_properties_of_a_difference(seed: int, r: int, s: int, n: int, by_image: bool) -> None:
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(size=n)
    first, second = (difficulty + rng.normal(size=(runs, n)) + rng.normal(size=(runs, 1)) for runs in (r, s))
    if not by_image:
        first, second = first[:, 0], second[:, 0]
    found = seed_difference(first, second)
    assert found.low <= found.value <= found.high
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    assert found.value == pytest.approx(first.mean() - second.mean())
    swapped = seed_difference(second, first)
    assert (swapped.low, swapped.high, swapped.p) == pytest.approx((-found.high, -found.low, found.p))
    wide = seed_difference(first, second, 0.99)
    assert wide.low < found.low < found.high < wide.high
    scaled = seed_difference(3 * first + 1, 3 * second + 1)
    assert (scaled.low, scaled.high) == pytest.approx((3 * found.low, 3 * found.high))
    rows, order = rng.permutation(r), rng.permutation(n)
    moved = (first[rows], second) if first.ndim == 1 else (first[rows][:, order], second[:, order])
    assert numbers(seed_difference(*moved)) == pytest.approx(numbers(found))


def test_runs_that_agree_by_chance_do_not_shorten_the_interval_below_that_over_images() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.random((3, 40)) for _ in range(2))
    first += 0.5 - first.mean(axis=1, keepdims=True)
    second += 0.4 - second.mean(axis=1, keepdims=True)
    difference = first.mean(axis=0) - second.mean(axis=0)
    assert seed_difference(first, second).standard_error == pytest.approx(difference.std(ddof=1) / math.sqrt(40))


def test_equal_runs_do_not_differ() -> None:
    scores = np.random.default_rng(0).integers(0, 2, (3, 10)).astype(float)
    scores[1:] = scores[0]
    found = seed_difference(scores, scores)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_without_any_variation_there_is_no_interval() -> None:
    found = seed_difference([0.6, 0.6, 0.6], [0.5, 0.5])
    assert found.value == pytest.approx(0.1)
    assert np.isnan([found.low, found.high, found.p]).all()


@pytest.mark.parametrize(
    ("first", "second"), [([0.5], [0.5, 0.6]), (np.ones((2, 1)), np.ones((2, 1))), (np.ones((2, 3)), np.ones((2, 4)))]
)
def test_too_few_runs_and_different_images_are_rejected(first, second) -> None:
    with pytest.raises(ValueError, match="shape"):
        seed_difference(first, second)


# ------------------------------------------------------------------------------------------------------------- coverage


def test_the_interval_contains_the_true_difference_of_simulated_runs() -> None:
    assert 0.92 < coverage(300, (3, 3), (0.1, 0.1)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("runs", "seed_sd", "interaction", "images", "least", "most"),
    [
        ((3, 3), (0.1, 0.1), INTERACTION, 500, 0.935, 0.99),
        ((5, 5), (0.1, 0.1), INTERACTION, 500, 0.935, 0.98),
        ((3, 3), (0.3, 0.3), INTERACTION, 500, 0.935, 0.98),
        ((5, 5), (0.3, 0.3), INTERACTION, 500, 0.935, 0.98),
        ((3, 3), (0.05, 0.4), INTERACTION, 500, 0.92, 0.98),
        ((2, 5), (0.3, 0.05), INTERACTION, 500, 0.92, 0.98),
        ((2, 2), (0.1, 0.1), INTERACTION, 500, 0.935, 1.0),
        ((5, 5), (0.0, 0.0), 1.5, 500, 0.935, 0.98),
        ((5, 5), (0.1, 0.1), INTERACTION, 60, 0.935, 0.99),
    ],
)
def test_95_percent_of_the_intervals_contain_the_true_difference(
    runs: tuple[int, int], seed_sd: tuple[float, float], interaction: float, images: int, least: float, most: float
) -> None:
    assert least <= coverage(2000, runs, seed_sd, interaction, images) <= most


@pytest.mark.slow
def test_a_bootstrap_over_seeds_and_images_is_worse() -> None:
    """If the seeds differ much, the bootstrap is too narrow, and if they do not, it counts the same variance twice."""
    assert coverage(300, (3, 3), (0.3, 0.3), bootstrapped=True) < 0.92
    assert coverage(300, (5, 5), (0.1, 0.1), bootstrapped=True) > 0.97
