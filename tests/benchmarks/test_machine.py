"""The load that other processes cause."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from celeba_lab.benchmarks import machine
from celeba_lab.benchmarks.machine import Watch, describe_machine, share_of_others


@pytest.mark.parametrize(
    ("busy", "own", "share"),
    [(10.0, 10.0, 0.0), (15.0, 10.0, 0.25), (20.0, 0.0, 1.0), (9.9, 10.0, 0.0), (30.0, 0.0, 1.0)],
)
def test_the_share_of_others_is_what_this_process_did_not_use(busy: float, own: float, share: float) -> None:
    assert share_of_others(10.0, busy, own, cores=2) == pytest.approx(share)


def test_the_share_is_unknown_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_STAT", tmp_path / "stat")
    with Watch() as watch:
        pass
    assert math.isnan(watch.load)


def test_waiting_for_the_disk_is_not_a_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 20 30 4000 5000 6 7 8 0 0\ncpu0 1 1 1 1\n")
    monkeypatch.setattr(machine, "_STAT", stat)
    monkeypatch.setattr("os.sysconf", lambda name: 100)
    assert machine._read_busy() == pytest.approx((100 + 20 + 30 + 6 + 7 + 8) / 100)


def test_a_child_process_that_has_ended_counts_as_own() -> None:
    before = machine._CpuTimes.read()
    subprocess.run([sys.executable, "-S", "-c", "for _ in range(3_000_000): pass"], check=True)
    assert machine._CpuTimes.read().own - before.own >= 0.02


def test_the_machine_is_described() -> None:
    facts = describe_machine()
    assert {"processor", "cores", "memory", "system", "torch", "python"} <= facts.keys()
    assert all(isinstance(text, str) and text for text in facts.values())
