"""Accuracy in subgroups, and amplification of associations between attributes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from celeba_lab.analyses.cooccurrence import Cooccurrence, count_together
from celeba_lab.analyses.intervals import wilson_interval

SUBGROUPS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""The four subgroups of a pair, each as (true label of the target, membership in the group)."""


def subgroup_table(
    labels: np.ndarray,
    predicted: np.ndarray,
    targets: Sequence[str],
    members: np.ndarray,
    groups: Sequence[str],
    smallest: int,
) -> pd.DataFrame:
    """Compute the accuracy for each target in the four subgroups defined by its true label and another attribute.

    Args:
        labels: True labels of the targets, of shape (N, K), each 0 or 1.
        predicted: Predicted labels of the targets, of shape (N, K), each 0 or 1.
        targets: Names of the K targets.
        members: True labels of the attributes that define the groups, of shape (N, G), each 0 or 1.
        groups: Names of the G groups. A target is never paired with a group of the same name.
        smallest: Minimum number of images per subgroup. Smaller subgroups are marked in the column ``few``.

    Returns:
        A table with four rows per pair, ordered by target and then by group. The columns are ``target``, ``group``,
        ``label`` (true label of the target), ``member`` (membership in the group), ``images``, ``accuracy``, ``low``
        and ``high`` (the 95% Wilson interval for the accuracy), and ``few``, which is true if there are fewer than
        ``smallest`` images. The accuracy and its interval are NaN in an empty subgroup.

    Example:
        >>> smiling, male = np.array([[0], [0], [1], [1]]), np.array([[0], [1], [0], [1]])
        >>> table = subgroup_table(smiling, male, ["Smiling"], male, ["Male"], smallest=1)
        >>> table[["label", "member", "images", "accuracy"]]
           label  member  images  accuracy
        0      0       0       1       1.0
        1      0       1       1       0.0
        2      1       0       1       0.0
        3      1       1       1       1.0
    """
    images, correct = _count(labels, predicted, members)
    low, high = wilson_interval(correct, images)
    with np.errstate(invalid="ignore"):
        accuracy = correct / images
    pairs = [(k, g) for k, target in enumerate(targets) for g, group in enumerate(groups) if target != group]
    first, second = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))

    def column(values: np.ndarray) -> np.ndarray:
        return values[:, first, second].T.ravel()

    return pd.DataFrame(
        {
            "target": np.repeat(np.array(targets, dtype=object)[first], 4),
            "group": np.repeat(np.array(groups, dtype=object)[second], 4),
            "label": np.tile([label for label, _ in SUBGROUPS], len(pairs)),
            "member": np.tile([member for _, member in SUBGROUPS], len(pairs)),
            "images": column(images),
            "accuracy": column(accuracy),
            "low": column(low),
            "high": column(high),
            "few": column(images) < smallest,
        }
    )


