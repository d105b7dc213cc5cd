"""How well each attribute is told, beside always saying the majority class."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from celeba_lab import figures
from celeba_lab.reports.classifier.case import Case, first_names, percent
from celeba_lab.reports.classifier.scores import attribute_table, mean_majority_accuracy
from celeba_lab.reports.page.page import Section

_COLUMNS = {
    "attribute": "attribute",
    "prevalence": "prevalence",
    "majority_accuracy": "majority",
    "accuracy": "accuracy",
    "accuracy_low": "low",
    "accuracy_high": "high",
    "gain": "gain",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "average_precision": "average precision",
    "auroc": "AUROC",
    "ece": "calibration error",
}


def report_attributes(case: Case, bins: int = 15) -> tuple[Section, pd.DataFrame]:
    """Write every score of every attribute, its confusion, curves and scores; also return the table.

    Args:
        case: what is reported.
        bins: of the probability, for the calibration error.
    """
    found, names = case.predictions, case.names
    table = attribute_table(found, bins)
    ordered = table.sort_values("gain", ascending=False, kind="stable")
    shown = case.table("attributes", table, "Every score of every attribute", columns=_COLUMNS)
    labels, probabilities, threshold = found.labels, found.probabilities, found.threshold
    drawn: dict[str, tuple[Callable[[], Figure], str]] = {
        "accuracy": (
            lambda: figures.attribute_scores(
                table["accuracy"],
                table["majority_accuracy"],
                names,
                metric="accuracy",
                title=case.title,
                note="Accuracy of each attribute beside that of always saying the majority class",
            ),
            "Accuracy of each attribute; the tick is what always saying the majority class would reach.",
        ),
        "confusion": (
            lambda: figures.confusion_matrices(labels, probabilities, names, threshold=threshold, title=case.title),
            "What was said of the images of each true class.",
        ),
        "roc": (
            lambda: figures.roc_curves(labels, probabilities, names, title=case.title),
            "True against false positives at every threshold.",
        ),
        "precision_recall": (
            lambda: figures.precision_recall_curves(labels, probabilities, names, title=case.title),
            "Precision against recall at every threshold; the dashed line is the prevalence.",
        ),
        "scores": (
            lambda: figures.score_histograms(labels, probabilities, names, threshold=threshold, title=case.title),
            "The probabilities of the two true classes.",
        ),
    }
    pictures = [case.picture(name, draw(), caption) for name, (draw, caption) in drawn.items()]
    _add_precision_recall(case)
    return Section("Attributes", _describe(case, table, ordered, bins), tables=[shown], pictures=pictures), table


def _describe(case: Case, table: pd.DataFrame, ordered: pd.DataFrame, bins: int) -> str:
    right = (case.predictions.said == case.predictions.labels).mean(axis=1)  # (N,) share of right answers per image
    half = 1.96 * right.std(ddof=1) / np.sqrt(len(right)) if len(right) > 1 else np.nan
    majority = mean_majority_accuracy(table)
    lines = [
        f"{percent(table['accuracy'].mean(), 2)} of the answers are right (± {percent(half, 2)}: the 95 % interval over"
        f" {len(right):,} images); always saying the majority class is right for {percent(majority, 2)}.",
    ]
    if len(table) > 1:
        lines[0] += (
            f" The pictures help most with {first_names(ordered['attribute'].tolist())}, least with"
            f" {first_names(ordered['attribute'].tolist()[::-1])}."
        )
        behind = int((table["gain"] < 0).sum())
        if behind:
            lines[0] += f" {behind} of the {len(table)} attributes are told worse than by saying the majority class."
    lines.append(
        "Low and high are the ends of the 95 % interval of the accuracy (Wilson). Gain is the accuracy minus the"
        " majority's. Balanced accuracy is the mean of the accuracies of the two true classes: 0.5 for who always"
        f" says the same. The calibration error is the expected one in {bins} bins. What the images do not define,"
        " such as precision where nothing was called present, is left empty and leaves the means."
    )
    return "\n\n".join(lines)


def _add_precision_recall(case: Case) -> None:
    if case.run.writer is None:
        return
    found = case.predictions
    for k, name in enumerate(case.names):
        case.run.writer.add_pr_curve(
            f"{case.split}/{name}", found.labels[:, k], found.probabilities[:, k], num_thresholds=127
        )
