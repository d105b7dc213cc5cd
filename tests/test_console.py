"""Progress shown on a terminal and in a log, and names from files that a terminal must not interpret."""

import io
import re
import time
from collections.abc import Callable

import pandas as pd
import pytest
from rich.columns import Columns
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from celeba_lab import console as module
from celeba_lab.console import PlainConsole, Progress, draw_bar, format_seconds, progress, show_table


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output without a terminal, with a line every 20 ms instead of every 30 s."""
    monkeypatch.setattr(module.console, "_force_terminal", False)
    monkeypatch.setattr(Progress, "interval", 0.02)


def test_a_log_shows_the_count_and_the_time_left(log, capsys):
    with Progress("decoding", total=10, unit="images") as bar:
        bar.update(4, "loss 0.5")
        time.sleep(0.1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2
    assert re.fullmatch(r"decoding  ━+╌+  4/10 images  loss 0.5  0:\d\d left", lines[0])


def test_a_log_shows_progress_without_a_step_count(log, capsys):
    with Progress("t-SNE"):
        time.sleep(0.1)
    assert re.search(r"t-SNE  0:\d\d so far", capsys.readouterr().out)


def test_nested_progress_is_shown_in_one_line(log, capsys):
    with Progress("report", total=2) as outer, Progress("drawing"):
        time.sleep(0.2)
        assert outer._open[-1].what == "drawing"
    *_, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"report \(0/2\): drawing  0:\d\d so far", last)
    assert not Progress._open


def test_short_nested_work_does_not_replace_the_line_of_the_outer_work(monkeypatch):
    with Progress("training", total=4) as outer, Progress("drawing") as inner:
        assert outer._shown().startswith("training")
        monkeypatch.setattr(inner, "_start", inner._start - Progress.delay)
        assert outer._shown().startswith("training (0/4): drawing")


def test_a_series_of_short_sections_is_not_silent(log, monkeypatch, capsys):
    monkeypatch.setattr(Progress, "interval", 0.1)
    monkeypatch.setattr(Progress, "delay", 0.001)
    for _ in range(10):
        with Progress("reading"):
            time.sleep(0.04)  # Each section is shorter than the interval.
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line.startswith("reading") for line in lines)


def test_short_work_prints_nothing(capsys):
    assert list(progress(range(3), "counting")) == [0, 1, 2]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
def test_a_line_never_wraps(width):
    bar = Progress("drawing faces into data/synthetic", total=202_599, unit="faces")
    bar.update(100_000, "loss 0.1234  images/s 812")
    assert len(bar.text(width)) <= width


def test_the_time_left_is_extrapolated_from_the_steps_done(monkeypatch):
    bar = Progress("fitting", total=40)
    assert bar.seconds_left is None
    bar.update(10)
    monkeypatch.setattr(Progress, "seconds", 20.0)
    assert bar.seconds_left == 60.0


def test_the_total_is_the_length_of_the_iterable(monkeypatch):
    seen = []
    monkeypatch.setattr(Progress, "advance", lambda self, steps=1: seen.append(self.total))
    list(progress([1, 2, 3], "counting"))
    list(progress(iter([1, 2, 3]), "counting"))
    assert seen == [3] * 3 + [None] * 3


def test_an_exception_stops_the_progress_line_and_propagates(log):
    bar = Progress("failing", total=2)
    with pytest.raises(ZeroDivisionError), bar:
        1 / 0  # noqa: B018
    assert bar._thread is None


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (65.4, "1:05"), (7265, "2:01:05"), (59.7, "1:00")])
def test_durations_are_formatted(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(("share", "bar"), [(0, "╌╌╌╌"), (0.5, "━━╌╌"), (1, "━━━━"), (7, "━━━━")])
def test_bars_are_drawn_in_proportion(share, bar):
    assert draw_bar(share, 4) == bar


EVIL = "a\x1b[31mb\x9b1mc\u202ed\udcff"
ESCAPED = r"a\x1b[31mb\x9b1mc\u202ed\udcff"


def table_of(text: str) -> Table:
    table = Table(title=text, caption=text)
    table.add_column(text)
    table.add_column(Text(text))
    table.add_row(text, Text(text))
    return table


@pytest.mark.parametrize(
    ("build", "times"),
    [
        (str, 1),
        (Text, 1),
        (lambda text: Text.assemble((text, "bold"), text), 2),
        (table_of, 6),
        (lambda text: Panel(Text(text), title=text), 2),
        (lambda text: Tree(Text(text)), 1),
        (lambda text: Columns([Text(text), text]), 2),
        (lambda text: [text], 1),
    ],
)
def test_controls_in_everything_that_is_printed_are_escaped(build: Callable[[str], object], times: int) -> None:
    file = io.StringIO()
    PlainConsole(file=file, width=400).print(build(EVIL))
    assert "\x1b" not in file.getvalue()
    # A text in a cell is cut, because its width is measured before it is escaped.
    assert file.getvalue().count(r"a\x1b[31m") == times


def test_colours_and_the_cursor_of_the_terminal_still_work() -> None:
    file = io.StringIO()
    console = PlainConsole(file=file, force_terminal=True, color_system="standard", width=80, legacy_windows=False)
    console.print(Text(EVIL, "bold"), "two\nlines\tand a tab", style="red")
    with Live(Text(EVIL), console=console, transient=True):
        pass
    printed = file.getvalue()
    assert "\x1b[1;31m" in printed  # bold and red
    assert "\x1b[2K" in printed  # erases the line
    assert printed.count(ESCAPED) >= 2
    assert "\x1b[31mb" not in printed.replace(ESCAPED, "")
    assert "two\nlines" in re.sub(r"\x1b\[[0-9;]*m", "", printed)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("columns", [1, 4, 12])
def test_a_table_fits_the_terminal_and_no_number_is_cut(
    width: int, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module.console, "_width", width)
    names = ["outputs/smile/sweep_2026-11-27_17-05-09/0_lr-0.001_seed-1", "a short name with several words"]
    frame = pd.DataFrame({"run": names, **{f"val/metric_{k}": [k + 0.25, k + 0.5] for k in range(columns)}})
    show_table("runs", frame)
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert max(map(len, lines)) <= width
    assert "0.2500" in printed
    assert lines[1].endswith("┓"), "the right border is cut"
    assert ("more column" in printed) == (f"val/metric_{columns - 1}" not in printed)


@pytest.mark.parametrize("width", [20, 40, 60])
def test_text_that_consists_of_numbers_is_not_broken(width: int, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(module.console, "_width", width)
    means = ["0.9100 ± 0.0100", ""]
    frame = pd.DataFrame({"setting": ["long name " * 5, "b"], "val/accuracy": means, "test/accuracy": means})
    show_table("seeds", frame)
    printed = capsys.readouterr().out
    assert printed.count("0.91") == printed.count("0.9100 ± 0.0100") == (2 if width == 60 else 1 if width == 40 else 0)
