"""Progress display for scikit-learn estimators that print their iteration counts."""

import io
import re
import sys
from contextlib import redirect_stdout
from typing import Any, TextIO

import numpy as np
from sklearn.base import BaseEstimator
from typing_extensions import override

from celeba_lab.console import Progress

_ITERATION = re.compile(r"\[t-SNE\] Iteration (\d+)")


def fit_with_progress(estimator: BaseEstimator, points: np.ndarray, what: str) -> np.ndarray:
    """Fit an estimator to points while showing progress, and return the transformed points.

    scikit-learn's t-SNE does not support callbacks, so the iteration count is parsed from its verbose output. For
    other estimators, and for t-SNE before its first iteration, only the elapsed time is shown.

    Args:
        estimator: Estimator with a ``fit_transform`` method.
        points: Points to transform, float (N, D).
        what: Description shown in the progress line.

    Returns:
        Transformed points, float (N, C), where C is the number of components.
    """
    parameters: dict[str, Any] = estimator.get_params(deep=False)
    counts = type(estimator).__name__ == "TSNE" and not parameters["verbose"]
    positions: np.ndarray
    with Progress(what, parameters["max_iter"] if counts else None, "iterations" if counts else "") as progress:
        if counts:
            estimator.set_params(verbose=2)
            with redirect_stdout(_Iterations(sys.stdout, progress)):
                positions = estimator.fit_transform(points)
        else:
            positions = estimator.fit_transform(points)
    return positions


class _Iterations(io.TextIOBase):
    """A stream that reads the iteration count from t-SNE's output and passes on all other output."""

    def __init__(self, stream: TextIO, progress: Progress) -> None:
        self.stream = stream
        self.progress = progress
        self._swallows_newline = False

    @override
    def write(self, text: str) -> int:
        if text.startswith("[t-SNE]"):
            self._swallows_newline = not text.endswith("\n")
            if match := _ITERATION.match(text):
                self.progress.update(int(match[1]))
        elif text == "\n" and self._swallows_newline:  # ``print`` writes the newline separately
            self._swallows_newline = False
        else:
            self.stream.write(text)
        return len(text)

    @override
    def flush(self) -> None:
        self.stream.flush()

    @override
    def isatty(self) -> bool:
        return self.stream.isatty()
