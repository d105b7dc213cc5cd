"""Subgroups of a target and a group, the worst subgroup, and amplified associations."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, recall_score

from celeba_lab.analyses.groups import SUBGROUPS, amplification_pairs, subgroup_pairs, subgroup_table


def biased(n: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, predictions and groups. Predictions of the first target are random for blond men only."""
    rng = np.random.default_rng(0)
    labels, members = rng.integers(0, 2, (n, 2)), rng.integers(0, 2, (n, 2))
    predicted = np.where(rng.random((n, 2)) < 0.95, labels, 1 - labels)
    unlucky = (labels[:, 0] == 1) & (members[:, 1] == 1)
    predicted[unlucky, 0] = rng.integers(0, 2, unlucky.sum())
    return labels, predicted, members


def test_each_subgroup_equals_scikit_learn() -> None:
    labels, predicted, members = biased()
    subgroups = subgroup_table(labels, predicted, ["Blond_Hair", "Young"], members, ["Young", "Male"], smallest=5)
    assert list(zip(subgroups["target"], subgroups["group"], strict=True))[::4] == [
        ("Blond_Hair", "Young"),
        ("Blond_Hair", "Male"),
        ("Young", "Male"),  # The pair (Young, Young) is omitted.
    ]
    for row in subgroups.itertuples():
        k, g = ["Blond_Hair", "Young"].index(row.target), ["Young", "Male"].index(row.group)
        inside = (labels[:, k] == row.label) & (members[:, g] == row.member)
        assert row.images == inside.sum()
        assert row.accuracy == pytest.approx(accuracy_score(labels[inside, k], predicted[inside, k]))
        correct = int((labels[inside, k] == predicted[inside, k]).sum())
        interval = binomtest(correct, int(inside.sum())).proportion_ci(method="wilson")
        assert (row.low, row.high) == pytest.approx((interval.low, interval.high))
        assert not row.few


def test_the_worst_subgroup_of_a_constructed_bias_is_found() -> None:
    labels, predicted, members = biased()
    subgroups = subgroup_table(labels, predicted, ["Blond_Hair", "Young"], members, ["Young", "Male"], smallest=5)
    worst = subgroup_pairs(subgroups).iloc[0]
    assert (worst["target"], worst["group"], worst["worst_label"], worst["worst_member"]) == (
        "Blond_Hair",
        "Male",
        1,
        1,
    )
    inside = (labels[:, 0] == 1) & (members[:, 1] == 1)
    assert worst["worst_images"] == inside.sum()
    assert worst["worst_accuracy"] == pytest.approx(np.mean(labels[inside, 0] == predicted[inside, 0]))
    accuracies = subgroups[(subgroups["target"] == "Blond_Hair") & (subgroups["group"] == "Male")]["accuracy"]
    assert worst["gap"] == pytest.approx(accuracies.max() - accuracies.min())
    assert worst["gap"] > 0.4


def test_equalised_odds_is_the_larger_difference_of_the_two_rates() -> None:
    labels, predicted, members = biased()
    pairs = subgroup_pairs(
        subgroup_table(labels[:, :1], predicted[:, :1], ["Blond_Hair"], members[:, 1:], ["Male"], smallest=5)
    )
    rates = []
    for member in (0, 1):
        rows = members[:, 1] == member
        tpr = recall_score(labels[rows, 0], predicted[rows, 0])
        fpr = 1 - recall_score(labels[rows, 0], predicted[rows, 0], pos_label=0)
        rates.append((tpr, fpr))
    expected = max(abs(rates[0][0] - rates[1][0]), abs(rates[0][1] - rates[1][1]))
    assert pairs["equalised_odds_difference"].item() == pytest.approx(expected)


def test_small_subgroups_are_marked_and_excluded() -> None:
    """The only blond man is misclassified, but his subgroup is too small to be the worst one."""
    labels = np.array([[1]] * 10 + [[0]] * 20 + [[1]])
    members = np.array([[0]] * 10 + [[0]] * 10 + [[1]] * 10 + [[1]])
    predicted = labels.copy()
    predicted[0], predicted[-1] = 0, 0
    subgroups = subgroup_table(labels, predicted, ["Blond_Hair"], members, ["Male"], smallest=5)
    assert subgroups["images"].tolist() == [10, 10, 10, 1]
    assert subgroups["accuracy"].tolist() == [1, 1, 0.9, 0]
    assert subgroups["few"].tolist() == [False, False, False, True]
    [pair] = subgroup_pairs(subgroups).to_dict("records")
    assert (pair["worst_label"], pair["worst_member"], pair["worst_accuracy"]) == (1, 0, 0.9)
    assert pair["gap"] == pytest.approx(0.1)
    assert np.isnan(pair["equalised_odds_difference"])
    assert pair["few_subgroups"] == 1


