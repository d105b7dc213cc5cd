"""Progress shown on a terminal and in a log."""

import re
import time

import pytest

from celeba_lab import console as module
from celeba_lab.console import Progress, draw_bar, format_seconds, progress


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
