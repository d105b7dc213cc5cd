"""Progress of the reports after the training of a classifier."""

from types import SimpleNamespace
from typing import Any

import pandas as pd

from celeba_lab.console import Progress
from celeba_lab.reports.classifier.training import report_training


class Report:
    """A report that only records how many parts of the work were finished before each of its parts."""

    def __init__(self) -> None:
        self.finished: list[float] = []

    def write_split(self, result: Any) -> tuple[list[Any], pd.DataFrame]:
        self.finished.append(Progress._open[0].done)
        return [], pd.DataFrame({"majority_accuracy": [0.5]})

    def write(self, *arguments: Any) -> tuple[pd.DataFrame, dict[str, float]]:
        self.finished.append(Progress._open[0].done)
        return pd.DataFrame({"majority_accuracy": [0.5]}), {}


def test_the_validation_report_and_the_history_are_part_of_the_progress() -> None:
    report, result = Report(), SimpleNamespace(run=None, run_title="title")
    report_training(report, result, result, pd.DataFrame(), 1, {})
    assert report.finished == [0, 2]
