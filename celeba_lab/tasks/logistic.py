"""Predict each attribute from the other attributes."""

import numpy as np
from omegaconf import DictConfig
from sklearn.base import ClassifierMixin

from celeba_lab.analyses.regression import check_estimator, regress_each
from celeba_lab.analyses.sampling import LabelSample, check_several, split_officially, split_randomly
from celeba_lab.console import Progress, progress
from celeba_lab.engine.labels import build_faces, sample_labels
from celeba_lab.errors import check_at_least, check_choice, check_inner_fraction, check_positive_fraction
from celeba_lab.reports.logistic import (
    majority_accuracy,
    regression_metrics,
    regression_table,
    regression_title,
    show_regressions,
    write_regressions,
)
from celeba_lab.runs.run import Run


def logistic(
    cfg: DictConfig,
    estimator: ClassifierMixin,
    split: str = "random",
    test_size: float = 0.2,
    attributes: list[str] | None = None,
    fraction: float = 1.0,
    workers: int | None = None,
) -> dict[str, float]:
    """For each attribute, fit an estimator on the labels of the other attributes, and evaluate it on held-out rows.

    Args:
        cfg: Configuration of the run.
        estimator: Unfitted scikit-learn classifier with ``predict_proba``.
        split: ``random`` splits all selected rows at random. ``official`` uses CelebA's train partition for fitting
            and its test partition for evaluation.
        test_size: Fraction of the rows that the random split uses for evaluation.
        attributes: Names of at least two attributes. Defaults to all 40 attributes.
        fraction: Fraction of the rows to use.
        workers: Number of estimators to fit in parallel. Defaults to the number of usable CPU cores.

    Returns:
        The metrics: ``test/metric/attribute`` for each attribute, and ``test/metric``, the mean over the attributes for
        which the metric is defined.

    Raises:
        UserError: A setting or the data cannot be used.
    """
    check_choice("split", split, ("random", "official"))
    check_several(attributes)
    check_inner_fraction("test_size", test_size)
    check_positive_fraction("fraction", fraction)
    check_at_least("workers", workers, 1)
    check_estimator(estimator)
    run = Run.open(cfg)
    sample = sample_labels(run, build_faces(cfg.data, attributes), fraction)
    train, test = _split(sample, split, test_size, cfg.seed)
    labels = sample.data.annotations.labels[:, sample.data.annotations.columns(sample.attributes)]
    with run.timed("compute"):
        fits = regress_each(labels[train], labels[test], estimator, workers)
        results = list(progress(fits, "fitting", len(sample.attributes), "attributes"))
        table = regression_table(results, labels[test], sample.attributes)
    title = regression_title(sample.title, estimator, split)
    with run.reporting(), Progress("writing the report"):
        write_regressions(run, results, table, title)
    metrics = regression_metrics(table)
    show_regressions(table, title)
    return run.finish(
        metrics,
        majority_accuracy={"test": majority_accuracy(table)},
        data=sample.data.facts(),
        details={"rows": {"train": len(train), "test": len(test)}},
    )


def _split(sample: LabelSample, split: str, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if split == "official":
        return split_officially(sample.rows, sample.data.annotations.partition)
    return split_randomly(sample.rows, test_size, seed)
