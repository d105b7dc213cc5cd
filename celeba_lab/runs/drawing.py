"""Draw figures as PNG images, in other processes while a report is being written."""

import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from io import BytesIO
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any

from celeba_lab.data.workers import exit_with_parent, ignore_interrupts, usable_cores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150
_COMPRESS_LEVEL = 4  # takes half as long as the default of 6, and the files are 5% larger
# Raised, for example, if too many processes are running, if the path of the folder for temporary files is too long for
# a socket, or by the child processes of a launcher, which may not have children.
_NO_PROCESSES = (BrokenProcessPool, OSError, RuntimeError, AssertionError, EOFError)
_MOST_PROCESSES = 4  # Each imports matplotlib, and few reports have more figures than these can draw in a few seconds.


def draw_png(figure: "Figure") -> bytes:
    """Return a figure as a PNG image with 150 dots per inch.

    The image is the same as that of ``figure.savefig``, which draws a figure twice if its layout is constrained.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas, dpi, stream = figure.canvas, figure.get_dpi(), BytesIO()
    try:
        figure.set_dpi(_DPI)
        canvas_type: Any = FigureCanvasAgg  # Its type hints in matplotlib are incomplete.
        canvas_type(figure).print_png(stream, pil_kwargs={"compress_level": _COMPRESS_LEVEL})
    finally:
        figure.set_dpi(dpi)
        figure.set_canvas(canvas)
    return stream.getvalue()


class BackgroundDrawing:
    """Draws figures in other processes, and passes on the images in the order in which the figures were added.

    If only one CPU core may be used, or the system cannot start such processes, figures are drawn at once in this
    process. The same applies to figures that cannot be pickled.

    Example:
        >>> from matplotlib.figure import Figure
        >>> images, drawing = [], BackgroundDrawing()
        >>> drawing.add(Figure(figsize=(1, 1)), images.append)
        >>> drawing.complete()
        >>> images[0][1:4]
        b'PNG'
    """

    def __init__(self) -> None:
        self._pending: list[tuple[Figure, Future[bytes], Callable[[bytes], object]]] = []
        self._pool = start_processes()

    def add(self, figure: "Figure", use: Callable[[bytes], object]) -> None:
        """Draw a figure, which must not be changed afterwards.

        Args:
            figure: The figure.
            use: Function that is called with the PNG image by :meth:`complete`.
        """
        self._pending.append((figure, self._submit(figure), use))

    def complete(self) -> None:
        """Wait until all figures are drawn, and pass on their images."""
        while self._pending:
            figure, future, use = self._pending.pop(0)
            try:
                image = future.result()
            except _NO_PROCESSES:  # A process was killed, perhaps because the machine ran out of memory.
                self._pool = None
                start_processes.cache_clear()
                image = draw_png(figure)
            use(image)

    def _submit(self, figure: "Figure") -> "Future[bytes]":
        if self._pool is not None:
            try:
                pickled = pickle.dumps(figure)
            except (pickle.PicklingError, AttributeError, TypeError):
                pass  # The figure contains, for example, a local function as the format of its labels.
            else:
                try:
                    return self._pool.submit(_draw_pickled, pickled)
                except _NO_PROCESSES:
                    self._pool = None
        drawn: Future[bytes] = Future()
        drawn.set_result(draw_png(figure))
        return drawn


@lru_cache(maxsize=1)
def start_processes() -> ProcessPoolExecutor | None:
    """Start the processes that draw figures, unless they have been started before.

    They import matplotlib while this process goes on, and end with this process.

    Returns:
        The processes, or None if they would not help or are not supported.
    """
    # Forking this process would be unsafe, because torch and OpenMP may have started threads.
    cores, method = usable_cores(), "forkserver"
    if cores < 2 or method not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload(["celeba_lab.figures", "celeba_lab.runs.drawing_server"])
    try:
        forkserver.ensure_running()  # In contrast to the first call of submit, this does not wait for the imports.
    except _NO_PROCESSES:
        return None
    return ProcessPoolExecutor(min(cores, _MOST_PROCESSES), context, _prepare_process)


def _prepare_process() -> None:
    """Leave signals to the main process, which ends this process, and exit if the main process is killed."""
    ignore_interrupts()
    exit_with_parent()


def _draw_pickled(figure: bytes) -> bytes:
    return draw_png(pickle.loads(figure))
