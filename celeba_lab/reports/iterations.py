"""Estimators that are fitted while a report goes on, with progress for those that print their iteration counts."""

import io
import re
import sys
from contextlib import ExitStack, redirect_stdout
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
# Time after which a Python thread is asked to let others run. With the default of 5 ms, a thread that uses Python only
# for a moment in each of its thousand iterations would mainly wait.
_SWITCH_SECONDS = 1e-4


class BackgroundFit:
    """Fits an estimator to points in a thread of its own during a ``with`` block, in which a report can be written.

    One CPU core is left to the report. In the block, linear algebra uses a single thread: scikit-learn changes the
    number of threads for the whole process, and the result would depend on it. scikit-learn's t-SNE does not support
    callbacks, so the iteration count is parsed from its verbose output. For other estimators, and for t-SNE before its
    first iteration, only the elapsed time is shown. If the block ends with an error, t-SNE is stopped.

    Args:
        estimator: Estimator with a ``fit_transform`` method.
        points: Points to transform, float (N, D).
        what: Description shown in the progress line.

    Attributes:
        seconds: Duration of the fit in seconds, once it has ended.

    Example:
        >>> from sklearn.decomposition import PCA
        >>> with BackgroundFit(PCA(1), np.array([[0.0, 0.0], [3.0, 4.0]]), "PCA") as fit:
        ...     fit.wait().shape
        (2, 1)
    """

    def __init__(self, estimator: BaseEstimator, points: np.ndarray, what: str) -> None:
        self.seconds = 0.0
        self._what = what
        self._parameters: dict[str, Any] = estimator.get_params(deep=False)
        self._counts = type(estimator).__name__ == "TSNE" and not self._parameters["verbose"]
        self._positions: np.ndarray | None = None
        self._error: Exception | None = None
        self._stream = _Iterations(sys.stdout)
        if self._counts:
            estimator.set_params(verbose=2)
        # When the program ends, Python does not wait for this thread.
        self._thread = Thread(target=self._fit, args=(estimator, points), daemon=True)
        self._context = ExitStack()
        self._started = perf_counter()

    def __enter__(self) -> "BackgroundFit":
        self._started = perf_counter()
        self._context.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._context.enter_context(ThreadpoolController().limit(limits=1, user_api="blas"))
        if self._counts:
            self._context.enter_context(redirect_stdout(self._stream))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.is_stopped = True
        try:
            if self._counts:
                self._thread.join()
        finally:  # Ctrl-C may interrupt the line above.
            self._context.close()

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
                if self._counts:
                    progress.update(self._stream.iteration)
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
        is_stopped: If true, t-SNE is stopped when it prints its next line.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.iteration = 0
        self.is_stopped = False
        self._swallows_newline_of: int | None = None  # identity of a thread

    @override
    def write(self, text: str) -> int:
        if text.startswith("[t-SNE]"):
            if self.is_stopped:
                raise InterruptedError("The report has ended.")
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
