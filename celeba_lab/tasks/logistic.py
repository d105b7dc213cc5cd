"""Predict each attribute from the other ones."""

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from sklearn.base import ClassifierMixin

from celeba_lab import figures
from celeba_lab.analyses.predictions import Predictions
from celeba_lab.analyses.regression import Regression, regress_each
from celeba_lab.analyses.sampling import LabelSample, split_officially, split_randomly
from celeba_lab.console import console, progress, show_table
from celeba_lab.data.describe import summary_of_data
from celeba_lab.engine.build import sample_labels
from celeba_lab.errors import UserError, did_you_mean, enumerate_names
from celeba_lab.reports.classifier.scores import attribute_table
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.run import RunFolder, log_settings, open_run, show_ending, task_name

SPLIT_WAYS = ("random", "official")
_SHOWN = {
    "attribute": "attribute",
    "majority_accuracy": "majority",
    "accuracy": "accuracy",
    "gain": "gain",
    "balanced_accuracy": "balanced",
    "auroc": "auroc",
}


def logistic(
    cfg: DictConfig,
    classifier: ClassifierMixin,
    split: str = "random",
    test_size: float = 0.2,
    attributes: list[str] | None = None,
    fraction: float = 1.0,
    workers: int | None = None,
) -> dict[str, float]:
    """Fit a classifier for each attribute on the labels of the others, and measure it on rows it has not seen.

    Args:
        cfg: the configuration.
        classifier: of scikit-learn, with ``predict_proba``.
        split: ``random`` divides all rows in use, ``official`` fits CelebA's train and measures its test partition.
        test_size: of the random split, a fraction.
        attributes: at least two; all forty by default.
        fraction: of the rows in use.
        workers: attributes at a time; one for each core by default.

    Returns:
        ``test/metric``, the mean over the attributes for which it is defined, and ``test/metric/attribute``.

    Raises:
        UserError: a setting or the data cannot be used.
    """
    if split not in SPLIT_WAYS:
        hint = did_you_mean(split, SPLIT_WAYS)
        raise UserError(f"task.split={split}: it can be {' or '.join(SPLIT_WAYS)}.{hint}")
    sample = sample_labels(cfg, attributes, fraction)
    if len(sample.attributes) < 2:
        raise UserError("task.attributes names one attribute; at least two are needed, to predict one from another.")
    train, test = _split(sample, split, test_size, cfg.seed)
    labels = sample.datamodule.annotations.labels[:, sample.datamodule.annotations.columns(sample.attributes)]
    run = open_run(cfg)
    with run.timed("compute"):
        fits = regress_each(labels[train], labels[test], classifier, workers)
        results = list(progress(fits, "fitting", len(sample.attributes)))
        table = regression_table(results, labels[test], sample.attributes)
    title = f"{sample.source} · {type(classifier).__name__}, {split} split"
    with run.timed("report"):
        run.table("attributes", table)
        _draw(run, table, results, title)
    metrics = _metrics(table)
    log_settings(cfg, run, {name: value for name, value in metrics.items() if name.count("/") == 1})
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=summary_of_data(sample.datamodule),
        rows={"train": len(train), "test": len(test)},
        metrics=metrics,
        majority_accuracy={"test": _majority(table)},
        device=device_name(torch.device("cpu")),
    )
    _show(table, title)
    show_ending(run.path, [])
    return metrics


def regression_table(results: list[Regression], labels: np.ndarray, attributes: list[str]) -> pd.DataFrame:
    """Return one row per attribute: all of :func:`attribute_table`, log loss and convergence.

    Args:
        results: one for each attribute, in their order.
        labels: (N, K) of 0 and 1, of the rows to test.
        attributes: K names.
    """
    probabilities = np.stack([result.probability for result in results], axis=1)
    fitted = np.array([result.fitted for result in results])
    said = Predictions("test", [], np.arange(len(labels)), labels, np.nan_to_num(probabilities), attributes, 0.5)
    table = attribute_table(said)
    right = np.where(labels == 1, probabilities, 1 - probabilities)
    table.insert(list(table).index("gain"), "log_loss", -np.log(np.maximum(right, 1e-7)).mean(axis=0))
    measured = table.columns.difference(["attribute", "images", "prevalence", "majority_accuracy"])
    table.loc[~fitted, measured] = np.nan
    table["iterations"] = [result.iterations for result in results]
    table["converged"] = [result.converged for result in results]
    table["fitted"] = fitted
    return table


