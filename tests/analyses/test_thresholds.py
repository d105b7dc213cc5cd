"""Tuned thresholds are at least as good as every threshold on a grid."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from celeba_lab.analyses.thresholds import tune_thresholds
from celeba_lab.errors import UserError

SCORES = {"balanced_accuracy": balanced_accuracy_score, "f1": f1_score}


def some(n: int = 200, k: int = 3, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and informative probabilities with many ties."""
    rng = np.random.default_rng(0)
    labels = (rng.random((n, k)) < (0.5, 0.1, 0.8)).astype(np.uint8)
    probabilities = np.clip(0.25 * labels + 0.3 + 0.2 * rng.normal(size=(n, k)), 0, 1)
    return labels, probabilities.round(digits).astype(np.float32)


@pytest.mark.parametrize("criterion", SCORES)
def test_no_threshold_of_a_grid_is_better(criterion: str) -> None:
    """With two decimal places, the midpoints between adjacent probabilities cover every distinct threshold."""
    labels, probabilities = some()
    tuned = tune_thresholds(labels, probabilities, criterion)
    grid = (np.arange(102) - 0.5) / 100
    for k in range(3):
        values = [SCORES[criterion](labels[:, k], probabilities[:, k] >= threshold) for threshold in grid]
        reached = SCORES[criterion](labels[:, k], probabilities[:, k] >= tuned[k])
        assert reached == pytest.approx(max(values))


def test_ties_are_resolved_in_favour_of_the_default() -> None:
    """All thresholds between 0.2 and 0.9 separate the classes, and the midpoint, 0.55, is the only candidate."""
    labels, probabilities = np.array([[0], [0], [1], [1]]), np.array([[0.1], [0.2], [0.9], [0.95]])
    assert tune_thresholds(labels, probabilities, "f1") == pytest.approx([0.55])


def test_one_class_keeps_the_default() -> None:
    labels, probabilities = np.array([[0, 1], [0, 1]]), np.array([[0.3, 0.3], [0.6, 0.6]])
    assert tune_thresholds(labels, probabilities, "f1", default=0.4).tolist() == [0.4, 0.4]


def test_a_single_image_keeps_the_default_threshold() -> None:
    assert tune_thresholds(np.array([[1]]), np.array([[0.2]]), "balanced_accuracy").tolist() == [0.5]


def test_a_wrong_criterion_gives_a_one_sentence_error() -> None:
    with pytest.raises(UserError, match=r"criterion=f2 must be one of balanced_accuracy, f1"):
        tune_thresholds(*some(), "f2")
