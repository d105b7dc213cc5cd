"""Progress display while reports are written after training a classifier."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
from torch import nn

from celeba_lab.console import Progress
from celeba_lab.engine.callbacks import EpochLog
from celeba_lab.engine.classifier import TrainedClassifier
from celeba_lab.reports.classifier.training import report_training
from celeba_lab.runs.run import Run


class Report:
    """A stub that records its inputs and the number of parts that were finished when each part started."""

    def __init__(self) -> None:
        self.finished: list[float] = []
        self.reported: list[tuple[Any, Any]] = []
        self.facts: dict[str, str] = {}

    def write_split(self, result: Any) -> tuple[list[Any], pd.DataFrame]:
        self.reported.append((result.predictions, result.validation))
        self.finished.append(Progress._open[0].done)
        return [], pd.DataFrame({"majority_accuracy": [0.5]})

    def write(self, result: Any, facts: dict[str, str], more: Any) -> tuple[pd.DataFrame, dict[str, float]]:
        self.reported.append((result.predictions, result.validation))
        self.facts = facts
        self.finished.append(Progress._open[0].done)
        return pd.DataFrame({"majority_accuracy": [0.5]}), {}


def test_the_validation_report_and_the_history_are_part_of_the_progress(tmp_path: Path) -> None:
    run = Run(tmp_path, "train", {"name": "smile", "seed": 1})
    data: Any = SimpleNamespace(name="tiny", root="data", bad_images=pd.DataFrame(), describe_splits=lambda: "8 train")
    best: Any = TrainedClassifier(nn.Identity(), None, 1, EpochLog(), "random weights", torch.device("cpu"))
    measured: Any = {split: SimpleNamespace(predictions=split) for split in ("val", "test")}
    report: Any = Report()
    report_training(run, report, best, data, measured)
    assert report.finished == [0, 2]
    assert (report.facts["weights"], report.facts["checkpoint"]) == ("random weights", "none")
    assert report.reported == [("val", None), ("test", "val")]
