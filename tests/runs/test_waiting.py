"""Threads wait without using the CPU as long as other processes need it, and compute the same as before."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from celeba_lab.runs import waiting
from celeba_lab.runs.waiting import GIVEN, RunDelay, Waiting, waiting_facts, waiting_for_others

BUSY, BETWEEN, FREE = 0.6, 0.2, 0.01


def write_delays(process: Path, *delays: str) -> None:
    for number, text in enumerate(delays):
        (process / "task" / str(number)).mkdir(parents=True, exist_ok=True)
        (process / "task" / str(number) / "schedstat").write_text(text)


def test_the_delay_of_all_threads_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.0, 13.0, 14.0])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    write_delays(tmp_path, "5 1000000000 7\n", "5 0 7\n")
    delay = RunDelay(tmp_path)
    write_delays(tmp_path, "9 1500000000 9\n", "9 300000000 9\n", "1 200000000 1\n")
    assert delay.measure() == pytest.approx(0.5)
    write_delays(tmp_path, "9 1500000000 9\n", "", "garbage 1 2 3\n")
    assert delay.measure() == 0
    for path in (tmp_path / "task").rglob("schedstat"):
        path.unlink()
    assert delay.measure() is None


@pytest.mark.parametrize("text", [None, "", "1 2", "1 2 3 4", "a b c", "1 -5 3"])
def test_without_measurements_the_delay_is_unknown(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write_delays(tmp_path, text)
    assert RunDelay(tmp_path).measure() is None


class FakeIdle:
    """Stands for the idle threads, and lists when they begin and end."""

    log: ClassVar[list[str]] = []

    def __init__(self, path: Path) -> None:
        self.log.append("begin")

    def end(self) -> None:
        self.log.append("end")


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(FakeIdle, "log", [])

    def begin(self: Waiting) -> None:
        for path in waiting.find_openmp() - self._idle.keys():
            self._idle[path] = FakeIdle(path)

    monkeypatch.setattr(Waiting, "_begin", begin)
    monkeypatch.setattr(waiting, "find_openmp", lambda: {Path("libgomp.so.1")})
    return FakeIdle.log


@pytest.mark.parametrize(
    ("delays", "log", "seconds"),
    [
        ([FREE] * 9, [], 0),
        ([FREE, BETWEEN, FREE], [], 0),
        ([BUSY, BUSY], ["begin"], 0.5),
        ([BUSY, BETWEEN, BETWEEN, BETWEEN, BETWEEN, BETWEEN], ["begin"], 2.5),
        ([BUSY, FREE, FREE, FREE], ["begin"], 1.5),
        ([BUSY, FREE, FREE, FREE, FREE, FREE], ["begin", "end"], 2.0),
        ([BUSY, FREE, FREE, FREE, BETWEEN, FREE, FREE, FREE], ["begin"], 3.5),
        ([BUSY, *[FREE] * 4, BUSY], ["begin", "end", "begin"], 2.0),
        ([BUSY, None, None, None, None, None], ["begin"], 2.5),
        ([None], [], 0),
    ],
)
def test_the_way_of_waiting_follows_the_load(idle, delays: list, log: list, seconds: float) -> None:
    policy = Waiting()
    for delay in delays:
        policy.update(delay, 0.5)
    assert idle == log
    assert policy.is_passive == (len(log) % 2 == 1)
    assert policy.seconds == seconds


def test_a_copy_of_openmp_that_is_loaded_later_is_found(idle: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Waiting()
    policy.update(BUSY, 0.5)
    monkeypatch.setattr(waiting, "find_openmp", lambda: {Path("libgomp.so.1"), Path("libgomp-a3.so.1")})
    policy.update(BUSY, 0.5)
    assert idle == ["begin"], "there is no reason to search again"
    monkeypatch.setitem(sys.modules, "a_new_module", threading)
    for delay in (BUSY, BUSY, *[FREE] * 4):
        policy.update(delay, 0.5)
    assert idle == ["begin", "begin", "end", "end"]


def test_nothing_changes_with_another_openmp_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "find_openmp", set)
    policy = Waiting()
    policy.update(BUSY, 0.5)
    assert not policy.is_passive
    assert policy.seconds == 0


@pytest.mark.parametrize("name", GIVEN)
def test_the_policy_of_the_user_is_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for each in GIVEN:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, "1")
    with waiting_for_others():
        assert "waiting-policy" not in {thread.name for thread in threading.enumerate()}
        assert waiting_facts() == {"waiting": f"{name}=1"}


def test_the_machine_is_watched_only_within_the_block(
    monkeypatch: pytest.MonkeyPatch, idle: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for each in GIVEN:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setattr(waiting, "_PERIOD", 0.001)
    monkeypatch.setattr(RunDelay, "measure", lambda self: BUSY)
    begun = threading.Event()
    begin = Waiting._begin
    monkeypatch.setattr(Waiting, "_begin", lambda self: (begin(self), begun.set()))
    monkeypatch.setattr(waiting, "_MENTIONED", -1.0)
    with waiting_for_others():
        assert begun.wait(10)
    assert "busy: for 0 s, other processes needed the cores" in " ".join(capsys.readouterr().out.split())
    assert idle == ["begin", "end"]
    assert "waiting-policy" not in {thread.name for thread in threading.enumerate()}
    assert waiting_facts()["waiting"] == "passive if busy"


@pytest.mark.skipif(sys.platform != "linux", reason="lists threads in /proc")
def test_idle_threads_exceed_the_cores_and_leave_the_number_of_threads_alone() -> None:
    """Beyond the number of cores, OpenMP does not use the CPU to wait."""
    code = (
        "import ctypes, json, os, time, torch\n"
        "from celeba_lab.runs.waiting import IdleThreads, find_openmp\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\n"
        "[path] = [path for path in find_openmp() if 'torch' in path.parts]\n"
        "openmp, found = ctypes.CDLL(str(path)), []\n"
        "images, weights = torch.randn(4, 16, 64, 64), torch.randn(32, 16, 3, 3)\n"
        "expected = torch.nn.functional.conv2d(images, weights)\n"
        "for _ in range(2):\n"
        "    before = count()\n"
        "    idle = IdleThreads(openmp)\n"
        "    found.append([count() - before, openmp.omp_get_num_procs(), torch.get_num_threads()])\n"
        "    assert torch.equal(torch.nn.functional.conv2d(images, weights), expected)\n"
        "    idle.end()\n"
        "    deadline = time.monotonic() + 10\n"
        "    while count() > before and time.monotonic() < deadline:\n"
        "        time.sleep(0.01)\n"
        "    found[-1].append(count() - before)\n"
        "print(json.dumps(found))\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    for added, cores, number, left in json.loads(result.stdout):
        assert number == 2
        # The two threads that compute, and those that were added without the one that holds them.
        assert 2 + added - 1 > cores
        assert left == 0