def _count(labels: np.ndarray, predicted: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of images and correct predictions in each subgroup, each int64 (4, K, G)."""
    right = labels == predicted
    images, correct = np.empty((2, 4, labels.shape[1], members.shape[1]), dtype=np.int64)
    for k, (label, member) in enumerate(SUBGROUPS):
        rows, columns = labels == label, members == member
        images[k] = count_together(rows, columns)
        correct[k] = count_together(rows & right, columns)
    return images, correct


def subgroup_pairs(subgroups: pd.DataFrame) -> pd.DataFrame:
    """Summarise each target-group pair in one row.

    Subgroups with too few images are ignored. Rows are sorted by the equalised odds difference in descending order,
    with undefined values last. In addition to ``target`` and ``group``, the table has these columns:

    - ``worst_label``, ``worst_member``, ``worst_images``, ``worst_accuracy``, ``worst_low``, ``worst_high``: values of
      the subgroup with the lowest accuracy.
    - ``gap``: the highest accuracy minus the lowest. The gap is undefined if fewer than two subgroups have enough
      images.
    - ``equalised_odds_difference``: the larger of the absolute differences in true positive rate and false positive
      rate between members and non-members (Hardt, Price and Srebro, "Equality of Opportunity in Supervised Learning",
      NeurIPS 2016). Fairlearn defines the equalised odds difference in the same way. The difference is undefined unless
      all four subgroups have enough images.
    - ``few_subgroups``: the number of subgroups with too few images.

    Args:
        subgroups: Table from :func:`subgroup_table`.
    """
    head = subgroups.iloc[::4][["target", "group"]].reset_index(drop=True)
    table = {name: subgroups[name].to_numpy().reshape(-1, 4) for name in ("images", "accuracy", "low", "high", "few")}
    few = table["few"] | (table["images"] == 0)
    accuracy = np.where(few, np.nan, table["accuracy"])
    counted = 4 - few.sum(axis=1)
    worst = np.where(few, np.inf, table["accuracy"]).argmin(axis=1) if len(head) else np.empty(0, dtype=np.int64)
    rows = np.arange(len(head))
    lowest, highest = np.where(few, np.inf, accuracy).min(axis=1), np.where(few, -np.inf, accuracy).max(axis=1)
    # For negatives, the accuracy is 1 - false positive rate. For positives, the accuracy is the true positive rate.
    odds = np.maximum(np.abs(accuracy[:, 1] - accuracy[:, 0]), np.abs(accuracy[:, 3] - accuracy[:, 2]))
    none = counted == 0
    label, member = (np.array(SUBGROUPS, dtype=float)[:, side][worst] for side in (0, 1))
    pairs = head.assign(
        worst_label=np.where(none, np.nan, label),
        worst_member=np.where(none, np.nan, member),
        worst_images=np.where(none, np.nan, table["images"][rows, worst].astype(float)),
        worst_accuracy=np.where(none, np.nan, table["accuracy"][rows, worst]),
        worst_low=np.where(none, np.nan, table["low"][rows, worst]),
        worst_high=np.where(none, np.nan, table["high"][rows, worst]),
        gap=np.where(counted >= 2, highest - lowest, np.nan),
        equalised_odds_difference=odds,
        few_subgroups=4 - counted,
    )
    return pairs.sort_values(["equalised_odds_difference", "gap"], ascending=False, kind="stable", ignore_index=True)


def amplification_pairs(
    labels: np.ndarray, predicted: np.ndarray, attributes: Sequence[str], smallest: int
) -> pd.DataFrame:
    """Compare P(A | B) in the predictions with P(A | B) in the labels.

    A classifier amplifies the association of A with B if P(A | B) is higher in its predictions than in the labels (Zhao
    et al., "Men Also Like Shopping: Reducing Gender Bias Amplification using Corpus-level Constraints", EMNLP 2017).

    Args:
        labels: True labels of shape (N, K), each 0 or 1.
        predicted: Predicted labels of shape (N, K), each 0 or 1.
        attributes: Names of the K attributes.
        smallest: Minimum number of images with B, which applies to both the labels and the predictions. Pairs with
            fewer images are marked in the column ``few``.

    Returns:
        A table with one row per ordered pair and the columns ``A``, ``B``, ``images_labels`` and ``images_predictions``
        (numbers of images with B), ``labels`` and ``predictions`` (P(A | B)), ``difference`` (predictions minus labels,
        or NaN if B never occurs) and ``few``. Rows are sorted by absolute difference in descending order. Pairs marked
        in ``few`` come after all other pairs, and undefined differences come last.
    """
    among_labels, among_predictions = Cooccurrence.of(labels), Cooccurrence.of(predicted)
    first, second = np.nonzero(~np.eye(len(attributes), dtype=bool))
    names = np.array(attributes, dtype=object)
    counts = [np.diag(found.joint)[second] for found in (among_labels, among_predictions)]
    frame = pd.DataFrame(
        {
            "A": names[first],
            "B": names[second],
            "images_labels": counts[0],
            "images_predictions": counts[1],
            "labels": among_labels.conditional[first, second],
            "predictions": among_predictions.conditional[first, second],
            "difference": (among_predictions.conditional - among_labels.conditional)[first, second],
            "few": np.minimum(*counts) < smallest,
        }
    )
    size = frame["difference"].abs()
    return (
        frame.assign(size=size)
        .sort_values(["few", "size"], ascending=[True, False], kind="stable", ignore_index=True)
        .drop(columns="size")
    )
