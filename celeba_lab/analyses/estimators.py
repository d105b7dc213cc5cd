"""Conversion of errors raised by scikit-learn estimators into setting errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.base import BaseEstimator

from celeba_lab.errors import SettingError


@contextmanager
def refusals_of(estimator: BaseEstimator, setting: str) -> Iterator[None]:
    """Convert errors that an estimator raises within the ``with`` block into setting errors.

    Estimators raise ``ValueError`` if they reject their parameters or the data. ``MemoryError`` is also converted,
    because some estimators need memory that grows quadratically with the number of rows.

    Args:
        estimator: Estimator that is fitted within the block.
        setting: Name of the setting that configures the estimator, such as ``estimator``.

    Raises:
        SettingError: The estimator rejects its parameters or the data, or there is not enough memory.
    """
    name = type(estimator).__name__
    try:
        yield
    except MemoryError as error:
        hint = "Use fewer rows (decrease fraction) or another estimator."
        raise SettingError(setting, name, f"needs more memory than is available ({error})", hint) from error
    except ValueError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise SettingError(setting, name, f"cannot be fitted: {reason}") from error


def check_parameters(estimator: BaseEstimator | None, setting: str) -> None:
    """Check an estimator's parameters with scikit-learn's parameter validation, without fitting the estimator.

    Args:
        estimator: Estimator to check. ``None`` is also valid.
        setting: Name of the setting that configures the estimator, such as ``estimator``.

    Raises:
        SettingError: A parameter is out of range.

    Example:
        >>> from sklearn.cluster import KMeans
        >>> check_parameters(KMeans(n_init=0), "clusterer")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        celeba_lab.errors.SettingError: clusterer=KMeans cannot be fitted: The 'n_init' parameter of KMeans must be ...
    """
    if isinstance(estimator, BaseEstimator):
        with refusals_of(estimator, setting):
            estimator._validate_params()


def has_parameter(estimator: BaseEstimator, parameter: str) -> bool:
    """Return whether an estimator has a parameter, such as ``n_clusters`` or ``random_state``.

    Example:
        >>> from sklearn.cluster import DBSCAN, KMeans
        >>> has_parameter(KMeans(), "n_clusters"), has_parameter(DBSCAN(), "n_clusters")
        (True, False)
    """
    return parameter in estimator.get_params(deep=False)
