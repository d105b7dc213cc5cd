"""Each attribute predicted from the other ones, by one scikit-learn classifier per attribute."""

import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from celeba_lab.analyses.estimators import refusals_of
from celeba_lab.errors import UserError


@dataclass(frozen=True)
class Regression:
    """What one attribute's classifier made of the others.

    Attributes:
        target: the column that was predicted.
        probability: float32 (N,), of the rows to test; NaN where there is no model.
        coefficients: float64 (K,) in log odds, NaN at the target itself; all NaN where there is no linear model.
        iterations: of the solver; 0 if it does not say.
        converged: false where the solver of a linear model used up its iterations; None where there is nothing that
            converges.
        fitted: false where the rows to fit have one class only, from which nothing can be learnt.
    """

    target: int
    probability: np.ndarray
    coefficients: np.ndarray
    iterations: int = 0
    converged: bool | None = None
    fitted: bool = True


def check_classifier(classifier: ClassifierMixin, setting: str = "task.estimator") -> None:
    """Check that an estimator can do this work.

    Args:
        classifier: unfitted.
        setting: where it was configured, for the sentence of an error.

    Raises:
        UserError: it is no classifier, or gives no probabilities.
    """
    name = type(classifier).__name__
    if not isinstance(classifier, BaseEstimator) or not is_classifier(classifier):
        raise UserError(
            f"{setting} is {name}, which is no classifier of scikit-learn's kind; take for example"
            " sklearn.linear_model.LogisticRegression."
        )
    if not hasattr(classifier, "predict_proba"):
        raise UserError(f"{setting}={name} gives no probabilities; take a classifier with predict_proba.")


def regress_each(
    train: np.ndarray,
    test: np.ndarray,
    classifier: ClassifierMixin,
    workers: int | None = None,
    targets: Iterable[int] | None = None,
    setting: str = "task.estimator",
) -> Iterator[Regression]:
    """Predict columns, each from all the others.

    Args:
        train: (N_train, K) of 0 and 1, the rows to fit.
        test: (N_test, K), the rows to predict.
        classifier: unfitted; a copy of it is fitted for each column.
        workers: threads; one for each core by default.
        targets: the columns to predict; all K by default.
        setting: where the classifier was configured, for the sentence of an error.

    Yields:
        One result for each target, in their order, each as soon as it is there.

    Raises:
        UserError: the classifier does not suit, or refuses its settings or the data.
    """
    check_classifier(classifier, setting)
    if workers is not None and workers < 1:
        raise UserError(f"task.workers={workers}: give at least one, or null for one on each core.")
    # Half the bytes of float64, and the solvers keep to it; no probability differs in the fourth digit.
    train, test = train.astype(np.float32), test.astype(np.float32)
    jobs = (
        delayed(regress)(train, test, k, classifier) for k in (range(train.shape[1]) if targets is None else targets)
    )
    with warnings.catch_warnings(), threadpool_limits(1):  # a thread for each attribute is faster than many for one
        warnings.simplefilter("ignore", ConvergenceWarning)  # the table says it
        with refusals_of(classifier, setting):
            yield from Parallel(n_jobs=workers or os.cpu_count(), prefer="threads", return_as="generator")(jobs)


def regress(train: np.ndarray, test: np.ndarray, target: int, classifier: ClassifierMixin) -> Regression:
    """Predict one column from the others; see :func:`regress_each`."""
    labels = train[:, target].astype(np.int8)
    k_all = train.shape[1]
    if k_all < 2 or labels.min() == labels.max():
        nothing = np.full(len(test), np.nan, dtype=np.float32)
        return Regression(target, nothing, np.full(k_all, np.nan), fitted=False)
    model = clone(classifier).fit(np.delete(train, target, axis=1), labels)
    probability = model.predict_proba(np.delete(test, target, axis=1))[:, 1]
    # Trees have iterations and a limit, too, but nothing that converges.
    iterations = int(np.max(getattr(model, "n_iter_", 0))) if hasattr(model, "coef_") else 0
    return Regression(
        target,
        probability.astype(np.float32),
        _coefficients(model, target, k_all),
        iterations,
        converged=not 0 < getattr(model, "max_iter", 0) <= iterations if iterations else None,
    )


def _coefficients(model: ClassifierMixin, target: int, k_all: int) -> np.ndarray:
    values = getattr(model, "coef_", None)
    if values is None or np.size(values) != k_all - 1:
        return np.full(k_all, np.nan)
    return np.insert(np.ravel(values).astype(np.float64), target, np.nan)
