"""The report for ``task=logistic``: scores of models that predict each attribute from the others."""

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin

from celeba_lab import figures
from celeba_lab.analyses.regression import Regression
from celeba_lab.console import console, show_table
from celeba_lab.errors import enumerate_names
from celeba_lab.reports.attribute_table import attribute_table
from celeba_lab.runs.folder import RunFolder

_SHOWN = {
    "attribute": "attribute",
    "majority_accuracy": "majority",
    "accuracy": "accuracy",
    "gain": "gain",
    "balanced_accuracy": "balanced",
    "auroc": "auroc",
}


def regression_table(results: list[Regression], labels: np.ndarray, attributes: list[str]) -> pd.DataFrame:
    """Return a table of scores, log loss and convergence, with one row per attribute.

    The score columns are the same as in :func:`~celeba_lab.reports.attribute_table.attribute_table`.

    Args:
        results: Regression results, one for each of the K attributes.
        labels: True labels of the test rows, (N, K), 0 or 1.
        attributes: Names of the K attributes.
    """
    probabilities = np.stack([result.probability for result in results], axis=1)
    fitted = np.array([result.fitted for result in results])
    table = attribute_table(labels, np.nan_to_num(probabilities), attributes)
    right = np.where(labels == 1, probabilities, 1 - probabilities)
    table.insert(list(table).index("gain"), "log_loss", -np.log(np.maximum(right, 1e-7)).mean(axis=0))
    measured = table.columns.difference(["attribute", "images", "prevalence", "majority_accuracy"])
    table.loc[~fitted, measured] = np.nan
    table["iterations"] = [result.iterations for result in results]
    table["converged"] = [result.converged for result in results]
    table["fitted"] = fitted
    return table


def regression_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Return the scores in a regression table as ``test/metric/attribute``, and their means as ``test/metric``."""
    scores = table.drop(columns=["attribute", "images", "prevalence", "majority_accuracy", "iterations", "converged"])
    scores = scores.drop(columns="fitted").astype(float)
    metrics = {f"test/{name}": float(scores[name].mean()) for name in scores}
    for name in scores:
        metrics |= {f"test/{name}/{a}": float(v) for a, v in zip(table["attribute"], scores[name], strict=True)}
    return metrics


def majority_accuracy(table: pd.DataFrame) -> float:
    """Return the majority-class accuracy, averaged over the attributes for which a model was fitted."""
    return float(table.loc[table["fitted"], "majority_accuracy"].mean())


def regression_title(sample: str, estimator: ClassifierMixin, split: str) -> str:
    """Return a title that describes the sample and names the estimator and the type of split."""
    return f"{sample} · {type(estimator).__name__}, {split} split"


def write_regressions(run: RunFolder, results: list[Regression], table: pd.DataFrame, title: str) -> None:
    """Write the scores for each attribute and, for a linear model, the odds ratios.

    Args:
        run: Run folder for the tables and figures.
        results: Regression results, one for each attribute.
        table: Table from :func:`regression_table`.
        title: Title for all figures.
    """
    run.table("attributes", table)
    names = table["attribute"].tolist()
    majority = table["majority_accuracy"].to_numpy(np.float32)  # same precision as the scores
    coefficients = np.stack([result.coefficients for result in results])  # (K, K) log odds, one row per target
    if np.isnan(coefficients).all():
        console.print("Skipping the odds ratios, because this estimator has no coefficients.")
    else:  # These figures take the longest, so their drawing starts first.
        _write_odds(run, np.exp(coefficients), names, title)
    _draw_scores(run, table, "accuracy", majority, title)
    _draw_scores(run, table, "balanced_accuracy", np.full(len(table), 0.5), title)


def _draw_scores(run: RunFolder, table: pd.DataFrame, metric: str, baseline: np.ndarray, title: str) -> None:
    figure = figures.attribute_scores(
        table[metric].to_numpy(),
        baseline,
        table["attribute"].tolist(),
        metric=metric.replace("_", " "),
        title=title,
        note="Baseline: always predicting the majority class",
    )
    run.figure(metric, figure)


def _write_odds(run: RunFolder, odds: np.ndarray, names: list[str], title: str) -> None:
    """Write and draw the (K, K) matrix of odds ratios, with one row per predicted attribute."""
    run.matrix("odds_ratios", odds, names, names, corner="attribute")
    note = "The three attributes that most increase and the three that most decrease the odds of each attribute (bold)"
    run.figure("associations", figures.top_associations(odds, names, title=title, note=note))
    heatmap = figures.matrix_heatmap(
        odds,
        names,
        names,
        label="odds ratio",
        scale="ratio",
        limits=(1 / 64, 64),
        note="Factor by which the odds of an attribute (row) change if another attribute (column) is present and all"
        " other attributes are held constant",
        row_title="predicted attribute",
        column_title="given that this attribute is present",
        title=title,
    )
    run.figure("odds_ratios", heatmap)


def show_regressions(table: pd.DataFrame, title: str) -> None:
    """Print the scores for each attribute and the mean accuracy, and report solvers that did not converge."""
    show_table(title, table[list(_SHOWN)].rename(columns=_SHOWN).sort_values("gain", ascending=False))
    console.print(f"mean accuracy {table['accuracy'].mean():.4f}, majority class {majority_accuracy(table):.4f}")
    if not table["fitted"].all():
        constant = table.loc[~table["fitted"], "attribute"]
        console.print(
            f"No model was fitted for attributes whose training labels are all the same: {enumerate_names(constant)}.",
            style="yellow",
        )
    unfinished = table.loc[table["converged"].eq(False), "attribute"]
    if len(unfinished):
        console.print(
            f"NOT CONVERGED: {enumerate_names(unfinished)}. Increase the estimator's max_iter.", style="bold yellow"
        )
    elif table["iterations"].any():
        console.print(f"All solvers converged within {table['iterations'].max()} iterations.")
