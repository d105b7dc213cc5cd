"""The classifier report: its parts, and the page that contains them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
from sklearn.base import ClassifierMixin

from celeba_lab.analyses.contradictions import check_contradictions
from celeba_lab.analyses.regression import check_estimator
from celeba_lab.analyses.thresholds import CRITERIA
from celeba_lab.console import Progress, split_name
from celeba_lab.errors import check_at_least, check_choice
from celeba_lab.reports.classifier.attributes import report_attributes
from celeba_lab.reports.classifier.calibration import report_calibration
from celeba_lab.reports.classifier.drift import report_drift
from celeba_lab.reports.classifier.groups import report_amplification, report_groups
from celeba_lab.reports.classifier.mistakes import report_contradictions, report_mistakes
from celeba_lab.reports.classifier.pixels import report_pixels
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.thresholds import report_thresholds
from celeba_lab.reports.page.page import Section, write_page
from celeba_lab.runs.folder import PAGE


@dataclass(frozen=True)
class ClassifierReport:
    """The report on a classifier.

    Args:
        tune: Score to maximise when tuning thresholds on the validation split: ``balanced_accuracy`` or ``f1``. If
            None, thresholds are not tuned.
        estimator: Unfitted scikit-learn classifier that predicts each attribute from the other labels. If None,
            the comparison with this estimator is skipped.
        smallest: Minimum number of images in a subgroup. Smaller subgroups are marked and cannot be the worst subgroup.
        bins: Number of probability bins for the calibration error.
        mistakes: Maximum number of mistakes to draw, starting with the most confident.
        contradictions: Pairs of mutually exclusive attributes.
        page: Whether to write ``report.html``.

    Raises:
        SettingError: A number is out of range, a name is unknown, or the estimator cannot be used.

    Example:
        >>> ClassifierReport(tune="f1", contradictions=[["Bald", "Bangs"]]).bins
        15
        >>> ClassifierReport(tune="f2")
        Traceback (most recent call last):
        ...
        celeba_lab.errors.SettingError: tune=f2 must be one of balanced_accuracy, f1.
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
        """Write the parts that do not depend on another split, and return their sections and the attribute table."""
        attributes, table = report_attributes(result, self.bins)
        return [attributes, report_mistakes(result, self.mistakes)], table

    def write(
        self, result: EvaluationResult, facts: Mapping[str, str], more: Section | None = None
    ) -> tuple[pd.DataFrame, dict[str, float]]:
        """Write all tables and figures, and the page that contains them.

        Args:
            result: Predictions to report.
            facts: Facts to show at the top of the page, as a mapping from names to strings.
            more: Additional section at the end of the page. If None, no section is added.

        Returns:
            The attribute table, and the metrics that only the report computes.

        Raises:
            SettingError: The estimator rejects its parameters or the data.
        """
        with Progress(f"writing the {split_name(result.split)} report", total=10, unit="parts") as progress:
            (attributes, mistakes), table = self.write_split(result)
            progress.advance(2)
            thresholds, metrics = report_thresholds(result, self.tune)
            progress.advance()
            calibration, calibrated = report_calibration(result, self.bins)
            progress.advance()
            with Progress("predicting each attribute from the other labels"):
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
            parts = [
                attributes,
                pixels,
                thresholds,
                calibration,
                groups,
                amplification,
                drift,
                mistakes,
                contradictions,
            ]
            if self.page:
                sections = [part for part in [*parts, more] if part is not None]
                result.run.complete_figures()
                write_page(result.run.path / PAGE, result.title, facts, sections, warning=result.datamodule.notice)
            progress.advance()
        return table, metrics | calibrated | compared | worst | amplified | contradicted
