"""The scores of a classifier, as tables."""

import numpy as np
import pandas as pd
import torch

from celeba_lab.analyses.calibration import reliability
from celeba_lab.analyses.intervals import wilson_interval
from celeba_lab.analyses.predictions import Predictions
from celeba_lab.models.classifier.metrics import AttributeMetrics


def attribute_table(predictions: Predictions, bins: int = 15) -> pd.DataFrame:
    """Return one row per attribute: prevalence, the majority class's accuracy, every metric, the gain in accuracy.

    ``accuracy_low`` and ``accuracy_high`` are the ends of the 95 % Wilson interval, ``ece`` is the expected calibration
    error; undefined values are NaN.

    Args:
        predictions: to measure.
        bins: of the probability, for the calibration error.
    """
    metrics = AttributeMetrics(len(predictions.attributes), predictions.threshold, synchronise=False)
    probabilities, labels = torch.from_numpy(predictions.probabilities), torch.from_numpy(predictions.labels)
    metrics.update(torch.tensor(0.0), probabilities, labels)
    scores = {name: value.numpy() for name, value in metrics.compute().items() if name != "loss"}
    prevalence = predictions.labels.mean(axis=0)
    majority = np.maximum(prevalence, 1 - prevalence)
    n = len(predictions.labels)
    low, high = wilson_interval(np.rint(scores["accuracy"] * n), np.full(len(prevalence), n))
    return pd.DataFrame(
        {
            "attribute": list(predictions.attributes),
            "images": len(predictions.labels),
            "prevalence": prevalence,
            "majority_accuracy": majority,
            **scores,
            "ece": reliability(predictions.labels, predictions.probabilities, bins).error,
            # In the accuracy's own precision: a model that says what the majority is has a gain of 0, not of 1e-9.
            "accuracy_low": low,  # of the 95 % interval
            "accuracy_high": high,
            "gain": scores["accuracy"] - majority.astype(np.float32),
        }
    )


def threshold_table(predictions: Predictions, thresholds: np.ndarray) -> pd.DataFrame:
    """Return one row per attribute: scores at the default threshold and, as ``tuned_...``, at another one.

    Args:
        predictions: to measure.
        thresholds: (K,), chosen on other images.
    """
    table: dict[str, object] = {"attribute": list(predictions.attributes)}
    default = np.full(len(thresholds), predictions.threshold)
    for prefix, chosen in (("", default), ("tuned_", thresholds)):
        metrics = AttributeMetrics(len(predictions.attributes), ranking=False, synchronise=False)
        said = torch.from_numpy(predictions.probabilities >= chosen)
        metrics.update(torch.tensor(0.0), said, torch.from_numpy(predictions.labels))
        scores = metrics.compute()
        table[f"{prefix}threshold"] = chosen
        table |= {f"{prefix}{name}": value.numpy() for name, value in scores.items() if name != "loss"}
    return pd.DataFrame(table)


def mean_majority_accuracy(table: pd.DataFrame) -> float:
    """Return the accuracy of always saying the majority class, mean over the attributes of :func:`attribute_table`."""
    return float(table["majority_accuracy"].mean())


def mistakes(predictions: Predictions) -> pd.DataFrame:
    """Return every wrong (image, attribute) pair, the most confident first.

    Columns: ``row`` (in the predictions), image_id, attribute, label, probability, ``confidence`` (of what was said,
    0.5 to 1 at a threshold of 0.5).
    """
    said = predictions.said
    rows, columns = np.nonzero(said != predictions.labels)
    probability = predictions.probabilities[rows, columns]
    frame = pd.DataFrame(
        {
            "row": rows,
            "image_id": np.array(predictions.image_ids, dtype=object)[rows],
            "attribute": np.array(predictions.attributes, dtype=object)[columns],
            "label": predictions.labels[rows, columns],
            "probability": probability,
            "confidence": np.where(said[rows, columns] == 1, probability, 1 - probability),
        }
    )
    return frame.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)
