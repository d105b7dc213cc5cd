"""Scores for each attribute, compared with always predicting the majority class."""

import numpy as np
import pandas as pd

from celeba_lab import figures
from celeba_lab.reports.attribute_table import attribute_table, mean_majority_accuracy
from celeba_lab.reports.classifier.result import EvaluationResult, first_names, percent
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
    """Write the scores for each attribute, with confusion matrices, curves and histograms.

    Args:
        result: Predictions to report.
        bins: Number of probability bins for the calibration error.

    Returns:
        The section, and the table from :func:`~celeba_lab.reports.attribute_table.attribute_table`.
    """
    found, names = result.predictions, result.names
    table = attribute_table(found.labels, found.probabilities, names, found.threshold, bins)
    shown = result.table("attributes", table, "Scores for each attribute", columns=_COLUMNS)
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
        note="Accuracy for each attribute, compared with always predicting the majority class",
    )
    caption = "Accuracy for each attribute. The tick shows the accuracy of always predicting the majority class."
    return result.picture("accuracy", figure, caption)


def _draw_confusion(result: EvaluationResult) -> Picture:
    found = result.predictions
    figure = figures.confusion_matrices(
        found.labels, found.probabilities, result.names, threshold=found.threshold, title=result.title
    )
    return result.picture("confusion", figure, "Number of images by true and predicted class.")


def _draw_curves(result: EvaluationResult, table: pd.DataFrame) -> list[Picture]:
    labels, probabilities, names = result.predictions.labels, result.predictions.probabilities, result.names
    roc = figures.roc_curves(labels, probabilities, names, areas=table["auroc"], title=result.title)
    curves = figures.precision_recall_curves(
        labels, probabilities, names, areas=table["average_precision"], title=result.title
    )
    caption = "Precision against recall at every threshold. The precision of random predictions equals the prevalence."
    return [
        result.picture("roc", roc, "True positive rate against false positive rate at every threshold."),
        result.picture("precision_recall", curves, caption),
    ]


def _draw_scores(result: EvaluationResult) -> Picture:
    found = result.predictions
    figure = figures.score_histograms(
        found.labels, found.probabilities, result.names, threshold=found.threshold, title=result.title
    )
    return result.picture("scores", figure, "Distribution of the predicted probability for each true class.")


def _describe(result: EvaluationResult, table: pd.DataFrame, bins: int) -> str:
    ordered = table.sort_values("gain", ascending=False, kind="stable")["attribute"].tolist()
    # Share of correct predictions for each image, (N,).
    right = (result.predictions.predicted == result.predictions.labels).mean(axis=1)
    half = 1.96 * right.std(ddof=1) / np.sqrt(len(right)) if len(right) > 1 else np.nan
    majority = mean_majority_accuracy(table)
    text = (
        f"{percent(table['accuracy'].mean(), 2)} of the predictions are correct (± {percent(half, 2)}, 95%"
        f" interval over {len(right):,} images). Always predicting the majority class would be correct in"
        f" {percent(majority, 2)} of cases."
    )
    if len(table) > 1:
        text += (
            f" The gain over the majority class is largest for {first_names(ordered)} and smallest for"
            f" {first_names(ordered[::-1])}."
        )
        if behind := int((table["gain"] < 0).sum()):
            text += (
                f" For {behind} of the {len(table)} attributes, always predicting the majority class is more accurate."
            )
    return text + (
        "\n\nThe columns low and high contain the bounds of the 95% Wilson interval for the accuracy. The gain is the"
        " accuracy minus the accuracy of always predicting the majority class. The balanced accuracy is the mean of the"
        " true positive rate and the true negative rate, and is 0.5 if the prediction is always the same. The"
        f" calibration error is the expected calibration error with {bins} bins. Undefined values, such as the"
        " precision when there are no positive predictions, are shown as dashes and excluded from means."
    )


def _add_precision_recall(result: EvaluationResult) -> None:
    """Send the precision-recall curve for each attribute to TensorBoard."""
    if result.run.writer is None:
        return
    found = result.predictions
    for k, name in enumerate(result.names):
        result.run.writer.add_pr_curve(
            f"{result.split}/{name}", found.labels[:, k], found.probabilities[:, k], num_thresholds=127
        )
