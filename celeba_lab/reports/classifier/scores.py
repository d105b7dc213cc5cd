"""Tables of a classifier's scores and mistakes, and a function that prints scores."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from celeba_lab.analyses.predictions import Predictions
from celeba_lab.analyses.scores import attribute_scores
from celeba_lab.console import show_metrics
from celeba_lab.data.annotations import SPLITS


def threshold_table(predictions: Predictions, thresholds: np.ndarray) -> pd.DataFrame:
    """Return a table of scores at the default and tuned thresholds, with one row per attribute.

    The columns for the tuned threshold have the prefix ``tuned_``.

    Args:
        predictions: Predictions to evaluate.
        thresholds: Tuned threshold for each attribute, (K,).
    """
    table: dict[str, object] = {"attribute": list(predictions.attributes)}
    default = np.full(len(thresholds), predictions.threshold)
    for prefix, chosen in (("", default), ("tuned_", thresholds)):
        scores = attribute_scores(predictions.labels, predictions.probabilities, chosen, ranking=False)
        table[f"{prefix}threshold"] = chosen
        table |= {f"{prefix}{name}": value for name, value in scores.items()}
    return pd.DataFrame(table)


def mistakes(predictions: Predictions) -> pd.DataFrame:
    """Return a table with one row per wrong prediction, most confident first.

    The columns are ``row`` (index of the image in the predictions), ``image_id``, ``attribute``, ``label``,
    ``probability``, and ``confidence`` (the probability of the predicted class).
    """
    predicted = predictions.predicted
    rows, columns = np.nonzero(predicted != predictions.labels)
    probability = predictions.probabilities[rows, columns]
    frame = pd.DataFrame(
        {
            "row": rows,
            "image_id": np.array(predictions.image_ids, dtype=object)[rows],
            "attribute": np.array(predictions.attributes, dtype=object)[columns],
            "label": predictions.labels[rows, columns],
            "probability": probability,
            "confidence": np.where(predicted[rows, columns] == 1, probability, 1 - probability),
        }
    )
    return frame.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)


def show_evaluation(
    checkpoints: str, data_name: str | None, metrics: Mapping[str, float], majority_accuracy: Mapping[str, float]
) -> None:
    """Print the overall metrics of an evaluation under a title that names the checkpoints and the data."""
    show_scores(f"{checkpoints} on {data_name}", metrics, majority_accuracy)


def show_scores(title: str, metrics: Mapping[str, float], majority_accuracy: Mapping[str, float]) -> None:
    """Print the overall metrics, with one column per split.

    Args:
        title: Title of the table.
        metrics: Metrics with names of the form ``split/metric``.
        majority_accuracy: Majority-class accuracy on each split for which it is known.
    """
    columns: dict[str, dict[str, float]] = {split: {} for split in SPLITS}
    for name, value in metrics.items():
        split, _, metric = name.partition("/")
        if "/" not in metric:  # Scores for individual attributes are in tables/attributes_*.csv.
            columns[split][metric] = value
    for split, accuracy in majority_accuracy.items():
        columns[split]["accuracy of the majority class"] = accuracy
    show_metrics(title, {split: column for split, column in columns.items() if column})
