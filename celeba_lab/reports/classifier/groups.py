"""Accuracy in subgroups, and amplified associations between attributes."""

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list

from celeba_lab import figures
from celeba_lab.analyses.cooccurrence import Cooccurrence, cluster_attributes
from celeba_lab.analyses.groups import amplification_pairs, subgroup_pairs, subgroup_table
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.reports.classifier.result import EvaluationResult, percent
from celeba_lab.reports.page.page import PageTable, Picture, Section

# Standard example in the literature on spurious correlations (Sagawa et al., "Distributionally Robust Neural Networks
# for Group Shifts", ICLR 2020). This pair is shown even if other pairs have larger differences.
NAMED = ("Blond_Hair", "Male")
_DRAWN = 12  # Maximum number of pairs in the figure. More pairs would be hard to read.
_PAIR_COLUMNS = {
    "target": "target",
    "group": "group",
    "worst": "worst subgroup",
    "worst_images": "images",
    "worst_accuracy": "accuracy",
    "worst_low": "low",
    "worst_high": "high",
    "gap": "gap",
    "equalised_odds_difference": "equalised odds difference",
    "few_subgroups": "subgroups with few images",
}
_SUBGROUP_COLUMNS = {
    "subgroup": "subgroup",
    "images": "images",
    "accuracy": "accuracy",
    "low": "low",
    "high": "high",
    "few": "few",
}
_AMPLIFICATION_COLUMNS = {
    "A": "A",
    "B": "B",
    "images_labels": "images with B",
    "images_predictions": "predicted to have B",
    "labels": "among labels",
    "predictions": "among predictions",
    "difference": "difference",
    "few": "few",
}


def report_groups(result: EvaluationResult, smallest: int) -> tuple[Section, dict[str, float]]:
    """Evaluate each target in the four subgroups defined by its label and another attribute.

    Args:
        result: Predictions to report. The groups are defined by the true labels of all forty attributes.
        smallest: Minimum number of images in a subgroup. Smaller subgroups are marked and cannot be the worst subgroup.

    Returns:
        The section, and ``split/worst_subgroup_accuracy``, the lowest accuracy among subgroups that are large enough.
        This metric is omitted if all subgroups are too small.
    """
    found = result.predictions
    subgroups = subgroup_table(found.labels, found.predicted, result.names, result.all_labels(), ATTRIBUTES, smallest)
    pairs = subgroup_pairs(subgroups)
    result.run.table(f"subgroups_{result.split}", subgroups)
    worst = [_name(*row) for row in pairs[["target", "group", "worst_label", "worst_member"]].to_numpy()]
    shown = [
        result.table(
            "groups",
            pairs.assign(worst=worst),
            "Pairs of a target and a group, sorted by the equalised odds difference",
            columns=_PAIR_COLUMNS,
        )
    ]
    if NAMED[0] in result.names:
        shown.insert(0, _named_table(result, subgroups))
    pictures = [_draw_subgroups(result, pairs, subgroups, smallest)]
    if len(result.names) > 1:
        pictures.append(_draw_odds(result, pairs, smallest))
    lowest = pairs["worst_accuracy"].min()
    metrics = {} if np.isnan(lowest) else {f"{result.split}/worst_subgroup_accuracy": float(lowest)}
    return Section("Groups", _describe(pairs, smallest, result.split), tables=shown, pictures=pictures), metrics


def _name(target: str, group: str, label: float, member: float) -> str:
    """Return the name of a subgroup. ``label`` and ``member`` are NaN if no subgroup is large enough."""
    if np.isnan(label):
        return "no subgroup with enough images"
    return f"{'' if label else 'not '}{target}, {'' if member else 'not '}{group}"


def _named_table(result: EvaluationResult, subgroups: pd.DataFrame) -> PageTable:
    target, group = NAMED
    rows = subgroups[(subgroups["target"] == target) & (subgroups["group"] == group)]
    names = [_name(*row) for row in rows[["target", "group", "label", "member"]].to_numpy()]
    frame = rows.assign(subgroup=names)[list(_SUBGROUP_COLUMNS)]
    return PageTable(f"{target} by {group}", frame, file=f"tables/subgroups_{result.split}.csv")


def _draw_subgroups(result: EvaluationResult, pairs: pd.DataFrame, subgroups: pd.DataFrame, smallest: int) -> Picture:
    """Draw the subgroups of the pairs with the largest equalised odds differences."""
    drawn = pairs[pairs["gap"].notna()].head(_DRAWN)[["target", "group"]].apply(tuple, axis=1).tolist()
    if NAMED[0] in result.names:
        drawn = [NAMED, *(pair for pair in drawn if pair != NAMED)][:_DRAWN]
    by_pair = subgroups.set_index(["target", "group"])
    figure = figures.subgroup_accuracy(
        pd.concat([by_pair.loc[[pair]] for pair in drawn]).reset_index() if drawn else subgroups.head(0),
        title=result.title,
        note="Pairs with the largest equalised odds differences, with 95% intervals. Grey: subgroups with fewer than"
        f" {smallest} images",
    )
    caption = "Accuracy in each subgroup, with its 95% interval. The worst subgroup of each pair is shown in orange."
    return result.picture("subgroups", figure, caption)


