"""Processes of jobs search only safe folders for modules, and go back to the queue of a scheduler between batches."""

import os
import pickle
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import celeba_lab
from celeba_lab.cli.job_process import is_requeued, job_process, requeue, worker_environment
from celeba_lab.runs.interrupts import Interrupted

PACKAGE = str(Path(celeba_lab.__file__).parents[1])


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Signals that submitit's handler has received."""
    numbers: list[int] = []
    before = signal.getsignal(signal.SIGUSR2)
    monkeypatch.setenv("SUBMITIT_FOLDER", "x")
    signal.signal(signal.SIGUSR2, lambda number, frame: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGUSR2, before)


def test_a_signal_to_requeue_stops_the_job_first(received: list[int], tmp_path: Path) -> None:
    with job_process(str(tmp_path)):
        with pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), signal.SIGUSR2)
        assert (is_requeued(signal.SIGUSR2), is_requeued(signal.SIGTERM), received) == (True, False, [])
        requeue(caught.value.signal)
        assert received == [signal.SIGUSR2]
    assert not is_requeued(signal.SIGUSR2)
    os.kill(os.getpid(), signal.SIGUSR2)  # Outside of the job, submitit's own handler is called.
    assert received == [signal.SIGUSR2] * 2


def test_a_job_that_reached_its_time_limit_too_often_says_so(received: list[int], tmp_path: Path) -> None:
    utils = pytest.importorskip("submitit.core.utils", reason="install celeba_lab[slurm]")

    def refuse(*args: object) -> None:
        raise utils.UncompletedJobError("timed-out too many times")

    signal.signal(signal.SIGUSR2, refuse)
    with job_process(str(tmp_path)):
        assert requeue(signal.SIGUSR2).startswith("It reached its time limit for the last time.")


def test_other_processes_are_not_requeued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUBMITIT_FOLDER", raising=False)
    with job_process(str(tmp_path)):
        assert not is_requeued(signal.SIGUSR2)


def test_an_interrupted_job_can_be_reported_by_another_process() -> None:
    restored = pickle.loads(pickle.dumps(Interrupted(signal.SIGUSR2)))
    assert (restored.signal, restored.code) == (signal.SIGUSR2, 140)


def test_processes_do_not_search_the_current_folder_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([PACKAGE, "/mine"]))
    monkeypatch.setenv("CELEBA_ROOT", "/faces")
    monkeypatch.setenv("SECRET", "x")
    found = worker_environment()
    assert found["PYTHONSAFEPATH"] == "1"
    assert found["PYTHONPATH"].split(os.pathsep) == [PACKAGE, "/mine"]
    assert (found["CELEBA_ROOT"], "SECRET" in found) == ("/faces", False)


@pytest.mark.parametrize(("search", "expected"), [([PACKAGE], [PACKAGE]), (["/other"], [])])
def test_a_checkout_that_is_not_installed_is_found(
    search: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "path", search)
    paths = worker_environment()["PYTHONPATH"]
    assert [text for text in paths.split(os.pathsep) if text] == expected
