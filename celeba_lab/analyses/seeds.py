"""Means of several training runs with different seeds, and differences between them, with confidence intervals.

A classifier that is trained again with another seed makes other mistakes, and a test split with other images contains
other difficult images. An interval for the difference between two settings must cover both. The seeds are nested within
a setting, because every setting has runs of its own, and the images are crossed with the settings and seeds, because
all runs classify the same images. This is the design of Clark, "The language-as-fixed-effect fallacy" (Journal of
Verbal Learning and Verbal Behavior, 1973), with seeds as subjects and images as items.

The intervals are t intervals. The variance is the sum of its components for seeds and images, and the degrees of
freedom are those of Satterthwaite, "An approximate distribution of estimates of variance components" (Biometrics
Bulletin, 1946). Without images, this is Welch's t-test. A bootstrap over seeds and images, or a mixed model with a
normal approximation, ignores how uncertain a variance is that is estimated from two to five seeds, so its intervals are
too short if the seeds differ much. docs/analyses.md reports how often the intervals contain the true difference.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

_NEGLIGIBLE = 1e-12  # Standard errors below this fraction of the values are caused by rounding.


@dataclass(frozen=True)
class SeedEstimate:
    """A mean over seeds, or a difference between two such means.

    If the standard error is zero but the value is not, the variance cannot be estimated, and all other numbers are NaN.

    Attributes:
        value: The mean or the difference.
        standard_error: Standard error of ``value``.
        degrees_of_freedom: Degrees of freedom of the t distribution.
        confidence: Confidence level of the interval.
        low: Lower bound of the interval.
        high: Upper bound of the interval.
        p: Two-sided p-value for the null hypothesis that the mean or difference is 0.
    """

    value: float
    standard_error: float
    degrees_of_freedom: float
    confidence: float
    low: float
    high: float
    p: float


def seed_mean(scores: ArrayLike, confidence: float = 0.95) -> SeedEstimate:
    """Return the mean score of one setting, with its interval over seeds, or over seeds and images.

    Args:
        scores: Score of each of R runs with different seeds, float (R,), or score of each run for each of N images,
            float (R, N). R and N are at least 2.
        confidence: Confidence level of the interval.

    Raises:
        ValueError: There are fewer than two runs or images.

    Example:
        >>> found = seed_mean([0.90, 0.91, 0.92])
        >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
        (0.91, 0.885, 0.935)
    """
    values = _checked(scores)
    return _estimate(float(values.mean()), [values], values.mean(axis=0), confidence)


def seed_difference(first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> SeedEstimate:
    """Return the difference between the mean scores of two settings (first minus second), with its interval.

    Runs of both settings with the same seed are not paired, because a seed has no meaning beyond the order of the
    images and the initial weights. If runs with the same seed resemble each other, the interval is longer than
    necessary.

    Args:
        first: Score of each run of the first setting, float (R,), or of each run for each image, float (R, N).
        second: Scores of the second setting, with as many dimensions. N and the order of the images must be the same,
            but the number of runs may differ.
        confidence: Confidence level of the interval.

    Raises:
        ValueError: There are fewer than two runs or images, or the arrays do not have the same images.

    Example:
        >>> found = seed_difference([0.93, 0.94, 0.95], [0.90, 0.91, 0.92])
        >>> round(found.value, 3), round(found.low, 4), round(found.high, 4), round(found.degrees_of_freedom, 1)
        (0.03, 0.0073, 0.0527, 4.0)
    """
    one, other = _checked(first), _checked(second)
    if one.shape[1:] != other.shape[1:]:
        raise ValueError(f"Both settings must have the same images: got shapes {one.shape} and {other.shape}.")
    difference = one.mean(axis=0) - other.mean(axis=0)
    return _estimate(float(difference.mean()), [one, other], difference, confidence)


def _checked(scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim not in (1, 2) or min(values.shape) < 2:
        raise ValueError(f"Scores must have shape (R,) or (R, N), with R and N at least 2: got {values.shape}.")
    return values


def _over_images(of_images: NDArray[np.float64]) -> tuple[float, float]:
    """Return the squared standard error of a mean over N images, and its squared uncertainty.

    Args:
        of_images: Values of shape (N,), or of shape () if only the mean is known.
    """
    if of_images.ndim == 0:
        return 0.0, 0.0
    variance = float(of_images.var(ddof=1)) / of_images.size
    return variance, variance**2 / (of_images.size - 1)


def _over_seeds(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the squared standard error of a mean over seeds that images do not explain, and its squared uncertainty.

    The accuracies of two runs on N images differ even if both runs are equally good on all other faces. This part, the
    interaction of runs and images, is already in the variance over images and must not be counted twice.

    The uncertainty is that of few seeds even if the runs differ by less than the images explain. Otherwise, runs that
    happen to agree would make the interval too short.
    """
    runs = values.shape[0]
    of_runs = values if values.ndim == 1 else values.mean(axis=1)
    variance, explained = float(of_runs.var(ddof=1)) / runs, 0.0
    if values.ndim == 2:
        residual = values - of_runs[:, np.newaxis] - values.mean(axis=0) + values.mean()
        explained = float(np.square(residual).sum()) / ((runs - 1) * (values.shape[1] - 1) * values.size)
    return max(0.0, variance - explained), max(variance, explained) ** 2 / (runs - 1)


def _estimate(
    value: float, settings: Sequence[NDArray[np.float64]], of_images: NDArray[np.float64], confidence: float
) -> SeedEstimate:
    """Return an estimate from the variances over the seeds of each setting and over the images."""
    parts = [_over_images(of_images), *map(_over_seeds, settings)]
    variance, uncertainty = (sum(column) for column in zip(*parts, strict=True))
    error = math.sqrt(variance)
    rounding = _NEGLIGIBLE * max(float(np.abs(scores).max()) for scores in settings)
    if error <= rounding:
        rest = (value, value, 1.0) if abs(value) <= rounding else (math.nan, math.nan, math.nan)
        return SeedEstimate(value, 0.0, math.nan, confidence, *rest)
    # A sum of variances is at least as certain as the least certain one.
    freedom = max(variance**2 / uncertainty, min(map(len, settings)) - 1)
    half = float(student.ppf((1 + confidence) / 2, freedom)) * error
    p = 2 * float(student.sf(abs(value) / error, freedom))
    return SeedEstimate(value, error, freedom, confidence, value - half, value + half, p)
