"""Regression results match a loop over scikit-learn and the notebook's scores. Degenerate columns are handled."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.naive_bayes import BernoulliNB

from celeba_lab.analyses import regression
from celeba_lab.analyses.regression import regress_each
from celeba_lab.analyses.sampling import split_randomly
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.errors import UserError
from celeba_lab.files import config_directory
from celeba_lab.reports.logistic import regression_table


def configured() -> LogisticRegression:
    return instantiate(OmegaConf.load(config_directory() / "task" / "estimator" / "logistic.yaml"))


def dependent_labels(n: int = 600) -> np.ndarray:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, n)) < 0.4
    return np.stack([a, b, a ^ (rng.random(n) < 0.1), a & b | (rng.random(n) < 0.2)], axis=1).astype(np.int8)


def test_regressions_equal_a_loop_over_scikit_learn() -> None:
    labels = dependent_labels()
    train, test = labels[:400], labels[400:]
    for k, result in enumerate(regress_each(train, test, LogisticRegression(tol=1e-8))):
        model = LogisticRegression(tol=1e-8).fit(np.delete(train, k, axis=1), train[:, k])
        expected = model.predict_proba(np.delete(test, k, axis=1))[:, 1]
        assert result.target == k
        np.testing.assert_allclose(result.probability, expected, atol=1e-3)
        np.testing.assert_allclose(np.delete(result.coefficients, k), model.coef_[0], atol=1e-2)
        assert np.isnan(result.coefficients[k])
        assert result.converged
        assert result.iterations > 0


def test_every_score_equals_scikit_learn() -> None:
    labels = dependent_labels()
    test = labels[400:]
    results = list(regress_each(labels[:400], test, configured()))
    table = regression_table(results, test, ["a", "b", "c", "d"]).set_index("attribute")
    for k, name in enumerate("abcd"):
        probability, truth = results[k].probability, test[:, k]
        predicted = probability >= 0.5
        row = table.loc[name]
        assert row["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, predicted))
        assert row["precision"] == pytest.approx(precision_score(truth, predicted))
        assert row["recall"] == pytest.approx(recall_score(truth, predicted))
        assert row["f1"] == pytest.approx(f1_score(truth, predicted))
        assert row["auroc"] == pytest.approx(roc_auc_score(truth, probability), abs=1e-5)
        assert row["log_loss"] == pytest.approx(log_loss(truth, probability), abs=1e-5)
        assert row["prevalence"] == pytest.approx(truth.mean())
        assert row["gain"] == pytest.approx(row["accuracy"] - max(truth.mean(), 1 - truth.mean()))


def test_undefined_precision_stays_undefined() -> None:
    """The precision of an attribute that is never predicted is undefined. The notebook printed 1.0 for Pale_Skin."""
    labels = np.random.default_rng(0).random((500, 3)) < (0.5, 0.5, 0.03)
    results = list(regress_each(labels[:400], labels[400:], configured()))
    table = regression_table(results, labels[400:].astype(np.int8), ["a", "b", "rare"]).set_index("attribute")
    assert np.isnan(table.loc["rare", "precision"])
    assert table.loc["rare", "recall"] == 0


@pytest.mark.parametrize("value", [0, 1])
def test_a_constant_column_has_no_model_and_does_not_affect_the_others(value: int) -> None:
    labels = dependent_labels()
    labels[:, 1] = value
    results = list(regress_each(labels[:400], labels[400:], configured()))
    table = regression_table(results, labels[400:], ["a", "constant", "c", "d"]).set_index("attribute")
    assert table["fitted"].tolist() == [True, False, True, True]
    assert table.loc["constant", ["accuracy", "precision", "auroc", "log_loss"]].isna().all()
    assert table.loc["constant", "majority_accuracy"] == 1
    assert table["accuracy"].drop("constant").notna().all()


def test_a_duplicated_column_is_predicted_perfectly() -> None:
    labels = dependent_labels()[:, [0, 1, 0]]
    results = list(regress_each(labels[:400], labels[400:], configured()))
    table = regression_table(results, labels[400:], ["a", "b", "a again"])
    assert table["accuracy"].iloc[[0, 2]].tolist() == [1, 1]


def test_a_single_training_row_gives_no_model() -> None:
    labels = np.array([[0, 1], [1, 0]], dtype=np.int8)
    results = list(regress_each(labels[:1], labels[1:], configured()))
    assert not any(result.fitted for result in results)


def test_a_solver_that_did_not_converge_is_reported() -> None:
    labels = dependent_labels()
    [first, *_] = regress_each(labels[:400], labels[400:], LogisticRegression(max_iter=1))
    assert not first.converged
    assert first.iterations == 1


def test_the_convergence_of_trees_is_undefined() -> None:
    labels = dependent_labels()
    [first, *_] = regress_each(labels[:400], labels[400:], HistGradientBoostingClassifier(max_iter=2))
    assert first.converged is None


@pytest.mark.parametrize("workers", [0, -5])
def test_fewer_than_one_worker_is_rejected(workers: int) -> None:
    with pytest.raises(UserError, match=r"^workers=.* must be at least 1"):
        list(regress_each(dependent_labels(), dependent_labels(), configured(), workers))


def test_predicting_the_majority_class_has_no_gain() -> None:
    labels = dependent_labels()
    results = list(regress_each(labels[:400], labels[400:], DummyClassifier(strategy="prior")))
    assert (regression_table(results, labels[400:], ["a", "b", "c", "d"])["gain"] == 0).all()


def test_other_classifiers_can_be_used() -> None:
    labels = dependent_labels()
    results = list(regress_each(labels[:400], labels[400:], BernoulliNB()))
    assert all(np.isnan(result.coefficients).all() for result in results)
    assert all(((result.probability >= 0) & (result.probability <= 1)).all() for result in results)


@pytest.mark.parametrize(
    ("classifier", "sentence"),
    [
        (KMeans(), "^estimator=KMeans must be a scikit-learn classifier"),
        (Perceptron(), "^estimator=Perceptron must be a classifier with a predict_proba method"),
        (LogisticRegression(C=-1), "^estimator=LogisticRegression cannot be fitted: The 'C' parameter"),
    ],
)
def test_an_unsuitable_estimator_is_explained_in_one_sentence(classifier: object, sentence: str) -> None:
    labels = dependent_labels()
    with pytest.raises(UserError, match=sentence):
        list(regress_each(labels[:400], labels[400:], classifier))


@pytest.mark.parametrize(
    "targets",
    [pytest.param(list(range(2, 40, 6)), id="seven"), pytest.param(None, id="forty", marks=pytest.mark.slow)],
)
def test_the_scores_agree_with_the_notebook(targets: list[int] | None, shared: Path) -> None:
    """Both sets of attributes include Pale_Skin, which the regression never predicts."""
    labels = Annotations.load(shared / "celeba").labels
    train, test = split_randomly(np.arange(len(labels)), 0.2, seed=42)
    results = list(regress_each(labels[train], labels[test], configured(), targets=targets))
    targets = targets or list(range(len(ATTRIBUTES)))
    names = [ATTRIBUTES[k] for k in targets]
    table = regression_table(results, labels[test][:, targets], names).set_index("attribute")
    reference = pd.read_csv(shared / "reference" / "logistic_regression.csv").set_index("attribute").loc[table.index]
    assert (table["accuracy"] - reference["accuracy"]).abs().max() <= 0.001
    defined = table["precision"].notna()
    assert (table["f1"] - reference["f1"])[defined].abs().max() <= 0.01
    assert table["converged"].all()
    assert not defined["Pale_Skin"]


def test_some_targets_can_be_selected() -> None:
    """Results for some targets match the results for all targets, and are in the given order."""
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 2, (200, 5)), rng.integers(0, 2, (50, 5))
    every = list(regress_each(train, test, LogisticRegression()))
    some = list(regress_each(train, test, LogisticRegression(), targets=[3, 1]))
    assert [found.target for found in some] == [3, 1]
    for found in some:
        np.testing.assert_array_equal(found.probability, every[found.target].probability)


def test_one_thread_is_used_for_each_core_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    parallel = regression.Parallel

    def record(n_jobs: int, **options: object) -> object:
        asked.append(n_jobs)
        return parallel(n_jobs=1, **options)

    monkeypatch.setattr(regression, "Parallel", record)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    list(regress_each(dependent_labels(), dependent_labels(), configured()))
    assert asked == [3]
