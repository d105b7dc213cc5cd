"""Do the pixels help? The network beside what the other labels alone would tell, and beside the majority."""

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
    result: EvaluationResult, scores: pd.DataFrame, classifier: ClassifierMixin | None
) -> tuple[Section | None, dict[str, float]]:
    """Predict each attribute from the true labels of the 39 others, and set the network beside that.

    Args:
        result: the classifier learns from the labels of the train split; without one there is no section.
        scores: the table of :func:`~celeba_lab.reports.classifier.scores.attribute_table`.
        classifier: unfitted, of scikit-learn; None for no section.

    Returns:
        The section, and ``split/other_labels_accuracy``, the mean over the attributes.
    """
    data = result.datamodule
    train = data.split_indices("train")
    if classifier is None or not len(train):
        return None, {}
    targets = data.annotations.columns(result.names)
    truth = result.all_labels()
    accuracy = np.full(len(targets), np.nan)
    found = regress_each(data.annotations.labels[train], truth, classifier, targets=targets.tolist())
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
    others = f"other {len(ATTRIBUTES) - 1} labels"
    figure = figures.score_comparison(
        {
            "majority": ordered["majority_accuracy"],
            others: ordered["other_labels_accuracy"],
            "network": ordered["accuracy"],
        },
        ordered["attribute"].tolist(),
        metric="accuracy",
        title=result.title,
        note="What the image tells beyond the other labels; whiskers: the network's 95 % interval",
        low=ordered["accuracy_low"].to_numpy(),
        high=ordered["accuracy_high"].to_numpy(),
    )
    picture = result.picture("pixels", figure, "The network, the other labels, and the majority class.")
    text = _describe(result, table, ordered, type(classifier).__name__, len(train))
    metrics = (
        {f"{result.split}/other_labels_accuracy": float(np.nanmean(accuracy))} if not np.isnan(accuracy).all() else {}
    )
    return Section("Do the pixels help?", text, tables=[shown], pictures=[picture]), metrics


def _describe(result: EvaluationResult, table: pd.DataFrame, ordered: pd.DataFrame, classifier: str, rows: int) -> str:
    behind = table.loc[table["pixels_gain"] < 0, "attribute"].tolist()
    ahead = int((table["accuracy_low"] > table["other_labels_accuracy"]).sum())
    means = (f"{table[name].mean():.4f}" for name in ("accuracy", "other_labels_accuracy", "majority_accuracy"))
    text = (
        f"Beside the network, which sees the image and no label, stands a {classifier} that sees no image but the true"
        f" labels of the {len(ATTRIBUTES) - 1} other attributes; it learnt from the {rows:,} train images. Mean"
        " accuracy: {} for the network, {} for the labels, {} for the majority class.".format(*means)
    )
    text += f" The network is ahead by more than its interval for {ahead} of {len(table)} attributes"
    if len(table) > 1 and ahead:
        text += f", most with {first_names(ordered['attribute'].tolist())}"
    text += "."
    if behind:
        text += f" For {len(behind)} the labels know better: {', '.join(behind)}."
    return text
