"""Calibration results match manual counts and torchmetrics, and temperatures match true values and a grid search."""

import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from sklearn.metrics import log_loss, roc_auc_score
from torchmetrics.classification import BinaryCalibrationError

from celeba_lab.analyses.calibration import apply_temperature, fit_temperature, reliability


def overconfident(temperatures: list[float], n: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels drawn from true probabilities, and these probabilities with logits multiplied by a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-0.5, 1.5, (n, len(temperatures)))
    labels = (rng.random(logits.shape) < expit(logits)).astype(np.uint8)
    return labels, expit(logits * np.array(temperatures)).astype(np.float32)


# --- reliability


def test_reliability_equals_manual_counts() -> None:
    labels = np.array([[0], [1], [1], [0], [1]])
    found = reliability(labels, np.array([[0.1], [0.3], [0.9], [0.8], [1.0]]), bins=4)
    assert found.count.tolist() == [[1, 1, 0, 3]]
    np.testing.assert_allclose(found.confidence, [[0.1, 0.3, np.nan, 0.9]])
    np.testing.assert_allclose(found.frequency, [[0, 1, np.nan, 2 / 3]])
    assert found.error == pytest.approx([(0.1 + 0.7 + 3 * (0.9 - 2 / 3)) / 5])
    assert (found.count.dtype, found.confidence.dtype, found.frequency.dtype) == (np.int64, np.float64, np.float64)


def test_errors_of_the_positive_class_do_not_cancel() -> None:
    """For the predicted class, overconfidence in "no" and underconfidence in "yes" nearly cancel each other."""
    labels = np.array([[0], [0], [0], [1], [1], [1], [1], [1]])
    probabilities = np.array([[0.1]] * 4 + [[0.9]] * 4)
    assert reliability(labels, probabilities).error == pytest.approx([0.5 * 0.15 + 0.5 * 0.1])
    right, confidence = labels == (probabilities >= 0.5), np.maximum(probabilities, 1 - probabilities)
    assert reliability(right, confidence).error == pytest.approx([0.9 - 7 / 8])