def _draw_odds(result: EvaluationResult, pairs: pd.DataFrame, smallest: int) -> Picture:
    table = pairs.pivot(index="target", columns="group", values="equalised_odds_difference")
    figure = figures.matrix_heatmap(
        table.reindex(index=result.names, columns=list(ATTRIBUTES)).to_numpy(),
        result.names,
        list(ATTRIBUTES),
        label="equalised odds difference",
        title=result.title,
        note="Difference in the true or false positive rate of a target (row) between images with and without another"
        f" attribute (column). Grey: a subgroup has fewer than {smallest} images",
        limits=(0, 1),
        row_title="target",
        column_title="group",
    )
    return result.picture("groups", figure, "Equalised odds difference for each pair.")


def _describe(pairs: pd.DataFrame, smallest: int, split: str) -> str:
    text = (
        "Each target attribute is evaluated in four subgroups, defined by whether the target and a second attribute"
        " (the group) are present. A high overall accuracy can hide a subgroup in which most predictions are"
        " wrong."
    )
    known = pairs[pairs["gap"].notna()]
    if len(known):
        worst = known.iloc[int(known["worst_accuracy"].argmin())]
        name = _name(worst["target"], worst["group"], worst["worst_label"], worst["worst_member"])
        text += (
            f" In the worst subgroup, '{name}', {percent(worst['worst_accuracy'])} of the"
            f" {int(worst['worst_images']):,} images are classified correctly."
        )
    if len(pairs) and not np.isnan(odds := pairs["equalised_odds_difference"].iloc[0]):
        first = pairs.iloc[0]
        text += (
            f" The largest equalised odds difference is {odds:.3f}, for the target {first['target']} and the group"
            f" {first['group']}."
        )
    return text + (
        "\n\nThe gap is the difference between the highest and the lowest subgroup accuracy of a pair. The"
        " gap is large for every attribute that is rarely predicted. The equalised odds difference compares images with"
        " the same label. It is the difference in true positive rate or false positive rate between images inside"
        f" and outside the group, whichever is larger. Subgroups with fewer than {smallest} images are marked in the"
        f" column few, and are excluded from the gap and the equalised odds difference. The file"
        f" tables/subgroups_{split}.csv contains all subgroups. With so many pairs, some differences are due to"
        " chance, so check the intervals."
    )


def report_amplification(result: EvaluationResult, smallest: int) -> tuple[Section | None, dict[str, float]]:
    """Compare P(A | B) among the predictions with P(A | B) among the labels.

    Args:
        result: Predictions to report.
        smallest: Minimum number of images with B. Pairs with fewer images are marked, and are grey in the figure.

    Returns:
        The section, and ``split/amplification``, the mean absolute difference over the pairs that are not marked. If
        there is only one attribute, the section is None.
    """
    found, names = result.predictions, result.names
    if len(names) < 2:
        return None, {}
    pairs = amplification_pairs(found.labels, found.predicted, names, smallest)
    shown = result.table(
        "amplification",
        pairs,
        "P(A | B) among labels and among predictions, sorted by the size of the difference",
        columns=_AMPLIFICATION_COLUMNS,
    )
    known = pairs[~pairs["few"]]
    table = known.pivot(index="A", columns="B", values="difference").reindex(index=names, columns=names).to_numpy()
    order = leaves_list(cluster_attributes(Cooccurrence.of(found.labels).phi))
    ordered = [names[k] for k in order]
    figure = figures.matrix_heatmap(
        table[np.ix_(order, order)],
        ordered,
        ordered,
        label="P(A | B), predictions minus labels",
        title=result.title,
        scale="diverging",
        row_title="A",
        column_title="B",
        note="Red: A occurs with B more often among the predictions than among the labels. Grey: fewer than"
        f" {smallest} images with B",
    )
    picture = result.picture("amplification", figure, "P(A | B) among the predictions minus P(A | B) among the labels.")
    text = (
        "This section shows whether the classifier exaggerates associations between attributes. In a red cell,"
        " attribute A (row) occurs with B (column) more often among the predictions than among the labels. A row that"
        " is entirely red or blue does not indicate an exaggerated association, but shows that A is predicted too"
        " often or too rarely overall."
    )
    if not len(known):
        return Section("Bias amplification", text, tables=[shown], pictures=[picture]), {}
    mean, first = float(known["difference"].abs().mean()), known.iloc[0]
    text += (
        f" The mean absolute difference is {mean:.3f}. The largest difference is for P({first['A']} |"
        f" {first['B']}), which is {first['predictions']:.3f} among the predictions and {first['labels']:.3f} among the"
        " labels."
    )
    section = Section("Bias amplification", text, tables=[shown], pictures=[picture])
    return section, {f"{result.split}/amplification": mean}
