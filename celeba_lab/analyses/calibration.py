"""Reliability and temperature scaling of predicted probabilities."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

# The spacing of float32 values just below 1 is about 6e-8. The logit of 1 - 1e-7 is about 16.
_SMALLEST = 1e-7
_TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Reliability:
    """Predicted probabilities and observed frequencies of K attributes in B equal-width bins.

    Attributes:
        count: Number of images in each bin, int64 (K, B).
        confidence: Mean predicted probability in each bin, or NaN if the bin is empty, float64 (K, B).
        frequency: Fraction of the images in each bin that have the attribute, or NaN if the bin is empty,
            float64 (K, B).

    Example:
        >>> bins = Reliability(np.array([[2, 8]]), np.array([[0.2, 0.9]]), np.array([[0.5, 0.875]]))
        >>> bins.error.round(2)
        array([0.08])
    """

    count: np.ndarray
    confidence: np.ndarray
    frequency: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """Expected calibration error (ECE) in [0, 1], or NaN if there are no images, float64 (K,).

        The ECE is the mean of ``|frequency - confidence|`` over the bins, weighted by the number of images in each bin.
        """
        gaps = np.where(self.count > 0, np.abs(self.frequency - self.confidence), 0.0)
        with np.errstate(invalid="ignore"):
            error: np.ndarray = (self.count * gaps).sum(axis=1) / self.count.sum(axis=1)
        return error


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> Reliability:
    """Compare predicted probabilities with observed frequencies, separately for each attribute.

    The method follows Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), but uses the probability of
    the positive class, as does torchmetrics' ``BinaryCalibrationError`` with ``norm="l1"``. Guo et al. use the
    probability of the predicted class, which is in [0.5, 1]. In that case, overconfident predictions of
    one class and underconfident predictions of the other can cancel each other out.

    Bin b contains the images for which ``b / bins <= probability < (b + 1) / bins``. The last bin also contains
    probabilities of exactly 1. torchmetrics puts probabilities of exactly 1 in a separate bin, so its error can be
    slightly higher.

    Args:
        labels: True labels of shape (N, K), each 0 or 1. N can be 0.
        probabilities: Predicted probabilities of shape (N, K), in [0, 1].
        bins: Number of bins, at least 1. With more bins, each bin contains fewer images, so noise inflates the error.

    Example:
        >>> found = reliability(np.array([[0], [1], [1]]), np.array([[0.1], [0.2], [0.8]]), bins=2)
        >>> found.count, found.confidence, found.frequency, found.error
        (array([[2, 1]]), array([[0.15, 0.8 ]]), array([[0.5, 1. ]]), array([0.3]))
    """
    # The edges must have the dtype of the probabilities, so that float32(1 / 3) lies exactly on the edge at 1 / 3.
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
    """Fit one temperature per attribute by maximising the likelihood of the labels.

    Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017) is applied to each attribute
    separately. The temperature T minimises the binary cross-entropy of ``sigmoid(logit(probability) / T)``. If T is
    above 1, the unscaled probabilities are too close to 0 or 1. Fit temperatures on validation images and evaluate them
    on test images, because the calibration error is underestimated on the images used for fitting.

    Args:
        labels: True labels of shape (N, K), each 0 or 1. N can be 0.
        probabilities: Predicted probabilities of shape (N, K), in [0, 1]. Values are clipped to [1e-7, 1 - 1e-7] before
            the logits are computed.

    Returns:
        Temperatures, float64 (K,), clipped to [0.05, 20]. For example, the temperature is 0.05 if all predictions are
        correct. The temperature is 1 if it cannot be fitted because there are no images, all labels are the same, or
        all probabilities are 0.5.

    Example:
        >>> labels = np.array([[0], [0], [0], [1], [1], [1], [1], [0]])
        >>> probabilities = np.where(np.arange(8) < 4, 0.1, 0.9)[:, None]  # correct for 6 of 8 images
        >>> fit_temperature(labels, probabilities).round(3)
        array([2.])
    """
    columns = zip(labels.T, probabilities.T, strict=True)
    return np.array([_fit(truth.astype(bool), column) for truth, column in columns], dtype=np.float64)


def _fit(truth: np.ndarray, column: np.ndarray) -> float:
    """Fit the temperature for one attribute to labels, bool (N,), and probabilities, float (N,)."""
    if truth.all() or not truth.any():
        return 1.0
    logits = _logits(column)
    if not logits.any():
        return 1.0
    target = logits[truth].sum()

    def slope(log_temperature: float) -> float:
        """Return the derivative of the cross-entropy with respect to 1 / T.

        The cross-entropy is convex in 1 / T, so the derivative changes sign at most once.
        """
        return float(logits @ expit(logits * np.exp(-log_temperature)) - target)

    from scipy.optimize import brentq  # It is slow to import, and most commands do not need it.

    low, high = np.log(_TEMPERATURES)
    if slope(low) <= 0:
        return _TEMPERATURES[0]
    if slope(high) >= 0:
        return _TEMPERATURES[1]
    return float(np.exp(brentq(slope, low, high, xtol=1e-6)))


def apply_temperature(probabilities: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """Divide the logits of each attribute's probabilities by the attribute's temperature.

    The ranking of the images does not change, so AUROC and average precision stay the same. A probability of 0.5
    remains 0.5, so predictions at a threshold of 0.5 also stay the same. Any other threshold that was tuned on unscaled
    probabilities must itself be scaled with this function.

    Args:
        probabilities: Probabilities of shape (N, K) or thresholds of shape (K,), in [0, 1]. Values are clipped to
            [1e-7, 1 - 1e-7] before the logits are computed.
        temperature: Positive temperatures of shape (K,), as returned by :func:`fit_temperature`.

    Returns:
        Scaled probabilities in float64, with the same shape as ``probabilities``. float32 is not used, because it could
        round probabilities just below 0.5 up to 0.5.

    Example:
        >>> apply_temperature(np.array([[0.1], [0.5], [0.9]]), np.array([2.0])).round(3)
        array([[0.25],
               [0.5 ],
               [0.75]])
    """
    logits = _logits(probabilities)
    logits /= temperature
    scaled: np.ndarray = expit(logits, out=logits)
    return scaled


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """Return the logits of the clipped probabilities as float64, allocating only a single array."""
    values = np.array(probabilities, dtype=np.float64)
    np.clip(values, _SMALLEST, 1 - _SMALLEST, out=values)
    logits: np.ndarray = logit(values, out=values)
    return logits
