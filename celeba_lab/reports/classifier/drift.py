"""Differences between validation and the reported split."""

import numpy as np
import pandas as pd

from celeba_lab import figures
from celeba_lab.analyses.intervals import difference_interval
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.page.page import Picture, Section


def report_drift(result: EvaluationResult) -> Section | None:
    """Compare prevalence and accuracy of validation and the reported split; return None without validation."""
    if result.validation is None:
        return None
    table = drift_table(
        result.validation.labels, result.validation.predicted, result.predictions.labels, result.predictions.predicted
    )
    table.insert(0, "attribute", result.names)
    table.columns = table.columns.str.replace("split", result.split)
    columns = {"attribute": "attribute"}
    for what in ("prevalence", "accuracy"):
        columns |= {
            f"{what}_val": f"{what} validation",
            f"{what}_{result.split}": f"{what} {result.split}",
            f"{what}_difference": "difference",
            f"{what}_low": "low",
            f"{what}_high": "high",
        }
    shown = result.table("drift", table, f"Validation against {result.split}", columns=columns)
    pictures = [_draw(result, table, what) for what in ("accuracy", "prevalence")]
    return Section("Drift", _describe(result, table), tables=[shown], pictures=pictures)


def _draw(result: EvaluationResult, table: pd.DataFrame, what: str) -> Picture:
    size = table[f"{what}_difference"].abs()
    ordered = table.loc[size.sort_values(ascending=False, kind="stable").index]
    figure = figures.score_comparison(
        {"validation": ordered[f"{what}_val"], result.split: ordered[f"{what}_{result.split}"]},
        ordered["attribute"].tolist(),
        metric=what,
        title=result.title,
        note=f"{what.capitalize()} of validation and {result.split}, sorted by the size of the difference",
    )
    return result.picture(f"drift_{what}", figure, f"{what.capitalize()} of validation and {result.split}.")


def drift_table(
    val_labels: np.ndarray, val_predicted: np.ndarray, labels: np.ndarray, predicted: np.ndarray
) -> pd.DataFrame:
    """Return prevalence and accuracy of two splits, with the difference and its 95 % interval, one row per attribute.

    The columns, for both ``prevalence`` and ``accuracy``, are ``_val``, ``_split``, ``_difference`` (the split minus
    validation), ``_low`` and ``_high`` (Newcombe's interval of the difference).

    Args:
        val_labels: True labels of validation, (N, K), 0 or 1.
        val_predicted: Predicted labels of validation, (N, K), 0 or 1.
        labels: True labels of the split, (M, K), 0 or 1.
        predicted: Predicted labels of the split, (M, K), 0 or 1.
    """
    table: dict[str, np.ndarray] = {}
    trials = (np.full(labels.shape[1], len(val_labels)), np.full(labels.shape[1], len(labels)))
    for what, first, second in (
        ("prevalence", val_labels == 1, labels == 1),
        ("accuracy", val_labels == val_predicted, labels == predicted),
    ):
        counts = first.sum(axis=0), second.sum(axis=0)
        low, high = difference_interval(counts, trials)
        with np.errstate(invalid="ignore"):
            before, after = (count / n for count, n in zip(counts, trials, strict=True))
        table |= {
            f"{what}_val": before,
            f"{what}_split": after,
            f"{what}_difference": after - before,
            f"{what}_low": low,
            f"{what}_high": high,
        }
    return pd.DataFrame(table)


def _describe(result: EvaluationResult, table: pd.DataFrame) -> str:
    text = (
        f"Thresholds and temperatures that were chosen on validation suit {result.split} only if the two splits are"
        f" alike. The intervals are those of the difference, {result.split}"
        f" minus validation (Newcombe, 1998). By chance, about one in twenty of the {len(table)} attributes differs by"
        " more than its interval."
    )
    for what in ("prevalence", "accuracy"):
        outside = table[(table[f"{what}_low"] > 0) | (table[f"{what}_high"] < 0)]
        text += f" The {what} differs significantly for {len(outside)} attributes"
        text += f": {', '.join(outside['attribute'])}." if len(outside) else "."
    return text
