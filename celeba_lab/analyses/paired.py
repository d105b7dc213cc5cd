"""Whether one classifier is better than another, measured on the same images.

Two answers to one image are no independent trials: what counts is where the two differ. A difference that the images
can show is one between these two classifiers; other seeds of the same two recipes may differ as much.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest, chi2

FEW = 25
"""Below so many images that tell two classifiers apart, McNemar's chi-square is no approximation worth having."""


@dataclass(frozen=True)
class PairedDifference:
    """The accuracy of one classifier minus that of another.

    Attributes:
        difference: mean over images and attributes, in [-1, 1].
        low: lower end of the interval.
        high: upper end of the interval.
        p: two-sided; of no difference.
        images_apart: how many images have more right answers by one of the two.
    """

    difference: float
    low: float
    high: float
    p: float
    images_apart: int


def paired_bootstrap(
    right: np.ndarray, baseline_right: np.ndarray, resamples: int = 2000, seed: int = 0, confidence: float = 0.95
) -> PairedDifference:
    """Return the difference in mean accuracy, with the percentile interval of resampled images (Efron, 1979).

    An image keeps all its attributes and both classifiers' answers. Images of the same difference, of which there are
    at most 2 K + 1 kinds, are exchangeable: how many of each kind a resample holds is multinomial, whatever N is.

    Args:
        right: bool (N, K), whether the classifier is right about attribute k of image n; at least one image.
        baseline_right: bool (N, K), whether the other one is.
        resamples: how many.
        seed: the same seed, the same resamples.
        confidence: of the interval, for example 0.95.

    Returns:
        The p value is twice the share of resamples, the sample itself counted as one, on the other side of 0.
    """
    n, k = right.shape
    gained = np.count_nonzero(right, axis=1) - np.count_nonzero(baseline_right, axis=1)  # (N,), -K to K
    kinds, counts = np.unique(gained, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)  # (resamples, kinds)
    differences = drawn @ kinds / (n * k)
    tail = (1 - confidence) / 2
    beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return PairedDifference(
        difference=float(gained.sum() / (n * k)),
        # Resamples themselves, not points between them: else an interval might leave out a 0 that p does not.
        low=float(np.quantile(differences, tail, method="lower")),
        high=float(np.quantile(differences, 1 - tail, method="higher")),
        p=min(1.0, 2 * (beyond + 1) / (resamples + 1)),
        images_apart=int(np.count_nonzero(gained)),
    )


def mcnemar(only_first: ArrayLike, only_second: ArrayLike) -> np.ndarray:
    """Return the p values of McNemar's test (1947), which looks at the images that one of two has right.

    Exact binomial where there are fewer than 25 of them; else chi-square with Edwards's continuity correction ("Note on
    the correction for continuity in testing the significance of the difference between correlated proportions",
    Psychometrika, 1948), whose numerator is at least 0.

    Args:
        only_first: int (K,), images about which the first alone is right.
        only_second: int (K,), images about which the second alone is.

    Returns:
        float64 (K,), two-sided; 1 where there is no such image.
    """
    first, second = np.atleast_1d(only_first), np.atleast_1d(only_second)
    apart = first + second
    statistic = np.maximum(np.abs(first - second) - 1, 0) ** 2 / np.maximum(apart, 1)
    p = chi2.sf(statistic, df=1)
    p[apart == 0] = 1.0
    for k in np.flatnonzero((apart > 0) & (apart < FEW)):
        p[k] = binomtest(int(first[k]), int(apart[k])).pvalue
    return p


def holm(p: ArrayLike) -> np.ndarray:
    """Return p values adjusted for their number.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979.

    Rejecting those below 0.05 rejects a single true hypothesis with a probability of at most 0.05.

    Args:
        p: float (K,) in [0, 1].

    Returns:
        float64 (K,), in the same order.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    factors = np.arange(len(values), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1.0)
    return adjusted
