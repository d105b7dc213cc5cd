"""The report on a classifier."""

from celeba_lab.reports.classifier.report import ClassifierReport

__all__ = ["ClassifierReport"]
