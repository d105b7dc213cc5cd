"""The numbers of contradictions match manual counts."""

import numpy as np
import pytest

from celeba_lab.analyses.contradictions import check_contradictions, count_contradictions
from celeba_lab.errors import UserError

NAMES = ["Bald", "Bangs", "Goatee", "No_Beard"]


def test_labels_and_predictions_are_counted() -> None:
    labels = np.array([[1, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 0]])
    predicted = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 0]])
    found = count_contradictions(labels, predicted, NAMES, [["No_Beard", "Goatee"], ["Bald", "Bangs"]])
    assert found.to_dict("list") == {
        "first": ["No_Beard", "Bald"],
        "second": ["Goatee", "Bangs"],
        "labels": [1, 2],
        "predictions": [3, 1],
        "labels_share": [0.25, 0.5],
        "predictions_share": [0.75, 0.25],
    }


def test_a_pair_with_an_unknown_attribute_is_omitted() -> None:
    nothing = np.zeros((3, 1))
    assert count_contradictions(nothing, nothing, ["Bald"], [["Bald", "Bangs"]]).empty


def test_without_images_the_shares_are_undefined() -> None:
    found = count_contradictions(np.zeros((0, 4)), np.zeros((0, 4)), NAMES, [["Bald", "Bangs"]])
    assert found["labels"].tolist() == [0]
    assert found[["labels_share", "predictions_share"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ([["Bald"]], r"^contradictions=\[\[Bald\]\] must be a list of pairs"),
        ([["Bald", "Bang"]], r"^contradictions=\[Bald,Bang\] contains 'Bang', .* Did you mean 'Bangs'"),
    ],
)
def test_the_error_for_an_invalid_pair_names_it(pairs: list[list[str]], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check_contradictions(pairs)
