"""How accuracy differs between the groups that another attribute makes, and whether associations are exaggerated."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list

from celeba_lab import figures
from celeba_lab.analyses.cooccurrence import Cooccurrence, cluster_attributes
from celeba_lab.analyses.groups import amplification_pairs, subgroup_pairs, subgroup_table
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.reports.classifier.result import EvaluationResult, percent
from celeba_lab.reports.page.page import PageTable, Section

# The pair that the literature on spurious correlations measures (Sagawa et al., "Distributionally Robust Neural
# Networks for Group Shifts", ICLR 2020): shown whatever its gap is.
NAMED = ("Blond_Hair", "Male")
_DRAWN = 12  # pairs whose cells are drawn; more would not be read
_PAIR_COLUMNS = {
    "target": "target",
    "group": "group",
    "worst": "worst cell",
    "worst_images": "images",
    "worst_accuracy": "accuracy",
    "worst_low": "low",
    "worst_high": "high",
    "gap": "gap",
    "equalised_odds_difference": "equalised-odds difference",
    "few_subgroups": "cells with few images",
}
_CELL_COLUMNS = {
    "cell": "cell",
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
    "images_predictions": "said to have B",
    "labels": "among labels",
    "predictions": "among predictions",
    "difference": "difference",
    "few": "few",
}


def report_groups(result: EvaluationResult, smallest: int) -> tuple[Section, dict[str, float]]:
    """Measure every target in the four cells that each attribute makes with it.

    Args:
        result: the groups are made by all forty true labels.
        smallest: cells of fewer images are marked, and are no worst cell.

    Returns:
        The section, and ``split/worst_cell_accuracy``: of the worst cell of all, where one has enough images.
    """
    found = result.predictions
    cells = subgroup_table(found.labels, found.predicted, result.names, result.all_labels(), ATTRIBUTES, smallest)
    pairs = subgroup_pairs(cells)
    result.run.table(f"group_cells_{result.split}", cells)
    worst = [_name_cell(*row) for row in pairs[["target", "group", "worst_label", "worst_member"]].to_numpy()]
    shown = [
        result.table(
            "groups",
            pairs.assign(worst=worst),
            "Every target by every group, the largest equalised-odds difference first",
            columns=_PAIR_COLUMNS,
        )
    ]
    drawn = pairs[pairs["gap"].notna()].head(_DRAWN)[["target", "group"]].apply(tuple, axis=1).tolist()
    if NAMED[0] in result.names:
        drawn = [NAMED, *(pair for pair in drawn if pair != NAMED)][:_DRAWN]
        shown.insert(0, _named_table(result, cells))
    by_pair = cells.set_index(["target", "group"])
    figure = figures.subgroup_accuracy(
        pd.concat([by_pair.loc[[pair]] for pair in drawn]).reset_index() if drawn else cells.head(0),
        title=result.title,
        note=f"Pairs with the largest equalised-odds differences; 95 % intervals; few: under {smallest} images",
    )
    pictures = [
        result.picture("group_cells", figure, "Accuracy in each cell with its 95 % interval, worst cells in red.")
    ]
    if len(result.names) > 1:
        pictures.append(
            result.picture(
                "groups", _draw_odds(result, pairs, smallest), "The equalised-odds difference of every pair."
            )
        )
    worst_accuracy = pairs["worst_accuracy"].min()
    metrics = {} if np.isnan(worst_accuracy) else {f"{result.split}/worst_cell_accuracy": float(worst_accuracy)}
    return Section("Groups", _describe(pairs, smallest, result.split), tables=shown, pictures=pictures), metrics


def _name_cell(target: str, group: str, label: float, member: float) -> str:
    if np.isnan(label):
        return "none with enough images"
    return f"{'' if label else 'not '}{target}, {'' if member else 'not '}{group}"


def _named_table(result: EvaluationResult, cells: pd.DataFrame) -> PageTable:
    target, group = NAMED
    rows = cells[(cells["target"] == target) & (cells["group"] == group)]
    names = [_name_cell(*row) for row in rows[["target", "group", "label", "member"]].to_numpy()]
    frame = rows.assign(cell=names)[list(_CELL_COLUMNS)]
    return PageTable(f"{target} by {group}", frame, file=f"tables/group_cells_{result.split}.csv")


def _draw_odds(result: EvaluationResult, pairs: pd.DataFrame, smallest: int) -> Figure:
    table = pairs.pivot(index="target", columns="group", values="equalised_odds_difference")
    return figures.matrix_heatmap(
        table.reindex(index=result.names, columns=list(ATTRIBUTES)).to_numpy(),
        result.names,
        list(ATTRIBUTES),
        label="equalised-odds difference",
        title=result.title,
        note="How far true or false positive rates of a target (row) differ between who has another attribute (column)"
        f" and who has not. Grey: a cell of fewer than {smallest} images",
        limits=(0, 1),
        row_title="target",
        column_title="group",
    )


def _describe(pairs: pd.DataFrame, smallest: int, split: str) -> str:
    text = (
        "Each target is measured in four cells: with and without the attribute itself, in and out of the group that"
        " another attribute makes. A high accuracy can hide a cell in which most answers are wrong."
    )
    known = pairs[pairs["gap"].notna()]
    if len(known):
        worst = known.iloc[int(known["worst_accuracy"].argmin())]
        cell = _name_cell(worst["target"], worst["group"], worst["worst_label"], worst["worst_member"])
        text += (
            f" The worst of all: of the {int(worst['worst_images']):,} images of '{cell}'"
            f" {percent(worst['worst_accuracy'])} are told right."
        )
    if len(pairs) and not np.isnan(odds := pairs["equalised_odds_difference"].iloc[0]):
        first = pairs.iloc[0]
        text += (
            f" Groups differ most for {first['target']} by {first['group']}: true or false positive rates are"
            f" {odds:.3f} apart."
        )
    return text + (
        "\n\nThe gap is the highest accuracy of a pair's cells minus the lowest: large for every attribute that is"
        " rarely called present. The equalised-odds difference compares like with like: it is the larger difference"
        " of true and of false positive rates between members of the group and others. Cells of fewer than"
        f" {smallest} images are marked as few, and count for neither; they are in tables/group_cells_{split}.csv with"
        " the others. With so many pairs some differences are chance: mind the intervals."
    )


def report_amplification(result: EvaluationResult, smallest: int) -> tuple[Section | None, dict[str, float]]:
    """Compare P(A | B) among the predictions with P(A | B) among the labels.

    Args:
        result: of at least two attributes; else there is no section.
        smallest: pairs whose B has fewer images are marked, and grey in the figure.

    Returns:
        The section, and ``split/amplification``: the mean absolute difference over the pairs that are not marked.
    """
    found, names = result.predictions, result.names
    if len(names) < 2:
        return None, {}
    pairs = amplification_pairs(found.labels, found.predicted, names, smallest)
    shown = result.table(
        "amplification",
        pairs,
        "P(A | B) among labels and predictions, the largest difference first",
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
        label="P(A | B) among predictions minus labels",
        title=result.title,
        scale="diverging",
        row_title="A",
        column_title="B",
        note=f"Red: A accompanies B more often than in the labels. Grey: fewer than {smallest} images with B",
    )
    picture = result.picture("amplification", figure, "P(A | B) among the predictions minus among the labels.")
    text = (
        "Does the classifier exaggerate what goes together? Red cells: among its answers attribute A (row) goes with"
        " B (column) more often than among the labels. A whole red or blue row is no association: A is said too"
        " often or too rarely everywhere."
    )
    if not len(known):
        return Section("Bias amplification", text, tables=[shown], pictures=[picture]), {}
    mean, first = float(known["difference"].abs().mean()), known.iloc[0]
    text += (
        f" The mean absolute difference is {mean:.3f}. The largest: P({first['A']} | {first['B']}) is"
        f" {first['predictions']:.3f} among predictions and {first['labels']:.3f} among labels."
    )
    section = Section("Bias amplification", text, tables=[shown], pictures=[picture])
    return section, {f"{result.split}/amplification": mean}
