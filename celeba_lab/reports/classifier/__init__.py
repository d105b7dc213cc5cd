"""The report of a classifier."""

from celeba_lab.reports.classifier.report import ClassifierReport

__all__ = ["ClassifierReport"]
