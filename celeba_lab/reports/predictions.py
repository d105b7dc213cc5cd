"""What a person is told about a classifier on one split: tables, figures and TensorBoard's precision-recall curves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from celeba_lab import figures
from celeba_lab.analyses.intervals import wilson_interval
from celeba_lab.analyses.thresholds import tune_thresholds
from celeba_lab.callbacks import CollectPredictions
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.models.metrics import AttributeMetrics
from celeba_lab.run import RunFolder

# Enough to see a pattern among the mistakes, few enough to read every caption.
MISTAKES_SHOWN = 24


@dataclass(frozen=True)
class Predictions:
    """What a classifier says about N labelled images.

    Attributes:
        split: train, val or test.
        image_ids: N file names.
        index: int64 (N,), their rows in the annotations.
        labels: uint8 (N, K) of 0 and 1.
        probabilities: float32 (N, K) in [0, 1].
        attributes: the K names.
        threshold: probability from which on an attribute is said to be present.
    """

    split: str
    image_ids: list[str]
    index: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    attributes: Sequence[str]
    threshold: float

    @classmethod
    def of(
        cls, collected: CollectPredictions, datamodule: CelebADataModule, split: str, threshold: float
    ) -> "Predictions":
        """Put names to what was collected from a pass over a split of the data."""
        return cls(
            split=split,
            image_ids=datamodule.image_ids(collected.index),
            index=collected.index,
            labels=collected.label,
            probabilities=collected.probability,
            attributes=datamodule.attributes,
            threshold=threshold,
        )


def attribute_table(predictions: Predictions) -> pd.DataFrame:
    """Return one row per attribute: prevalence, the majority class's accuracy, every metric, the gain in accuracy."""
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


def write_thresholds(
    run: RunFolder, tuned_on: Predictions, predictions: Predictions, criterion: str
) -> dict[str, float]:
    """Choose thresholds on one split, apply them to another, and write ``thresholds_<split>.csv``.

    Args:
        run: where it goes.
        tuned_on: the predictions whose labels choose.
        predictions: those that are measured; their labels have no say.
        criterion: see :func:`~celeba_lab.analyses.thresholds.tune_thresholds`.

    Returns:
        ``split/tuned_metric``, the mean over the attributes for which it is defined.
    """
    thresholds = tune_thresholds(tuned_on.labels, tuned_on.probabilities, criterion, tuned_on.threshold)
    table = threshold_table(predictions, thresholds)
    run.table(f"thresholds_{predictions.split}", table)
    tuned = [name for name in table if str(name).startswith("tuned_") and name != "tuned_threshold"]
    return {f"{predictions.split}/{name}": float(table[name].mean()) for name in tuned}


def mean_majority_accuracy(table: pd.DataFrame) -> float:
    """Return the accuracy of always saying the majority class, mean over the attributes of :func:`attribute_table`."""
    return float(table["majority_accuracy"].mean())


def prediction_table(predictions: Predictions) -> pd.DataFrame:
    """Return one row per image: ``image_id``, then label and probability of each attribute."""
    columns: dict[str, Sequence[object] | np.ndarray] = {"image_id": predictions.image_ids}
    for k, name in enumerate(predictions.attributes):
        columns[f"label/{name}"] = predictions.labels[:, k]
        columns[f"probability/{name}"] = predictions.probabilities[:, k]
    return pd.DataFrame(columns)


def mistakes(predictions: Predictions) -> pd.DataFrame:
    """Return every wrong (image, attribute) pair, the most confident first.

    Columns: ``row`` (in the predictions), image_id, attribute, label, probability, ``confidence`` (of what was said,
    0.5 to 1 at a threshold of 0.5).
    """
    said = predictions.probabilities >= predictions.threshold
    rows, columns = np.nonzero(said != predictions.labels.astype(bool))
    probability = predictions.probabilities[rows, columns]
    frame = pd.DataFrame(
        {
            "row": rows,
            "image_id": [predictions.image_ids[row] for row in rows.tolist()],
            "attribute": [predictions.attributes[column] for column in columns.tolist()],
            "label": predictions.labels[rows, columns],
            "probability": probability,
            "confidence": np.where(said[rows, columns], probability, 1 - probability),
        }
    )
    return frame.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)


def write_report(run: RunFolder, predictions: Predictions, datamodule: CelebADataModule, title: str) -> pd.DataFrame:
    """Write the tables and figures of one split; return the table of attributes.

    Args:
        run: where they go, ``<name>_<split>``.
        predictions: of the split.
        datamodule: where the faces of the mistakes are.
        title: names data and experiment in every figure.
    """
    split, title = predictions.split, f"{title} · {predictions.split}"
    table = attribute_table(predictions)
    run.table(f"attributes_{split}", table)
    run.table(f"predictions_{split}", prediction_table(predictions))
    wrong = mistakes(predictions)
    run.table(f"mistakes_{split}", wrong.drop(columns="row"))
    labels, probabilities, names = predictions.labels, predictions.probabilities, list(predictions.attributes)
    threshold = predictions.threshold
    drawn: dict[str, Callable[[], Figure]] = {
        "confusion": lambda: figures.confusion_matrices(labels, probabilities, names, threshold=threshold, title=title),
        "roc": lambda: figures.roc_curves(labels, probabilities, names, title=title),
        "precision_recall": lambda: figures.precision_recall_curves(labels, probabilities, names, title=title),
        "scores": lambda: figures.score_histograms(labels, probabilities, names, threshold=threshold, title=title),
    }
    if len(wrong):
        drawn["mistakes"] = lambda: _draw_mistakes(wrong.head(MISTAKES_SHOWN), predictions, datamodule, title)
    for name, draw in drawn.items():
        run.figure(f"{name}_{split}", draw())
    _add_precision_recall(run, predictions)
    return table


def _draw_mistakes(wrong: pd.DataFrame, predictions: Predictions, datamodule: CelebADataModule, title: str) -> Figure:
    images = datamodule.raw_images(predictions.index[wrong["row"].to_numpy()])
    captions = [
        figures.image_caption(name, label, probability, attribute, threshold=predictions.threshold)
        for name, label, probability, attribute in zip(
            wrong["image_id"], wrong["label"], wrong["probability"], wrong["attribute"], strict=True
        )
    ]
    return figures.face_grid(images, captions, title=f"{title} · the most confident mistakes")


def _add_precision_recall(run: RunFolder, predictions: Predictions) -> None:
    if run.writer is None:
        return
    for k, name in enumerate(predictions.attributes):
        run.writer.add_pr_curve(
            f"{predictions.split}/{name}", predictions.labels[:, k], predictions.probabilities[:, k], num_thresholds=127
        )
