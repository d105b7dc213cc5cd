"""The report of a classifier training run."""

from collections.abc import Mapping

import pandas as pd

from celeba_lab.console import Progress, console, show_metrics
from celeba_lab.reports.classifier.history import report_history
from celeba_lab.reports.classifier.report import ClassifierReport
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.scores import mean_majority_accuracy
from celeba_lab.runs.run import Run


def report_training(
    report: ClassifierReport,
    val: EvaluationResult,
    test: EvaluationResult,
    epochs: pd.DataFrame,
    best_epoch: int,
    facts: Mapping[str, str],
) -> tuple[dict[str, float], dict[str, float]]:
    """Write the validation scores and mistakes, the training history, and the report for the test split.

    Args:
        report: Report to write.
        val: Predictions for the validation split.
        test: Predictions for the test split.
        epochs: Metrics with one row per epoch.
        best_epoch: Epoch of the reported weights, counted from 1.
        facts: Facts about the run for the top of the page, as a mapping from names to texts.

    Returns:
        The metrics that only the report computes, and the majority-class accuracy of each split.
    """
    with Progress("writing the reports", total=3, unit="parts") as progress:
        _, val_table = report.write_split(val)
        progress.advance()
        history = report_history(val.run, epochs, best_epoch, val_table, val.run_title)
        progress.advance()
        test_table, metrics = report.write(test, facts, history)
    return metrics, {"val": mean_majority_accuracy(val_table), "test": mean_majority_accuracy(test_table)}


def show_results(run: Run, title: str, metrics: Mapping[str, float], majority_accuracy: Mapping[str, float]) -> None:
    """Print the metrics of all splits side by side, and the time taken.

    Args:
        run: The run.
        title: Title of the table.
        metrics: Metrics with names of the form ``split/metric``.
        majority_accuracy: Majority-class accuracy of each split.
    """
    columns: dict[str, dict[str, float]] = {split: {} for split in ("train", "val", "test")}
    for name, value in metrics.items():
        split, _, metric = name.partition("/")
        if "/" not in metric:  # Scores of single attributes are in tables/attributes_*.csv.
            columns[split][metric] = value
    for split, accuracy in majority_accuracy.items():
        columns[split]["accuracy of the majority class"] = accuracy
    show_metrics(title, columns)
    seconds = run.seconds.get("training", run.seconds["fit"])
    console.print(f"training took {seconds:.0f} s, and the report took {run.seconds['report']:.0f} s")
