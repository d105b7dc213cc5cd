"""Predict each attribute from the other ones."""

import numpy as np
from omegaconf import DictConfig
from sklearn.base import ClassifierMixin

from celeba_lab.analyses.regression import regress_each
from celeba_lab.analyses.sampling import LabelSample, check_several, split_officially, split_randomly
from celeba_lab.console import progress
from celeba_lab.engine.build import sample_labels
from celeba_lab.errors import check_at_least, check_choice, check_inner_fraction, check_positive_fraction
from celeba_lab.reports.logistic import (
    majority_accuracy,
    regression_metrics,
    regression_table,
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
    """Fit a classifier for each attribute on the labels of the others, and measure it on rows it has not seen.

    Args:
        cfg: Configuration of the run.
        estimator: Unfitted scikit-learn classifier with ``predict_proba``.
        split: ``random`` divides all rows in use; ``official`` fits CelebA's train and measures its test partition.
        test_size: Fraction of the rows that the random split measures.
        attributes: Names of at least two attributes; all forty by default.
        fraction: Fraction of the rows to use.
        workers: Number of attributes that are fitted at a time; one for each core by default.

    Returns:
        ``test/metric``, the mean over the attributes for which it is defined, and ``test/metric/attribute``.

    Raises:
        UserError: A setting or the data cannot be used.
    """
    check_choice("split", split, ("random", "official"))
    check_several(attributes)
    check_inner_fraction("test_size", test_size)
    check_positive_fraction("fraction", fraction)
    check_at_least("workers", workers, 1)
    run = Run.open(cfg)
    sample = sample_labels(run, cfg.data, attributes, fraction)
    train, test = _split(sample, split, test_size, cfg.seed)
    labels = sample.datamodule.annotations.labels[:, sample.datamodule.annotations.columns(sample.attributes)]
    with run.timed("compute"):
        fits = regress_each(labels[train], labels[test], estimator, workers)
        results = list(progress(fits, "fitting", len(sample.attributes)))
        table = regression_table(results, labels[test], sample.attributes)
    title = f"{sample.title} · {type(estimator).__name__}, {split} split"
    with run.timed("report"):
        write_regressions(run, results, table, title)
    metrics = regression_metrics(table)
    show_regressions(table, title)
    return run.finish(
        metrics,
        majority_accuracy={"test": majority_accuracy(table)},
        data=sample.datamodule.facts(),
        details={"rows": {"train": len(train), "test": len(test)}},
    )


def _split(sample: LabelSample, split: str, test_size: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    if split == "official":
        return split_officially(sample.rows, sample.datamodule.annotations.partition)
    return split_randomly(sample.rows, test_size, seed)
