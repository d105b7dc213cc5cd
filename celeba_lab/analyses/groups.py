"""How well a classifier does in the groups that another attribute makes, and what it makes of their differences."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from celeba_lab.analyses.cooccurrence import Cooccurrence, count_together
from celeba_lab.analyses.intervals import wilson_interval

# The true label of the target and membership of the group: the four cells of a pair.
CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))


def group_cells(
    labels: np.ndarray,
    said: np.ndarray,
    targets: Sequence[str],
    members: np.ndarray,
    groups: Sequence[str],
    smallest: int,
) -> pd.DataFrame:
    """Count what was right in the four cells that a target's label and another attribute make.

    Args:
        labels: (N, K) of 0 and 1, the truth about the targets.
        said: (N, K) of 0 and 1, what the classifier said.
        targets: the K names.
        members: (N, G) of 0 and 1, who has the attributes that make the groups.
        groups: the G names; a group is left out for the target of its own name.
        smallest: a cell of fewer images is marked.

    Returns:
        Four rows for each pair, in the order of targets and groups: ``target``, ``group``, ``label`` (of the target)
        and ``member`` (of the group) as 0 or 1, ``images``, ``accuracy`` with its 95 % Wilson interval ``low`` and
        ``high``, all three NaN in an empty cell, and ``few``: there are fewer than ``smallest`` images.
    """
    right = labels == said
    images, correct = np.empty((2, 4, len(targets), len(groups)), dtype=np.int64)
    for cell, (label, member) in enumerate(CELLS):
        rows, columns = labels == label, members == member
        images[cell] = count_together(rows, columns)
        correct[cell] = count_together(rows & right, columns)
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
            "label": np.tile([label for label, _ in CELLS], len(pairs)),
            "member": np.tile([member for _, member in CELLS], len(pairs)),
            "images": column(images),
            "accuracy": column(accuracy),
            "low": column(low),
            "high": column(high),
            "few": column(images) < smallest,
        }
    )


def group_pairs(cells: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each pair of :func:`group_cells`, largest odds difference first, undefined ones last.

    Only cells with enough images count, as with three images of which one is wrong nothing is known:

    - ``worst_...``: the cell with the lowest accuracy.
    - ``gap``: the highest accuracy minus the lowest; undefined with fewer than two such cells.
    - ``equalised_odds_difference``: the larger of the differences, between members and others, of the true and of the
      false positive rate (Hardt, Price and Srebro, "Equality of Opportunity in Supervised Learning", 2016, as a number
      as in Fairlearn); undefined unless all four cells count.
    - ``few_cells``: how many do not count.
    """
    head = cells.iloc[::4][["target", "group"]].reset_index(drop=True)
    table = {name: cells[name].to_numpy().reshape(-1, 4) for name in ("images", "accuracy", "low", "high", "few")}
    few = table["few"] | (table["images"] == 0)
    accuracy = np.where(few, np.nan, table["accuracy"])
    counted = 4 - few.sum(axis=1)
    worst = np.where(few, np.inf, table["accuracy"]).argmin(axis=1) if len(head) else np.empty(0, dtype=np.int64)
    rows = np.arange(len(head))
    lowest, highest = np.where(few, np.inf, accuracy).min(axis=1), np.where(few, -np.inf, accuracy).max(axis=1)
    # The accuracy among true negatives is 1 - false positive rate, among true positives the true positive rate.
    odds = np.maximum(np.abs(accuracy[:, 1] - accuracy[:, 0]), np.abs(accuracy[:, 3] - accuracy[:, 2]))
    none = counted == 0
    label, member = (np.array(CELLS, dtype=float)[:, side][worst] for side in (0, 1))
    pairs = head.assign(
        worst_label=np.where(none, np.nan, label),
        worst_member=np.where(none, np.nan, member),
        worst_images=np.where(none, np.nan, table["images"][rows, worst].astype(float)),
        worst_accuracy=np.where(none, np.nan, table["accuracy"][rows, worst]),
        worst_low=np.where(none, np.nan, table["low"][rows, worst]),
        worst_high=np.where(none, np.nan, table["high"][rows, worst]),
        gap=np.where(counted >= 2, highest - lowest, np.nan),
        equalised_odds_difference=odds,
        few_cells=4 - counted,
    )
    return pairs.sort_values(["equalised_odds_difference", "gap"], ascending=False, kind="stable", ignore_index=True)


def amplification_pairs(labels: np.ndarray, said: np.ndarray, attributes: Sequence[str], smallest: int) -> pd.DataFrame:
    """Compare P(A | B) among what a classifier says with P(A | B) among the labels.

    After Zhao et al., "Men Also Like Shopping: Reducing Gender Bias Amplification using Corpus-level Constraints"
    (EMNLP 2017): a classifier that makes A follow B more closely than the labels do amplifies the association.

    Args:
        labels: (N, K) of 0 and 1, the truth.
        said: (N, K) of 0 and 1, what the classifier said.
        attributes: the K names.
        smallest: a pair whose B is rarer than this, among the labels or what was said, is marked.

    Returns:
        One row for each ordered pair, the largest absolute difference first: ``A``, ``B``, ``images_labels`` and
        ``images_predictions`` (with B), ``labels`` and ``predictions`` (P(A | B)), ``difference`` (predictions minus
        labels; undefined where B never occurs) and ``few``. Marked pairs come after the others, undefined ones last.
    """
    true, predicted = Cooccurrence.of(labels), Cooccurrence.of(said)
    first, second = np.nonzero(~np.eye(len(attributes), dtype=bool))
    names = np.array(attributes, dtype=object)
    counts = [np.diag(found.joint)[second] for found in (true, predicted)]
    frame = pd.DataFrame(
        {
            "A": names[first],
            "B": names[second],
            "images_labels": counts[0],
            "images_predictions": counts[1],
            "labels": true.conditional[first, second],
            "predictions": predicted.conditional[first, second],
            "difference": (predicted.conditional - true.conditional)[first, second],
            "few": np.minimum(*counts) < smallest,
        }
    )
    size = frame["difference"].abs()
    return (
        frame.assign(size=size)
        .sort_values(["few", "size"], ascending=[True, False], kind="stable", ignore_index=True)
        .drop(columns="size")
    )
