"""The scores of tables are those that training computes in batches."""

import numpy as np
import pytest
import torch

from celeba_lab.analyses.scores import attribute_scores
from celeba_lab.models.classifier.metrics import AttributeMetrics


def batch_metrics(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
    metrics = AttributeMetrics(labels.shape[1], threshold, synchronize=False)
    for rows in np.array_split(np.arange(len(labels)), 3):
        metrics.update(torch.from_numpy(probabilities[rows]), torch.from_numpy(labels[rows]))
    return {name: value.numpy() for name, value in metrics.compute().items()}


@pytest.mark.parametrize("columns", [1, 5])
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_scores_equal_the_metrics_of_training(columns: int, threshold: float) -> None:
    rng = np.random.default_rng(columns)
    labels = rng.integers(0, 2, (200, columns)).astype(np.uint8)
    # Rounded probabilities have ties, and some of them are equal to the threshold.
    probabilities = np.clip(rng.normal(0.4 + 0.2 * labels, 0.3), 0, 1).round(1).astype(np.float32)
    scores, expected = (
        attribute_scores(labels, probabilities, threshold),
        batch_metrics(labels, probabilities, threshold),
    )
    assert list(scores) == list(expected)
    for name, value in expected.items():
        assert scores[name].dtype == np.float32
        np.testing.assert_allclose(scores[name], value, rtol=1e-6, err_msg=name)


def test_undefined_scores_are_nan_as_in_training() -> None:
    labels = np.array([[0, 1, 0], [0, 1, 1], [0, 1, 0]], dtype=np.uint8)
    probabilities = np.array([[0.1, 0.9, 0.2], [0.2, 0.8, 0.1], [0.3, 0.7, 0.4]], dtype=np.float32)
    expected = batch_metrics(labels, probabilities, 0.5)
    for name, value in attribute_scores(labels, probabilities).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6, err_msg=name)
    assert np.isnan(expected["auroc"]).tolist() == [True, True, False]


def test_each_attribute_can_have_its_own_threshold() -> None:
    labels = np.array([[1, 1], [0, 0]], dtype=np.uint8)
    probabilities = np.array([[0.6, 0.6], [0.4, 0.4]], dtype=np.float32)
    scores = attribute_scores(labels, probabilities, np.array([0.5, 0.7]), ranking=False)
    assert scores["recall"].tolist() == [1, 0]
    assert "auroc" not in scores
