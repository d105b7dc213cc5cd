"""The report of a classifier: its parts, and the page that holds them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
from sklearn.base import ClassifierMixin

from celeba_lab.analyses.contradictions import check_contradictions
from celeba_lab.analyses.regression import check_estimator
from celeba_lab.analyses.thresholds import CRITERIA
from celeba_lab.console import Progress, split_name
from celeba_lab.errors import check_at_least, check_choice, settings_of
from celeba_lab.reports.classifier.attributes import report_attributes
from celeba_lab.reports.classifier.calibration import report_calibration
from celeba_lab.reports.classifier.drift import report_drift
from celeba_lab.reports.classifier.groups import report_amplification, report_groups
from celeba_lab.reports.classifier.mistakes import report_contradictions, report_mistakes
from celeba_lab.reports.classifier.pixels import report_pixels
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.thresholds import report_thresholds
from celeba_lab.reports.page.page import Section, write_page
from celeba_lab.runs.run import PAGE


@dataclass(frozen=True)
class ClassifierReport:
    """What is looked at, and how closely.

    Attributes:
        tune: what thresholds chosen on validation maximise: ``balanced_accuracy`` or ``f1``; None for none.
        estimator: Unfitted classifier of scikit-learn that predicts an attribute from the other labels; None for no
            such comparison.
        smallest: a group of fewer images is marked, and is no worst group.
        bins: of the probabilities, for calibration.
        mistakes: pictures of the most confident ones.
        contradictions: pairs of attributes that one face cannot have.
        page: write ``report.html``.
    """

    tune: str | None = "balanced_accuracy"
    estimator: ClassifierMixin | None = None
    smallest: int = 20
    bins: int = 15
    mistakes: int = 24
    contradictions: list[list[str]] = field(default_factory=list)
    page: bool = True

    def __post_init__(self) -> None:
        if self.tune is not None:
            check_choice("tune", self.tune, CRITERIA)
        check_contradictions(self.contradictions)
        if self.estimator is not None:
            check_estimator(self.estimator)
        for name, least in (("smallest", 1), ("bins", 1), ("mistakes", 0)):
            check_at_least(name, getattr(self, name), least)

    def write_split(self, result: EvaluationResult) -> tuple[list[Section], pd.DataFrame]:
        """Write what one split is told by itself: scores, predictions, mistakes; return the table of attributes."""
        attributes, table = report_attributes(result, self.bins)
        return [attributes, report_mistakes(result, self.mistakes)], table

    def write(
        self, result: EvaluationResult, facts: Mapping[str, str], more: Section | None = None
    ) -> tuple[pd.DataFrame, dict[str, float]]:
        """Write every table and figure, and the page that holds them.

        Args:
            result: what is reported.
            facts: about the run, by what they are called; the head of the page.
            more: the last section of the page.

        Returns:
            The table of attributes, and the metrics that only a report has.
        """
        with Progress(f"report of {split_name(result.split)}", total=10, unit="parts") as progress:
            (attributes, wrong), table = self.write_split(result)
            progress.advance(2)
            thresholds, metrics = report_thresholds(result, self.tune)
            progress.advance()
            calibration, calibrated = report_calibration(result, self.bins)
            progress.advance()
            with settings_of("report"), Progress("predicting each attribute from the other labels"):
                pixels, compared = report_pixels(result, table, self.estimator)
            progress.advance()
            groups, worst = report_groups(result, self.smallest)
            progress.advance()
            amplification, amplified = report_amplification(result, self.smallest)
            progress.advance()
            contradictions, contradicted = report_contradictions(result, self.contradictions)
            progress.advance()
            drift = report_drift(result)
            progress.advance()
            parts = [attributes, pixels, thresholds, calibration, groups, amplification, drift, wrong, contradictions]
            if self.page:
                sections = [part for part in [*parts, more] if part is not None]
                write_page(result.run.path / PAGE, result.title, facts, sections, warning=result.datamodule.notice)
            progress.advance()
        return table, metrics | calibrated | compared | worst | amplified | contradicted
