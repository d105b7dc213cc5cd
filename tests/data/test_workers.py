"""The number of CPU cores that a process may use."""

import os

import pytest

from celeba_lab.data.workers import JOBS_AT_ONCE, spare_cores, usable_cores


def test_cores_that_the_process_may_not_use_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert usable_cores() == 3
    assert spare_cores(processes=1) == 2


def test_all_cores_are_counted_if_the_system_does_not_restrict_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert usable_cores() == 4
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


@pytest.mark.parametrize(("jobs", "cores"), [("2", 4), ("3", 2), ("99", 1), ("0", 8), ("many", 8), ("", 8)])
def test_jobs_that_run_at_the_same_time_share_the_cores(monkeypatch: pytest.MonkeyPatch, jobs: str, cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setenv(JOBS_AT_ONCE, jobs)
    assert usable_cores() == cores
    assert spare_cores(processes=1) == cores - 1
