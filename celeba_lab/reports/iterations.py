"""Estimators that are fitted while a report goes on, with progress for those that print their iteration counts."""

import io
import re
import sys
from threading import Thread, get_ident
from time import perf_counter
from typing import Any, TextIO

import numpy as np
from sklearn.base import BaseEstimator
from threadpoolctl import ThreadpoolController
from typing_extensions import override

from celeba_lab.console import Progress

_ITERATION = re.compile(r"\[t-SNE\] Iteration (\d+)")
_POLL_SECONDS = 0.1


class BackgroundFit:
    """Fits an estimator to points in a thread of its own, so that a report can be written meanwhile.

    One CPU core is left to the report. scikit-learn's t-SNE does not support callbacks, so the iteration count is
    parsed from its verbose output. For other estimators, and for t-SNE before its first iteration, only the elapsed
    time is shown.

    Args:
        estimator: Estimator with a ``fit_transform`` method.
        points: Points to transform, float (N, D).
        what: Description shown in the progress line.

    Attributes:
        seconds: Duration of the fit in seconds, once it has ended.

    Example:
        >>> from sklearn.decomposition import PCA
        >>> BackgroundFit(PCA(1), np.array([[0.0, 0.0], [3.0, 4.0]]), "PCA").wait().shape
        (2, 1)
    """

    def __init__(self, estimator: BaseEstimator, points: np.ndarray, what: str) -> None:
        self.seconds = 0.0
        self._what = what
        self._parameters: dict[str, Any] = estimator.get_params(deep=False)
        self._counts = type(estimator).__name__ == "TSNE" and not self._parameters["verbose"]
        self._started = perf_counter()
        self._positions: np.ndarray | None = None
        self._error: Exception | None = None
        self._stream: _Iterations | None = None
        if self._counts:
            estimator.set_params(verbose=2)
            sys.stdout = self._stream = _Iterations(sys.stdout)
        # After Ctrl-C, Python does not wait for this thread.
        self._thread = Thread(target=self._fit, args=(estimator, points), daemon=True)
        self._thread.start()

    def wait(self) -> np.ndarray:
        """Wait for the fit, while showing progress.

        Returns:
            Transformed points, float (N, C), where C is the number of components.

        Raises:
            Exception: Any error that the estimator raised.
        """
        total, unit = (self._parameters["max_iter"], "iterations") if self._counts else (None, "")
        with Progress(self._what, total, unit, started=self._started) as progress:
            while self._thread.is_alive():
                self._thread.join(_POLL_SECONDS)
                if self._stream is not None:
                    progress.update(self._stream.iteration)
        if self._stream is not None and sys.stdout is self._stream:
            sys.stdout = self._stream.stream
        if self._positions is None:
            raise self._error or RuntimeError("the estimator has returned nothing")
        return self._positions

    def _fit(self, estimator: Any, points: np.ndarray) -> None:
        openmp = ThreadpoolController().select(user_api="openmp")
        threads = min((library["num_threads"] for library in openmp.info()), default=1)
        try:
            with openmp.limit(limits=max(1, threads - 1)):  # It applies only to this thread.
                self._positions = np.asarray(estimator.fit_transform(points))
        except Exception as error:
            self._error = error
        self.seconds = perf_counter() - self._started


class _Iterations(io.TextIOBase):
    """A stream that reads the iteration count from t-SNE's output and passes on all other output.

    Args:
        stream: Stream that receives the other output.

    Attributes:
        iteration: The last iteration that t-SNE has printed.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.iteration = 0
        self._swallows_newline_of: int | None = None  # identity of a thread

    @override
    def write(self, text: str) -> int:
        if text.startswith("[t-SNE]"):
            self._swallows_newline_of = None if text.endswith("\n") else get_ident()
            if match := _ITERATION.match(text):
                self.iteration = int(match[1])
        elif text == "\n" and self._swallows_newline_of == get_ident():  # ``print`` writes the newline separately
            self._swallows_newline_of = None
        else:
            self.stream.write(text)
        return len(text)

    @override
    def flush(self) -> None:
        self.stream.flush()

    @override
    def isatty(self) -> bool:
        return self.stream.isatty()
