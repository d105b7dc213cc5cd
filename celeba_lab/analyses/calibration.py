"""Whether probabilities mean what they say, and the one number per attribute that mends most of it."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

# Where float32 can no longer tell a probability from 1; a logit of 16.
_SMALLEST = 1e-7
_TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Reliability:
    """What was predicted and what was observed, in B bins of equal width of the probability.

    Attributes:
        count: int64 (K, B), images in each bin.
        confidence: float64 (K, B), their mean predicted probability; NaN in an empty bin.
        frequency: float64 (K, B), the share of positives among them; NaN in an empty bin.
    """

    count: np.ndarray
    confidence: np.ndarray
    frequency: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """Expected calibration error, float64 (K,) in [0, 1]: the mean over images of their bin's gap; NaN without any.

        The gap of a bin is ``|frequency - confidence|``.
        """
        gaps = np.where(self.count > 0, np.abs(self.frequency - self.confidence), 0.0)
        with np.errstate(invalid="ignore"):
            return (self.count * gaps).sum(axis=1) / self.count.sum(axis=1)


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> Reliability:
    """Compare predicted probabilities with observed shares, each attribute for itself.

    After Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), but of the probability of the positive
    class, as torchmetrics' ``BinaryCalibrationError`` measures it (``norm="l1"``). Guo's confidence is that of the
    predicted class, in [0.5, 1]; it lets two errors cancel, of "no" that is too sure and of "yes" that is not.

    Bin b holds ``b / bins <= probability < (b + 1) / bins``, and the last one holds 1 too. (For torchmetrics a
    probability of exactly 1 is a bin of its own, so its value can be slightly higher.)

    Args:
        labels: (N, K) of 0 and 1; N may be 0.
        probabilities: (N, K) in [0, 1].
        bins: how many, at least 1; the more, the noisier each is, and the higher the error for that alone.
    """
    # In the precision of the probabilities: float32(1 / 3) is to fall on the edge, not just beside it.
    edges = np.linspace(0, 1, bins + 1).astype(np.result_type(probabilities.dtype, np.float16))
    shape = (labels.shape[1], bins)
    count, predicted, positives = np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape)
    for k, (truth, column) in enumerate(zip(labels.T, probabilities.T, strict=True)):
        place = np.searchsorted(edges[1:-1], column, side="right")
        count[k] = np.bincount(place, minlength=bins)
        predicted[k] = np.bincount(place, weights=column, minlength=bins)
        positives[k] = np.bincount(place, weights=truth, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Reliability(count, predicted / count, positives / count)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the temperature of each attribute that makes these images most likely.

    Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017), each attribute for itself:
    T minimises the binary cross-entropy of ``sigmoid(logit(probability) / T)``. Above 1 the probabilities were too
    sure, below 1 not sure enough. Fit on validation and apply to test: on the images themselves it looks better than
    it is.

    Args:
        labels: (N, K) of 0 and 1; N may be 0.
        probabilities: (N, K) in [0, 1]; clipped to 1e-7 from 0 and 1, for their logits.

    Returns:
        float64 (K,) in [0.05, 20]; at an end where the best is beyond it, as for classes that are perfectly separated.
        1 where nothing can be learnt: there is one class only or no image, or all probabilities are 0.5.
    """
    columns = zip(labels.T, probabilities.T, strict=True)
    return np.array([_fit(truth.astype(bool), column) for truth, column in columns], dtype=np.float64)


def _fit(truth: np.ndarray, column: np.ndarray) -> float:
    if truth.all() or not truth.any():
        return 1.0
    logits = _logits(column)
    if not logits.any():
        return 1.0
    target = logits[truth].sum()

    def slope(log_temperature: float) -> float:
        """The derivative of the cross-entropy with respect to 1 / T, which changes its sign once: it is convex."""
        return float(logits @ expit(logits * np.exp(-log_temperature)) - target)

    low, high = np.log(_TEMPERATURES)
    if slope(low) <= 0:
        return _TEMPERATURES[0]
    if slope(high) >= 0:
        return _TEMPERATURES[1]
    return float(np.exp(brentq(slope, low, high, xtol=1e-6)))


def apply_temperature(probabilities: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """Divide the logits of probabilities by the temperature of their attribute.

    The order of the images stays, and so do AUROC and average precision; 0.5 stays 0.5, and so do decisions at 0.5.
    Any other threshold that was tuned on raw probabilities must be scaled too, by this very function.

    Args:
        probabilities: (N, K) in [0, 1], or (K,) thresholds; clipped to 1e-7 from 0 and 1, for their logits.
        temperature: (K,) above 0, of :func:`fit_temperature`.

    Returns:
        float64 of the shape of ``probabilities``: in float32, 0.4999999 could become 0.5.
    """
    logits = _logits(probabilities)
    logits /= temperature
    return expit(logits, out=logits)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """The logits of clipped probabilities, float64, with no other array of their size in between."""
    values = np.array(probabilities, dtype=np.float64)
    np.clip(values, _SMALLEST, 1 - _SMALLEST, out=values)
    return logit(values, out=values)
