"""Compare the network with a model that uses only the labels of the other attributes, and with the majority class."""

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from celeba_lab import figures
from celeba_lab.analyses.regression import regress_each
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.reports.classifier.result import EvaluationResult, first_names
from celeba_lab.reports.page.page import Section

_COLUMNS = {
    "attribute": "attribute",
    "majority_accuracy": "majority",
    "other_labels_accuracy": "other labels",
    "accuracy": "network",
    "accuracy_low": "low",
    "accuracy_high": "high",
    "pixels_gain": "network minus other labels",
}


def report_pixels(
    result: EvaluationResult, scores: pd.DataFrame, estimator: ClassifierMixin | None
) -> tuple[Section | None, dict[str, float]]:
    """Compare the network with an estimator that predicts each attribute from the true labels of the other attributes.

    Args:
        result: Predictions to report. The estimator is fitted to the labels of the train split.
        scores: Table from :func:`~celeba_lab.reports.attribute_table.attribute_table`.
        estimator: Unfitted scikit-learn classifier. If None, the comparison is skipped.

    Returns:
        The section, and ``split/other_labels_accuracy``, averaged over the attributes. If the comparison is skipped or
        the train split is empty, the section is None.

    Raises:
        SettingError: The estimator rejects its parameters or the data.
    """
    data = result.datamodule
    train = data.split_indices("train")
    if estimator is None or not len(train):
        return None, {}
    targets = data.annotations.columns(result.names)
    truth = result.all_labels()
    accuracy = np.full(len(targets), np.nan)
    found = regress_each(data.annotations.labels[train], truth, estimator, targets=targets.tolist())
    for k, regression in enumerate(found):
        if regression.fitted:
            accuracy[k] = np.mean((regression.probability >= 0.5) == truth[:, regression.target])
    table = scores[["attribute", "majority_accuracy"]].assign(
        other_labels_accuracy=accuracy,
        **{name: scores[name] for name in ("accuracy", "accuracy_low", "accuracy_high")},
        pixels_gain=scores["accuracy"] - accuracy,
    )
    shown = result.table("pixels", table, "Accuracy with and without the image", columns=_COLUMNS)
    ordered = table.sort_values("pixels_gain", ascending=False, kind="stable")
    figure = figures.score_comparison(
        {
            "majority": ordered["majority_accuracy"],
            f"other {len(ATTRIBUTES) - 1} labels": ordered["other_labels_accuracy"],
            "network": ordered["accuracy"],
        },
        ordered["attribute"].tolist(),
        metric="accuracy",
        title=result.title,
        note="Accuracy with and without the image. Whiskers: 95% interval for the network",
        low=ordered["accuracy_low"].to_numpy(),
        high=ordered["accuracy_high"].to_numpy(),
    )
    picture = result.picture(
        "pixels",
        figure,
        "Accuracy of the network, of a model that uses the other labels, and of always predicting the majority class.",
    )
    text = _describe(table, ordered, type(estimator).__name__, len(train))
    metrics = (
        {f"{result.split}/other_labels_accuracy": float(np.nanmean(accuracy))} if not np.isnan(accuracy).all() else {}
    )
    return Section("Do the pixels help?", text, tables=[shown], pictures=[picture]), metrics


def _describe(table: pd.DataFrame, ordered: pd.DataFrame, estimator: str, rows: int) -> str:
    behind = table.loc[table["pixels_gain"] < 0, "attribute"].tolist()
    ahead = int((table["accuracy_low"] > table["other_labels_accuracy"]).sum())
    network, labels, majority = (
        table[name].mean() for name in ("accuracy", "other_labels_accuracy", "majority_accuracy")
    )
    text = (
        f"The network uses the image but no labels. The baseline is a {estimator} that predicts each attribute from"
        f" the true labels of the other {len(ATTRIBUTES) - 1} attributes and does not use the image. The baseline was"
        f" fitted to the labels of the {rows:,} training images. The mean accuracy is {network:.4f} for the network,"
        f" {labels:.4f} for the baseline and {majority:.4f} for always predicting the majority class. The"
        f" network's 95% interval is above the baseline's accuracy for {ahead} of {len(table)} attributes"
    )
    if len(table) > 1 and ahead:
        text += f", with the largest differences for {first_names(ordered['attribute'].tolist())}"
    text += "."
    if behind:
        text += f" Attributes for which the baseline is more accurate: {', '.join(behind)}."
    return text
