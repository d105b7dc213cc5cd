"""Tables of scores and mistakes, on predictions that are small enough to check by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

from celeba_lab.analyses.predictions import Predictions
from celeba_lab.reports.attribute_table import attribute_table
from celeba_lab.reports.classifier.scores import mistakes


def predictions(labels, probabilities, threshold=0.5, **options) -> Predictions:
    labels, probabilities = np.array(labels, dtype=np.uint8), np.array(probabilities, dtype=np.float32)
    n, count = labels.shape
    named = {
        "image_ids": [f"{row + 1:06d}.jpg" for row in range(n)],
        "index": np.arange(n),
        "attributes": [f"attribute_{k}" for k in range(count)],
        **options,
    }
    return Predictions(split="val", labels=labels, probabilities=probabilities, threshold=threshold, **named)


def table_of(found: Predictions) -> pd.DataFrame:
    return attribute_table(found.labels, found.probabilities, found.attributes, found.threshold)


# Four faces and two attributes. At a threshold of 0.5, the predictions are [1, 0], [1, 1], [0, 0] and [1, 0], and
# (1, 0), (2, 1), (3, 0) and (3, 1) are wrong.
FOUR = predictions([[1, 0], [0, 1], [0, 1], [0, 1]], [[0.9, 0.2], [0.6, 0.7], [0.1, 0.4], [0.95, 0.05]])


def test_all_mistakes_are_listed_with_the_most_confident_first():
    found = mistakes(FOUR)
    assert list(zip(found["row"], found["attribute"], strict=True)) == [
        (3, "attribute_0"),  # Both have a confidence of 0.95, so they stay in the order of the attributes.
        (3, "attribute_1"),
        (1, "attribute_0"),
        (2, "attribute_1"),
    ]
    assert found["image_id"].tolist() == ["000004.jpg", "000004.jpg", "000002.jpg", "000003.jpg"]
    assert found["label"].tolist() == [0, 1, 0, 1]
    assert found["probability"].tolist() == pytest.approx([0.95, 0.05, 0.6, 0.4])
    assert found["confidence"].tolist() == pytest.approx([0.95, 0.95, 0.6, 0.6])
    assert found.index.tolist() == [0, 1, 2, 3]


def test_the_mistakes_depend_on_the_threshold():
    found = mistakes(predictions([[1], [1], [0], [0]], [[0.3], [0.1], [0.25], [0.2]], threshold=0.25))
    assert found["row"].tolist() == [
        1,
        2,
    ]  # A probability equal to the threshold counts as present, but the label is absent.
    assert found["confidence"].tolist() == pytest.approx([0.9, 0.25])


def test_the_table_is_empty_without_mistakes():
    found = mistakes(predictions([[1], [0]], [[0.9], [0.1]]))
    assert len(found) == 0
    assert {"image_id", "attribute", "label", "probability", "confidence"} <= set(found)


def test_the_number_of_mistakes_agrees_with_the_accuracy():
    generator = np.random.default_rng(0)
    some = predictions(
        generator.integers(0, 2, (200, 5)), generator.integers(0, 101, (200, 5)) / np.float32(100), threshold=0.35
    )
    accuracy = table_of(some).set_index("attribute")["accuracy"]
    wrong = mistakes(some)["attribute"].value_counts()
    np.testing.assert_allclose(1 - wrong[accuracy.index] / 200, accuracy, rtol=1e-6)


def test_the_gain_is_relative_to_the_majority_class():
    table = table_of(FOUR).set_index("attribute")
    assert table["images"].tolist() == [4, 4]
    assert table["prevalence"].tolist() == [0.25, 0.75]
    assert table["majority_accuracy"].tolist() == [0.75, 0.75]
    assert table["accuracy"].tolist() == [0.5, 0.5]
    assert table["gain"].tolist() == [-0.25, -0.25]
    assert table["precision"].tolist() == pytest.approx([1 / 3, 1.0])
    assert table["recall"].tolist() == pytest.approx([1.0, 1 / 3])
    for k in range(2):
        column = FOUR.labels[:, k], FOUR.probabilities[:, k]
        assert table["auroc"].iloc[k] == pytest.approx(roc_auc_score(*column))
        assert table["average_precision"].iloc[k] == pytest.approx(average_precision_score(*column))
    assert "loss" not in table


def test_the_table_uses_the_given_threshold():
    labels, probabilities = [[1], [1], [0], [0]], [[0.3], [0.1], [0.2], [0.2]]
    assert table_of(predictions(labels, probabilities))["accuracy"].tolist() == [0.5]
    assert table_of(predictions(labels, probabilities, threshold=0.25))["accuracy"].tolist() == [0.75]


@pytest.mark.parametrize("present", [0, 1])
def test_scores_of_an_attribute_with_a_single_class_are_undefined(present):
    table = table_of(predictions([[present], [present]], [[0.9], [0.8]]))
    assert table["majority_accuracy"].tolist() == [1.0]
    assert table["gain"].tolist() == [present - 1.0]
    assert table[["auroc", "average_precision", "balanced_accuracy"]].isna().all(axis=None)


def test_the_calibration_error_equals_a_value_computed_by_hand():
    """One of the two faces with probability 0.9 has the attribute, and neither of the two with probability 0.2."""
    table = table_of(predictions([[1], [0], [0], [0]], [[0.9], [0.9], [0.2], [0.2]]))
    assert table["ece"].item() == pytest.approx((2 * 0.4 + 2 * 0.2) / 4)


def test_the_accuracy_has_a_confidence_interval() -> None:
    labels = np.array([[1]] * 9 + [[0]], dtype=np.uint8)
    row = attribute_table(labels, np.full((10, 1), 0.9, dtype=np.float32), ["Male"]).iloc[0]
    expected = binomtest(9, 10).proportion_ci(method="wilson")
    assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((expected.low, expected.high))