@pytest.mark.parametrize("bins", [1, 10, 15, 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_calibration_error_equals_torchmetrics(bins: int, dtype: type) -> None:
    labels, probabilities = overconfident([0.4, 1.0, 3.0], n=5000)
    probabilities = probabilities.clip(0, 0.9999).astype(dtype)
    found = reliability(labels, probabilities, bins).error
    for k in range(3):
        metric = BinaryCalibrationError(n_bins=bins, norm="l1")
        expected = metric(torch.from_numpy(probabilities[:, k]), torch.from_numpy(labels[:, k].astype(int)))
        assert found[k] == pytest.approx(float(expected), abs=1e-5)


def test_a_probability_of_one_belongs_to_the_last_bin() -> None:
    """torchmetrics treats only this case differently."""
    labels, probabilities = np.array([[0], [1]]), np.array([[0.99], [1.0]], dtype=np.float32)
    assert reliability(labels, probabilities).count[0, -1] == 2
    assert reliability(labels, probabilities).error == pytest.approx([0.495])
    metric = BinaryCalibrationError(n_bins=15, norm="l1")
    assert float(metric(torch.tensor([0.99, 1.0]), torch.tensor([0, 1]))) == pytest.approx(0.495)
    metric = BinaryCalibrationError(n_bins=15, norm="l1")
    assert float(metric(torch.tensor([0.99, 1.0]), torch.tensor([1, 0]))) == pytest.approx(0.505)
    assert reliability(1 - labels, probabilities).error == pytest.approx([0.495])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [3, 10, 15, 49])
def test_a_bin_edge_belongs_to_the_bin_above(bins: int, dtype: type) -> None:
    edges = np.linspace(0, 1, bins + 1).astype(dtype)[:, None]
    assert reliability(np.zeros(edges.shape), edges, bins).count.tolist() == [[1] * (bins - 1) + [2]]


def test_reliability_without_images_is_undefined() -> None:
    found = reliability(np.zeros((0, 2)), np.zeros((0, 2), dtype=np.float32))
    assert found.count.tolist() == [[0] * 15] * 2
    assert np.isnan(found.confidence).all()
    assert np.isnan(found.frequency).all()
    assert np.isnan(found.error).all()


# --- temperature


def test_the_fitted_temperature_is_the_true_one_and_improves_calibration() -> None:
    truth = [0.4, 1.0, 2.5]
    labels, probabilities = overconfident(truth)
    temperature = fit_temperature(labels, probabilities)
    assert temperature == pytest.approx(truth, rel=0.05)
    unseen, raw = overconfident(truth, seed=1)
    scaled = apply_temperature(raw, temperature)
    before, after = reliability(unseen, raw).error, reliability(unseen, scaled).error
    assert (after < 0.015).all()
    assert (before[[0, 2]] > 5 * after[[0, 2]]).all()


@pytest.mark.parametrize("seed", range(3))
def test_no_other_temperature_has_a_lower_cross_entropy(seed: int) -> None:
    """This also holds for biased probabilities, which temperature scaling cannot correct."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((300, 1)) < 0.2).astype(np.uint8)
    probabilities = expit(3 * labels + rng.normal(0.5, 2, labels.shape))
    (found,) = fit_temperature(labels, probabilities)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 5001))
    logits = logit(probabilities) / grid
    losses = (np.logaddexp(0, logits) - labels * logits).mean(axis=0)
    assert found == pytest.approx(grid[np.argmin(losses)], rel=2e-3)
    assert log_loss(labels[:, 0], apply_temperature(probabilities, np.array([found]))[:, 0]) <= losses.min() + 1e-12


def test_each_attribute_has_its_own_temperature() -> None:
    labels, probabilities = overconfident([0.5, 3.0], n=2000)
    both = fit_temperature(labels, probabilities)
    alone = [fit_temperature(labels[:, [k]], probabilities[:, [k]])[0] for k in range(2)]
    assert both.tolist() == alone
    clipped = probabilities.astype(float).clip(1e-7, 1 - 1e-7)
    np.testing.assert_allclose(apply_temperature(probabilities, both), expit(logit(clipped) / both), rtol=1e-9)


@pytest.mark.parametrize("labels", [np.zeros((9, 1)), np.ones((9, 1)), np.zeros((0, 1))])
def test_the_temperature_is_one_for_a_single_class_or_no_images(labels: np.ndarray) -> None:
    probabilities = np.linspace(0.1, 0.9, len(labels), dtype=np.float32)[:, None]
    temperature = fit_temperature(labels, probabilities)
    assert temperature.tolist() == [1.0]
    np.testing.assert_allclose(apply_temperature(probabilities, temperature), probabilities, rtol=1e-6)


def test_the_temperature_is_limited_and_is_one_if_it_has_no_effect() -> None:
    labels = np.array([[0], [1]])
    assert fit_temperature(labels, np.array([[0.4], [0.6]])).tolist() == [
        0.05
    ]  # The classes are perfectly separated, so the optimal temperature is 0.
    assert fit_temperature(labels, np.array([[0.6], [0.4]])).tolist() == [
        20.0
    ]  # The ranking is reversed, so the optimal temperature is infinite.
    assert fit_temperature(labels, np.array([[0.5], [0.5]])).tolist() == [1.0]


def test_probabilities_of_zero_and_one_are_allowed() -> None:
    labels, probabilities = overconfident([3.0], n=5000)
    probabilities[:50], probabilities[50:100] = 0, 1
    temperature = fit_temperature(labels, probabilities)
    assert 1 < temperature[0] < 20
    scaled = apply_temperature(probabilities, temperature)
    assert ((scaled > 0) & (scaled < 1)).all()


def test_scaling_keeps_the_order_and_the_decisions() -> None:
    labels, probabilities = overconfident([3.0], n=5000)
    probabilities[:2, 0] = 0.5, np.nextafter(np.float32(0.5), np.float32(0))
    raw = probabilities.copy()
    scaled = apply_temperature(probabilities, np.array([3.0]))
    np.testing.assert_array_equal(probabilities, raw)
    np.testing.assert_array_equal(scaled >= 0.5, raw >= 0.5)
    assert scaled[0, 0] == 0.5
    assert roc_auc_score(labels, scaled) == pytest.approx(roc_auc_score(labels, raw), abs=1e-12)
    # A tuned threshold is scaled in the same way as the probabilities.
    threshold = apply_temperature(np.array([0.3]), np.array([3.0]))
    np.testing.assert_array_equal(scaled >= threshold, raw >= 0.3)
