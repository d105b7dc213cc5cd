"""How far a measured share may be from the true one."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm


def wilson_interval(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the score interval of proportions (Wilson, 1927), which holds for few trials and shares near 0 and 1.

    Args:
        successes: any shape, 0 to ``trials``.
        trials: of the same shape.
        confidence: that the interval covers the true share, for example 0.95.

    Returns:
        Lower and upper ends, float64 in [0, 1]; NaN where there is no trial.
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    z = norm.ppf((1 + confidence) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = k / n
        centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def difference_interval(
    successes: tuple[ArrayLike, ArrayLike], trials: tuple[ArrayLike, ArrayLike], confidence: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the interval of the second of two independent proportions minus the first.

    Newcombe's hybrid of two score intervals ("Interval estimation for the difference between independent proportions",
    Statistics in Medicine, 1998, method 10).

    Args:
        successes: of the first and of the second, any shape.
        trials: of both, of the same shape.
        confidence: that the interval covers the true difference.

    Returns:
        Lower and upper ends, float64 in [-1, 1]; NaN where there is no trial.
    """
    (low1, high1), (low2, high2) = (wilson_interval(k, n, confidence) for k, n in zip(successes, trials, strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second = (np.asarray(k, float) / np.asarray(n, float) for k, n in zip(successes, trials, strict=True))
    below = np.sqrt((second - low2) ** 2 + (high1 - first) ** 2)
    above = np.sqrt((high2 - second) ** 2 + (first - low1) ** 2)
    return second - first - below, second - first + above
