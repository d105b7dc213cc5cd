"""Tests of drawing figures, also in other processes."""

import gc
import io
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from celeba_lab.runs import drawing
from celeba_lab.runs.drawing import BackgroundDrawing, draw_png
from celeba_lab.runs.folder import RunFolder


@pytest.fixture(scope="module", autouse=True)
def usual_resolution(figure_dpi):
    """Other processes do not know the lower resolution of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_DPI", figure_dpi)
        yield


@pytest.fixture(scope="module")
def processes():
    """Let figures be drawn in two other processes."""
    drawing.start_processes.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "usable_cores", lambda: 2)
        yield
    if (pool := drawing.start_processes()) is not None:
        pool.shutdown()
    drawing.start_processes.cache_clear()


def make_figure(title: str = "") -> Figure:
    figure = Figure(figsize=(2, 1), layout="constrained")
    axes = figure.subplots(1, 2)
    axes[0].imshow([[0, 1], [2, 3]])
    axes[1].set_ylabel("faces")
    figure.suptitle(title)
    return figure


def test_a_figure_looks_as_matplotlib_saves_it():
    figure, saved = make_figure("two panels"), io.BytesIO()
    canvas, dpi = figure.canvas, figure.get_dpi()
    make_figure("two panels").savefig(saved, dpi=drawing._DPI)
    with Image.open(io.BytesIO(draw_png(figure))) as drawn, Image.open(saved) as expected:
        assert drawn.tobytes() == expected.tobytes()
    assert (figure.canvas, figure.get_dpi()) == (canvas, dpi)


def test_other_processes_draw_the_same_figures_in_order(processes, tmp_path):
    run = RunFolder(tmp_path)
    with run.reporting():
        assert isinstance(run._drawing._pool, ProcessPoolExecutor)
        paths = [run.figure(name, make_figure(name)) for name in ("first", "second", "third")]
    assert [path.read_bytes() for path in paths] == [draw_png(make_figure(path.stem)) for path in paths]
    assert run.seconds["report"] > 0


def test_a_figure_that_cannot_be_pickled_is_drawn_in_this_process(processes):
    figure, images = make_figure(), []
    figure.axes[1].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value} faces"))
    background = BackgroundDrawing()
    background.add(figure, images.append)
    background.add(make_figure("after"), images.append)
    background.complete()
    assert images == [draw_png(figure), draw_png(make_figure("after"))]


def test_an_error_in_another_process_is_raised(processes, tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="frac"), run.reporting():
        run.figure("broken", make_figure(r"$\frac$"))
    assert not (tmp_path / "figures").exists()
    assert run.figure("later", make_figure()).is_file()


def test_figures_are_saved_although_a_later_part_of_the_report_fails(processes, tmp_path):
    run = RunFolder(tmp_path)

    def report():
        with run.reporting():
            run.figure("roc", make_figure())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        report()
    assert (tmp_path / "figures" / "roc.png").read_bytes() == draw_png(make_figure())


def test_figures_of_a_killed_process_are_drawn_in_this_process(processes):
    images, background = [], BackgroundDrawing()
    background.add(make_figure("first"), images.append)
    for process in drawing.start_processes()._processes:
        os.kill(process, signal.SIGKILL)
    background.add(make_figure("second"), images.append)
    background.complete()
    assert images == [draw_png(make_figure("first")), draw_png(make_figure("second"))]


def test_figures_are_saved_before_a_page_shows_them(processes, tmp_path):
    run = RunFolder(tmp_path)
    with run.reporting():
        path = run.figure("roc", make_figure())
        run.complete_figures()
        assert path.read_bytes() == draw_png(make_figure())


def frozen_objects() -> int:
    return gc.get_freeze_count()


def test_the_processes_are_forked_from_one_that_is_prepared(processes):
    pool = drawing.start_processes()
    assert pool is not None
    assert pool.submit(frozen_objects).result() > 1000


def test_an_import_prepares_no_other_process():
    script = "import gc, celeba_lab.runs.drawing_server; print(gc.get_freeze_count())"
    assert subprocess.check_output([sys.executable, "-c", script], text=True, timeout=60) == "0\n"


def raising(error):
    def refuse(*_, **__):
        raise error

    return refuse


REASONS = {
    "one core": (drawing, "usable_cores", lambda: 1),
    "no such processes": (drawing.multiprocessing, "get_all_start_methods", lambda: ["spawn"]),
    "no server": (drawing.forkserver, "ensure_running", raising(OSError("AF_UNIX path too long"))),
    "no process": (drawing.ProcessPoolExecutor, "submit", raising(AssertionError("daemonic processes"))),
}


@pytest.mark.parametrize("reason", REASONS)
def test_figures_are_drawn_in_this_process_if_others_would_not_help(reason, monkeypatch, tmp_path):
    drawing.start_processes.cache_clear()
    monkeypatch.setattr(drawing, "usable_cores", lambda: 2)
    monkeypatch.setattr(*REASONS[reason])
    run = RunFolder(tmp_path)
    with run.reporting():
        path = run.figure("roc", make_figure())
    assert path.read_bytes() == draw_png(make_figure())
    drawing.start_processes.cache_clear()
