"""How well each attribute is told, beside always saying the majority class."""

import numpy as np
import pandas as pd

from celeba_lab import figures
from celeba_lab.reports.classifier.result import EvaluationResult, first_names, percent
from celeba_lab.reports.classifier.scores import attribute_table, mean_majority_accuracy
from celeba_lab.reports.page.page import Picture, Section

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


def report_attributes(result: EvaluationResult, bins: int = 15) -> tuple[Section, pd.DataFrame]:
    """Write every score of every attribute, its confusion, curves and scores; also return the table.

    Args:
        result: Predictions to report.
        bins: Number of bins of the probability for the calibration error.
    """
    found, names = result.predictions, result.names
    table = attribute_table(found.labels, found.probabilities, names, found.threshold, bins)
    shown = result.table("attributes", table, "Every score of every attribute", columns=_COLUMNS)
    pictures = [
        _draw_accuracy(result, table),
        _draw_confusion(result),
        *_draw_curves(result, table),
        _draw_scores(result),
    ]
    _add_precision_recall(result)
    return Section("Attributes", _describe(result, table, bins), tables=[shown], pictures=pictures), table


def _draw_accuracy(result: EvaluationResult, table: pd.DataFrame) -> Picture:
    figure = figures.attribute_scores(
        table["accuracy"],
        table["majority_accuracy"],
        result.names,
        metric="accuracy",
        title=result.title,
        note="Accuracy of each attribute beside that of always saying the majority class",
    )
    caption = "Accuracy of each attribute; the tick is what always saying the majority class would reach."
    return result.picture("accuracy", figure, caption)


def _draw_confusion(result: EvaluationResult) -> Picture:
    found = result.predictions
    figure = figures.confusion_matrices(
        found.labels, found.probabilities, result.names, threshold=found.threshold, title=result.title
    )
    return result.picture("confusion", figure, "What was said of the images of each true class.")


def _draw_curves(result: EvaluationResult, table: pd.DataFrame) -> list[Picture]:
    labels, probabilities, names = result.predictions.labels, result.predictions.probabilities, result.names
    roc = figures.roc_curves(labels, probabilities, names, areas=table["auroc"], title=result.title)
    curves = figures.precision_recall_curves(
        labels, probabilities, names, areas=table["average_precision"], title=result.title
    )
    caption = "Precision against recall at every threshold; the dashed line is the prevalence."
    return [
        result.picture("roc", roc, "True against false positives at every threshold."),
        result.picture("precision_recall", curves, caption),
    ]


def _draw_scores(result: EvaluationResult) -> Picture:
    found = result.predictions
    figure = figures.score_histograms(
        found.labels, found.probabilities, result.names, threshold=found.threshold, title=result.title
    )
    return result.picture("scores", figure, "The probabilities of the two true classes.")


def _describe(result: EvaluationResult, table: pd.DataFrame, bins: int) -> str:
    ordered = table.sort_values("gain", ascending=False, kind="stable")["attribute"].tolist()
    right = (result.predictions.predicted == result.predictions.labels).mean(
        axis=1
    )  # (N,) share of right answers per image
    half = 1.96 * right.std(ddof=1) / np.sqrt(len(right)) if len(right) > 1 else np.nan
    majority = mean_majority_accuracy(table)
    lines = [
        f"{percent(table['accuracy'].mean(), 2)} of the answers are right (± {percent(half, 2)}: the 95 % interval over"
        f" {len(right):,} images); always saying the majority class is right for {percent(majority, 2)}.",
    ]
    if len(table) > 1:
        lines[0] += f" The pictures help most with {first_names(ordered)}, least with {first_names(ordered[::-1])}."
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


def _add_precision_recall(result: EvaluationResult) -> None:
    if result.run.writer is None:
        return
    found = result.predictions
    for k, name in enumerate(result.names):
        result.run.writer.add_pr_curve(
            f"{result.split}/{name}", found.labels[:, k], found.probabilities[:, k], num_thresholds=127
        )
