"""scikit-learn's estimators as settings."""

from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.base import BaseEstimator

from celeba_lab.errors import UserError


@contextmanager
def refusals_of(estimator: BaseEstimator, setting: str) -> Iterator[None]:
    """Turn an estimator's ``ValueError``, by which scikit-learn refuses parameters and data, into a ``UserError``.

    So, too, for want of memory: some estimators need the square of the rows.

    Args:
        estimator: what is used inside the block.
        setting: where the configuration names it, for example ``task.estimator``.
    """
    try:
        yield
    except MemoryError as error:
        raise UserError(
            f"{setting}={type(estimator).__name__} needs more memory than there is ({error}); use fewer rows"
            " (task.fraction) or another estimator."
        ) from error
    except ValueError as error:
        raise UserError(f"{setting}={type(estimator).__name__}: {' '.join(str(error).split())}") from error


def has_parameter(estimator: BaseEstimator, parameter: str) -> bool:
    """Return whether an estimator can be told something, such as ``n_clusters`` or ``random_state``."""
    return parameter in estimator.get_params(deep=False)
