"""Tables of a classifier's scores and mistakes, and a function that prints scores."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from celeba_lab.analyses.calibration import reliability
from celeba_lab.analyses.intervals import wilson_interval
from celeba_lab.analyses.predictions import Predictions
from celeba_lab.console import show_metrics
from celeba_lab.data.annotations import SPLITS
from celeba_lab.models.classifier.metrics import AttributeMetrics


def attribute_table(
    labels: np.ndarray,
    probabilities: np.ndarray,
    attributes: Sequence[str],
    threshold: float = 0.5,
    bins: int = 15,
) -> pd.DataFrame:
    """Return a table of prevalence, majority-class accuracy and scores, with one row per attribute.

    ``accuracy_low`` and ``accuracy_high`` are the bounds of the 95% Wilson interval, ``ece`` is the expected
    calibration error, and ``gain`` is the accuracy minus the majority-class accuracy. Undefined values are NaN.

    Args:
        labels: True labels, uint8 (N, K), 0 or 1.
        probabilities: Predicted probabilities, float32 (N, K), in [0, 1].
        attributes: Names of the K attributes.
        threshold: Probability at or above which an attribute is predicted to be present.
        bins: Number of probability bins for the calibration error.
    """
    metrics = AttributeMetrics(len(attributes), threshold, synchronize=False)
    metrics.update(torch.from_numpy(probabilities), torch.from_numpy(labels))
    scores = {name: value.numpy() for name, value in metrics.compute().items()}
    prevalence = labels.mean(axis=0)
    majority = np.maximum(prevalence, 1 - prevalence)
    n = len(labels)
    low, high = wilson_interval(np.rint(scores["accuracy"] * n), np.full(len(prevalence), n))
    return pd.DataFrame(
        {
            "attribute": list(attributes),
            "images": n,
            "prevalence": prevalence,
            "majority_accuracy": majority,
            **scores,
            "ece": reliability(labels, probabilities, bins).error,
            "accuracy_low": low,
            "accuracy_high": high,
            # The gain is float32, like the accuracy, so that predicting the majority class has a gain of exactly 0.
            "gain": scores["accuracy"] - majority.astype(np.float32),
        }
    )


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
        metrics = AttributeMetrics(len(predictions.attributes), ranking=False, synchronize=False)
        predicted = torch.from_numpy(predictions.probabilities >= chosen)
        metrics.update(predicted, torch.from_numpy(predictions.labels))
        table[f"{prefix}threshold"] = chosen
        table |= {f"{prefix}{name}": value.numpy() for name, value in metrics.compute().items()}
    return pd.DataFrame(table)


def mean_majority_accuracy(table: pd.DataFrame) -> float:
    """Return the majority-class accuracy, averaged over the rows of an attribute table."""
    return float(table["majority_accuracy"].mean())


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
