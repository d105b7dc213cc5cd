"""Confidence intervals for proportions and for differences between proportions."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm


def wilson_interval(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson score intervals for proportions (Wilson, 1927).

    The intervals are accurate even for few trials and for proportions near 0 or 1.

    Args:
        successes: Numbers of successes, from 0 to ``trials``. The array can have any shape.
        trials: Numbers of trials, with the same shape as ``successes``.
        confidence: Confidence level, such as 0.95.

    Returns:
        Lower and upper bounds, each float64 in [0, 1], or NaN where there are no trials.

    Example:
        >>> low, high = wilson_interval([0, 90], [10, 100])
        >>> low.round(3), high.round(3)
        (array([0.   , 0.826]), array([0.278, 0.945]))
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    z = norm.ppf((1 + confidence) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = k / n
        center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(center - half, 0, 1), np.clip(center + half, 0, 1)


def difference_interval(
    successes: tuple[ArrayLike, ArrayLike], trials: tuple[ArrayLike, ArrayLike], confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return a confidence interval for the difference between two independent proportions (second minus first).

    The interval is computed with method 10 of Newcombe, "Interval estimation for the difference between independent
    proportions: comparison of eleven methods" (Statistics in Medicine, 1998). This method combines the Wilson score
    intervals for the two proportions.

    Args:
        successes: Numbers of successes for the first and second proportions. The arrays can have any shape.
        trials: Numbers of trials for the first and second proportions, with the same shape as ``successes``.
        confidence: Confidence level, such as 0.95.

    Returns:
        Lower and upper bounds, each float64 in [-1, 1], or NaN where there are no trials.

    Example:
        >>> low, high = difference_interval((48, 56), (80, 70))
        >>> float(low.round(4)), float(high.round(4))
        (0.0524, 0.3339)
    """
    (low1, high1), (low2, high2) = (wilson_interval(k, n, confidence) for k, n in zip(successes, trials, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second = (np.asarray(k, float) / np.asarray(n, float) for k, n in zip(successes, trials, strict=True))
    below = np.sqrt((second - low2) ** 2 + (high1 - first) ** 2)
    above = np.sqrt((high2 - second) ** 2 + (first - low1) ** 2)
    return second - first - below, second - first + above
