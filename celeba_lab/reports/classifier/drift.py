"""Differences between the validation split and the reported split."""

import numpy as np
import pandas as pd

from celeba_lab import figures
from celeba_lab.analyses.intervals import difference_interval
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.page.page import Picture, Section


def report_drift(result: EvaluationResult) -> Section | None:
    """Compare each attribute's prevalence and accuracy between the validation split and the reported split.

    Returns:
        The section, or None if there are no validation predictions.
    """
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
            f"{what}_val": f"{what} (validation)",
            f"{what}_{result.split}": f"{what} ({result.split})",
            f"{what}_difference": "difference",
            f"{what}_low": "low",
            f"{what}_high": "high",
        }
    caption = f"Prevalence and accuracy in the validation and {result.split} splits"
    shown = result.table("drift", table, caption, columns=columns)
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
        note=f"{what.capitalize()} in the validation and {result.split} splits, sorted by the size of the difference",
    )
    return result.picture(f"drift_{what}", figure, f"{what.capitalize()} in the validation and {result.split} splits.")


def drift_table(
    val_labels: np.ndarray, val_predicted: np.ndarray, labels: np.ndarray, predicted: np.ndarray
) -> pd.DataFrame:
    """Return a table that compares prevalence and accuracy in two splits, with one row per attribute.

    The columns are ``prevalence`` and ``accuracy`` with the suffixes ``_val``, ``_split``, ``_difference`` (the
    reported split minus the validation split), ``_low`` and ``_high`` (Newcombe's 95% interval for the difference).

    Args:
        val_labels: True labels of the validation split, (N, K), 0 or 1.
        val_predicted: Predicted labels for the validation split, (N, K), 0 or 1.
        labels: True labels of the reported split, (M, K), 0 or 1.
        predicted: Predicted labels for the reported split, (M, K), 0 or 1.
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
        f"Thresholds and temperatures chosen on the validation split are suitable for the {result.split} split only if"
        f" the two splits are similar. Each difference is the {result.split} value minus the validation value, with"
        f" its 95% interval (Newcombe, 1998). By chance alone, about one in twenty of the {len(table)} attributes is"
        " expected to differ significantly."
    )
    for what in ("prevalence", "accuracy"):
        outside = table[(table[f"{what}_low"] > 0) | (table[f"{what}_high"] < 0)]
        text += f" Attributes with a significant difference in {what}: {', '.join(outside['attribute']) or 'none'}."
    return text
