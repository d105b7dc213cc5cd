"""Comparison of two classifiers on the same images.

The predictions of two classifiers for the same image are not independent, so only images on which the classifiers
differ are informative. Statistical significance applies only to the two trained classifiers, not to their training
recipes. Retraining the same classifier with different seeds can produce differences of similar size.
"""

import gc
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_test
from statsmodels.stats.multitest import multipletests

FEW = 25
"""Minimum number of discordant images for which the chi-square approximation of McNemar's test is accurate."""


@dataclass(frozen=True)
class PairedDifference:
    """Difference in accuracy between a classifier and a baseline.

    Attributes:
        difference: Accuracy of the classifier minus the accuracy of the baseline, averaged over images and attributes,
            in [-1, 1].
        low: Lower bound of the confidence interval for the difference.
        high: Upper bound of the confidence interval for the difference.
        p: Two-sided p-value for the null hypothesis of no difference.
        images_apart: Number of images for which the classifier and the baseline have different numbers of correct
            predictions.
    """

    difference: float
    low: float
    high: float
    p: float
    images_apart: int


def paired_bootstrap(
    right: np.ndarray, baseline_right: np.ndarray, resamples: int = 2000, seed: int = 0, confidence: float = 0.95
) -> PairedDifference:
    """Return the difference in mean accuracy with its bootstrap percentile interval (Efron, 1979).

    Each image is resampled together with all of its attributes and the predictions of both classifiers. The difference
    for a single image has at most 2 K + 1 possible values, so the numbers of images with each value in a resample
    follow a multinomial distribution. The cost of a resample therefore does not depend on N.

    The p-value is twice the fraction of resamples in which the difference is zero or has the opposite sign. The
    numerator and the denominator of this fraction are both increased by 1, so the p-value is never 0.

    Args:
        right: Whether each prediction of the classifier is correct, bool (N, K), with N at least 1.
        baseline_right: Whether each prediction of the baseline is correct, bool (N, K).
        resamples: Number of bootstrap resamples.
        seed: Random seed for resampling.
        confidence: Confidence level of the interval, such as 0.95.

    Example:
        >>> baseline_right = np.arange(1000)[:, None] < 900
        >>> right = np.arange(1000)[:, None] < 930
        >>> found = paired_bootstrap(right, baseline_right)
        >>> round(found.difference, 3), found.low > 0, found.images_apart
        (0.03, True, 30)
    """
    n, k = right.shape
    gained = np.count_nonzero(right, axis=1) - np.count_nonzero(baseline_right, axis=1)  # (N,), in [-K, K]
    kinds, counts = np.unique(gained, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)  # (resamples, kinds)
    differences = drawn @ kinds / (n * k)
    tail = (1 - confidence) / 2
    beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return PairedDifference(
        difference=float(gained.sum() / (n * k)),
        # Without interpolation, the interval excludes 0 if and only if p is below 1 - confidence.
        low=float(np.quantile(differences, tail, method="lower")),
        high=float(np.quantile(differences, 1 - tail, method="higher")),
        p=min(1.0, 2 * (beyond + 1) / (resamples + 1)),
        images_apart=int(np.count_nonzero(gained)),
    )


def mcnemar(only_first: ArrayLike, only_second: ArrayLike) -> np.ndarray:
    """Return the p-values of McNemar's test (1947), which compares two classifiers on the same images.

    The test uses only discordant images, for which exactly one classifier is correct. With fewer than 25 discordant
    images, the p-value is computed with the exact binomial test. Otherwise, the p-value is computed with the chi-square
    test and the continuity correction of Edwards, "Note on the correction for continuity in testing the significance of
    the difference between correlated proportions" (Psychometrika, 1948). Both tests are those of statsmodels.

    Args:
        only_first: Numbers of images for which only the first classifier is correct, int (K,).
        only_second: Numbers of images for which only the second classifier is correct, int (K,).

    Returns:
        Two-sided p-values, float64 (K,). The p-value is 1 if there are no discordant images.

    Example:
        >>> mcnemar([0, 1, 20], [0, 9, 45]).round(4)
        array([1.    , 0.0215, 0.0029])
    """
    first, second = np.atleast_1d(only_first), np.atleast_1d(only_second)
    return np.array([_mcnemar(int(one), int(other)) for one, other in zip(first, second, strict=True)])


def _mcnemar(one: int, other: int) -> float:
    # The corrected difference must not be negative, which would make equal counts differ.
    table = [[0, one], [other, 0]]
    found = mcnemar_test(table, exact=one + other < FEW, correction=one != other)
    return float(found.pvalue)


def holm(p: ArrayLike) -> np.ndarray:
    """Return p-values adjusted for multiple testing with Holm's method.

    The method is described in Holm, "A simple sequentially rejective multiple test procedure" (Scandinavian Journal of
    Statistics, 1979). If all hypotheses with an adjusted p-value below 0.05 are rejected, the probability of rejecting
    any true null hypothesis is at most 0.05.

    Args:
        p: P-values, float (K,), in [0, 1], for K at least 1.

    Returns:
        Adjusted p-values, float64 (K,), in the same order as ``p``, computed by statsmodels.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    # statsmodels collects garbage, which takes a quarter of a second beside torch if the existing objects are searched.
    gc.freeze()
    try:
        adjusted: np.ndarray = multipletests(p, method="holm")[1]
    finally:
        gc.unfreeze()
    return adjusted
