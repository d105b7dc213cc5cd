"""Prediction of each attribute from the other attributes, with one scikit-learn estimator per attribute."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from celeba_lab.analyses.estimators import check_parameters, refusals_of
from celeba_lab.data.workers import usable_cores
from celeba_lab.errors import SettingError, check_at_least


@dataclass(frozen=True)
class Regression:
    """Predictions for one attribute from the others, and details of the fitted model.

    Attributes:
        target: Column index of the predicted attribute.
        probability: Predicted probabilities in [0, 1] for the test rows, or NaN if no model was fitted, float32 (N,).
        coefficients: Coefficients of a linear model, in log odds, with NaN at the target, float64 (K,). All
            coefficients are NaN if the model is not linear or was not fitted.
        iterations: Number of solver iterations, or 0 if the model does not report this number.
        converged: Whether the solver of a linear model finished before reaching its maximum number of iterations, or
            None for models without an iterative solver.
        fitted: Whether a model was fitted. No model is fitted if all training rows have the same label.

    Example:
        >>> constant = Regression(0, np.full(3, np.nan, np.float32), np.full(40, np.nan), fitted=False)
        >>> constant.iterations, constant.converged
        (0, None)
    """

    target: int
    probability: np.ndarray
    coefficients: np.ndarray
    iterations: int = 0
    converged: bool | None = None
    fitted: bool = True


def check_estimator(estimator: ClassifierMixin) -> None:
    """Check that an estimator is a classifier that predicts probabilities.

    Args:
        estimator: Unfitted scikit-learn estimator.

    Raises:
        SettingError: The estimator is not a classifier, has no ``predict_proba`` method, or has a parameter that is out
            of range.
    """
    name = type(estimator).__name__
    if not isinstance(estimator, BaseEstimator) or not is_classifier(estimator):
        hint = "Use, for example, sklearn.linear_model.LogisticRegression."
        raise SettingError("estimator", name, "must be a scikit-learn classifier", hint)
    if not hasattr(estimator, "predict_proba"):
        raise SettingError("estimator", name, "must be a classifier with a predict_proba method")
    check_parameters(estimator, "estimator")


def regress_each(
    train: np.ndarray,
    test: np.ndarray,
    estimator: ClassifierMixin,
    workers: int | None = None,
    targets: Iterable[int] | None = None,
) -> Iterator[Regression]:
    """Predict each target column of a label table from all other columns.

    Args:
        train: Labels of the training rows, of shape (N_train, K), each 0 or 1.
        test: Labels of the test rows, of shape (N_test, K), each 0 or 1.
        estimator: Unfitted scikit-learn classifier. A copy of the estimator is fitted for each target.
        workers: Number of threads. By default, the number of CPU cores that this process may use.
        targets: Indices of the columns to predict. By default, all K columns are predicted.

    Yields:
        One result per target, in the order of the targets.

    Raises:
        SettingError: The estimator is not a suitable classifier, the estimator rejects its parameters or the data, or
            ``workers`` is below 1.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> labels = np.array([[0, 0], [0, 0], [1, 1], [1, 1]])
        >>> for result in regress_each(labels, labels, LogisticRegression(), workers=1):
        ...     print(result.target, result.probability.round(2), result.coefficients.round(2))
        0 [0.4 0.4 0.6 0.6] [nan 0.8]
        1 [0.4 0.4 0.6 0.6] [0.8 nan]
    """
    check_estimator(estimator)
    check_at_least("workers", workers, 1)
    # float32 needs half the memory of float64, and the solvers accept it without conversion. The predicted
    # probabilities in float32 and float64 agree to four digits.
    train, test = train.astype(np.float32), test.astype(np.float32)
    columns = range(train.shape[1]) if targets is None else targets
    jobs = (delayed(regress)(train, test, k, estimator) for k in columns)
    # One thread per attribute is faster than several threads within each model.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # Regression.converged reports convergence instead
        with refusals_of(estimator, "estimator"):
            yield from Parallel(n_jobs=workers or usable_cores(), prefer="threads", return_as="generator")(jobs)


def regress(train: np.ndarray, test: np.ndarray, target: int, estimator: ClassifierMixin) -> Regression:
    """Predict the column ``target`` from the other columns; see :func:`regress_each` for the arguments."""
    labels = train[:, target].astype(np.int8)
    n_columns = train.shape[1]
    if n_columns < 2 or labels.min() == labels.max():
        undefined = np.full(len(test), np.nan, dtype=np.float32)
        return Regression(target, undefined, np.full(n_columns, np.nan), fitted=False)
    model = clone(estimator).fit(np.delete(train, target, axis=1), labels)
    probability = model.predict_proba(np.delete(test, target, axis=1))[:, 1]
    # Boosted trees also have n_iter_ and max_iter, but their fitting does not involve convergence.
    iterations = int(np.max(getattr(model, "n_iter_", 0))) if hasattr(model, "coef_") else 0
    return Regression(
        target,
        probability.astype(np.float32),
        _coefficients(model, target, n_columns),
        iterations,
        converged=not 0 < getattr(model, "max_iter", 0) <= iterations if iterations else None,
    )


def _coefficients(model: ClassifierMixin, target: int, n_columns: int) -> np.ndarray:
    """Return a linear model's coefficients, float64 (K,), with NaN for the target, or all NaN for other models."""
    values = getattr(model, "coef_", None)
    if values is None or np.size(values) != n_columns - 1:
        return np.full(n_columns, np.nan)
    return np.insert(np.ravel(values).astype(np.float64), target, np.nan)