def _split(sample: LabelSample, split: str, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if split == "official":
        return split_officially(sample.rows, sample.datamodule.annotations.partition)
    return split_randomly(sample.rows, test_size, seed)


def _coefficients(results: list[Regression]) -> np.ndarray:
    """Return the log odds, (K, K): along a row, what each other attribute adds to the odds of this one."""
    return np.stack([result.coefficients for result in results])


def _majority(table: pd.DataFrame) -> float:
    """Return the mean accuracy of the majority class, over the attributes that have a model."""
    return float(table.loc[table["fitted"], "majority_accuracy"].mean())


def _draw(run: RunFolder, table: pd.DataFrame, results: list[Regression], title: str) -> None:
    names = table["attribute"].tolist()
    for metric, baseline in (
        ("accuracy", table["majority_accuracy"].to_numpy(np.float32)),  # in the precision of the score
        ("balanced_accuracy", np.full(len(table), 0.5)),
    ):
        words = metric.replace("_", " ")
        note = "Baseline: always saying what the majority of the faces has"
        picture = figures.attribute_scores(
            table[metric].to_numpy(), baseline, names, metric=words, title=title, note=note
        )
        run.figure(metric, picture)
    coefficients = _coefficients(results)
    if np.isnan(coefficients).all():
        console.print("this classifier has no coefficients: odds ratios are left out")
        return
    odds = np.exp(coefficients)
    run.matrix("odds_ratios", odds, names, names, corner="attribute")
    note = "For each attribute (bold) the three others that raise its odds most, and the three that lower them most"
    run.figure(
        "odds_ratios",
        figures.matrix_heatmap(
            odds,
            names,
            names,
            label="odds ratio",
            scale="ratio",
            limits=(1 / 64, 64),
            note="By what factor the odds of an attribute (row) change when another (column) is present, the rest being"
            " equal",
            row_title="predicted attribute",
            column_title="given that this attribute is present",
            title=title,
        ),
    )
    run.figure("associations", figures.top_associations(odds, names, title=title, note=note))


def _metrics(table: pd.DataFrame) -> dict[str, float]:
    scores = table.drop(columns=["attribute", "images", "prevalence", "majority_accuracy", "iterations", "converged"])
    scores = scores.drop(columns="fitted").astype(float)
    metrics = {f"test/{name}": float(scores[name].mean()) for name in scores}
    for name in scores:
        metrics |= {f"test/{name}/{a}": float(v) for a, v in zip(table["attribute"], scores[name], strict=True)}
    return metrics


def _show(table: pd.DataFrame, title: str) -> None:
    show_table(title, table[list(_SHOWN)].rename(columns=_SHOWN).sort_values("gain", ascending=False))
    console.print(f"mean accuracy {table['accuracy'].mean():.4f}, of the majority class {_majority(table):.4f}")
    if not table["fitted"].all():
        constant = table.loc[~table["fitted"], "attribute"]
        console.print(f"no model for {enumerate_names(constant)}: all rows to fit have the same label", style="yellow")
    unfinished = table.loc[table["converged"].eq(False), "attribute"]
    if len(unfinished):
        console.print(
            f"NOT CONVERGED: {enumerate_names(unfinished)}; raise task.classifier.max_iter", style="bold yellow"
        )
    elif table["iterations"].any():
        console.print(f"converged, in at most {table['iterations'].max()} iterations")