def test_an_empty_subgroup_is_undefined() -> None:
    subgroups = subgroup_table(np.ones((6, 1)), np.ones((6, 1)), ["Bald"], np.zeros((6, 1)), ["Male"], smallest=2)
    assert subgroups["images"].tolist() == [0, 0, 6, 0]
    assert subgroups["accuracy"].isna().tolist() == [True, True, False, True]
    assert subgroups["few"].tolist() == [True, True, False, True]
    [pair] = subgroup_pairs(subgroups).to_dict("records")
    assert (pair["worst_label"], pair["worst_images"]) == (1, 6)
    assert np.isnan(pair["gap"])


@pytest.mark.parametrize("n", [0, 1])
def test_all_values_are_undefined_with_too_few_images(n: int) -> None:
    empty = np.ones((n, 1), dtype=np.uint8)
    pairs = subgroup_pairs(subgroup_table(empty, empty, ["Bald"], empty, ["Male"], smallest=2))
    assert pairs["few_subgroups"].tolist() == [4]
    assert pairs.filter(like="worst_").isna().all(axis=None)


def test_a_target_is_not_paired_with_itself() -> None:
    labels = np.ones((3, 1))
    assert subgroup_pairs(subgroup_table(labels, labels, ["Bald"], labels, ["Bald"], smallest=1)).empty


def test_the_largest_difference_is_first_and_undefined_ones_are_last() -> None:
    labels, predicted, members = biased()
    pairs = subgroup_pairs(subgroup_table(labels, predicted, ["a", "b"], members, ["c", "d"], smallest=5))
    odds = pairs["equalised_odds_difference"].tolist()
    assert odds == sorted(odds, reverse=True)
    members[:, 0] = 0  # This group is empty, so only two subgroups are left.
    pairs = subgroup_pairs(subgroup_table(labels, predicted, ["a", "b"], members, ["c", "d"], smallest=5))
    assert pairs["group"].tolist() == ["d", "d", "c", "c"]
    assert pairs["equalised_odds_difference"].isna().tolist() == [False, False, True, True]


def test_the_subgroups_come_in_a_fixed_order() -> None:
    labels, predicted, members = biased(50)
    subgroups = subgroup_table(labels[:, :1], predicted[:, :1], ["a"], members, ["c", "d"], smallest=1)
    assert list(zip(subgroups["label"], subgroups["member"], strict=True)) == [*SUBGROUPS, *SUBGROUPS]


# -- amplification ---------------------------------------------------------------------------------------------------


def test_amplification_equals_values_computed_by_hand() -> None:
    """One of two blond faces is female, and the classifier predicts both as female."""
    labels = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])  # Blond_Hair, woman
    predicted = np.array([[1, 1], [1, 1], [0, 1], [0, 0]])
    pairs = amplification_pairs(labels, predicted, ["Blond_Hair", "woman"], smallest=1).set_index(["A", "B"])
    row = pairs.loc[("woman", "Blond_Hair")]
    assert (row["labels"], row["predictions"], row["difference"]) == (0.5, 1.0, 0.5)
    assert (row["images_labels"], row["images_predictions"]) == (2, 2)
    row = pairs.loc[("Blond_Hair", "woman")]
    assert (row["labels"], row["predictions"]) == (0.5, pytest.approx(2 / 3))
    assert pairs.index[0] == ("woman", "Blond_Hair")  # The largest difference is first.


def test_pairs_that_are_never_predicted_have_no_difference_and_rare_pairs_are_last() -> None:
    labels = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 0], [0, 0, 0]])
    predicted = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    pairs = amplification_pairs(labels, predicted, ["a", "b", "c"], smallest=2)
    never = pairs[pairs["B"] == "c"]
    assert never["difference"].isna().all()
    assert never["few"].all()
    assert pairs["few"].tolist() == sorted(pairs["few"])
    assert pairs["difference"].isna().tolist() == sorted(pairs["difference"].isna())
    assert isinstance(pairs, pd.DataFrame)
    assert len(pairs) == 6
