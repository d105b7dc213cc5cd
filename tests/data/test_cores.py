"""The CPU cores that containers, schedulers and other processes leave to a process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from celeba_lab.data import cores
from celeba_lab.data.cores import Cores, OtherLoad

V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
# Only the group /docker/1 is visible.
V2_INSIDE, V1_INSIDE = (text.replace(" / /sys", " /docker/1 /sys") for text in (V2, V1))


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., Path]:
    """``system({"proc/self/cgroup": text, ...})`` writes files to a folder that stands for ``/``."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(text.encode("latin-1"))
        return tmp_path

    return write


def v2(path: str, mountinfo: str = V2, **limits: str) -> dict[str, str]:
    """Return the files of version 2, with ``cpu.max`` of groups by path, in which ``_`` stands for ``/``."""
    found = {f"sys/fs/cgroup/{name.replace('_', '/')}/cpu.max": text for name, text in limits.items()}
    return found | {"proc/self/cgroup": f"0::{path}\n", "proc/self/mountinfo": mountinfo}


def v1(path: str, mountinfo: str = V1, **limits: tuple[str, str]) -> dict[str, str]:
    """Return the files of version 1, with quota and period of groups by path."""
    files = {"proc/self/cgroup": f"9:memory:/m\n4:cpu,cpuacct:{path}\n0::/\n", "proc/self/mountinfo": mountinfo}
    for name, values in limits.items():
        for kind, text in zip(("quota", "period"), values, strict=True):
            files[f"sys/fs/cgroup/cpu,cpuacct/{name.replace('_', '/')}/cpu.cfs_{kind}_us"] = text
    return files


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, Cores(8, "machine")),
        (v2("/"), Cores(8, "machine")),
        (v2("/a", a="max 100000\n"), Cores(8, "machine")),
        (v2("/a", a="200000 100000\n"), Cores(2, "container")),
        (v2("/a", a="250000 100000\n"), Cores(2, "container")),
        (v2("/a", a="50000 100000\n"), Cores(1, "container")),
        (v2("/a", a="900000 100000\n"), Cores(8, "machine")),
        (v2("/a/b/c", a="300000 100000\n", a_b="max 100000\n", a_b_c="600000 100000\n"), Cores(3, "container")),
        (v2("/a/b", a_b="400000 100000\n", other="100000 100000\n"), Cores(4, "container")),
        # In a container, the path may be one of the host, of which only the own group is visible.
        (v2("/docker/1", V2_INSIDE, **{".": "200000 100000"}), Cores(2, "container")),
        (v2("/docker/1/x", V2_INSIDE, x="100000 100000"), Cores(1, "container")),
        (v2("/../../else", **{".": "500000 100000"}), Cores(5, "container")),
        (v2("/somewhere/else", V2_INSIDE, **{".": "200000 100000"}), Cores(2, "container")),
        (v1("/a", a=("200000", "100000")), Cores(2, "container")),
        (v1("/a", a=("-1", "100000")), Cores(8, "machine")),
        (v1("/a/b", a=("300000", "100000"), a_b=("-1\n", "100000\n")), Cores(3, "container")),
        (v1("/a", a=("0", "100000")), Cores(8, "machine")),
        (v1("/a", a=("100000", "0")), Cores(8, "machine")),
        (v1("/docker/1", V1_INSIDE, **{".": ("150000", "50000")}), Cores(3, "container")),
        # Both versions are mounted, and only the controllers of version 1 limit the CPU.
        (v1("/a", V1 + V2.replace("/cgroup rw", "/cgroup/unified rw"), a=("100000", "100000")), Cores(1, "container")),
    ],
)  # fmt: skip
def test_cpu_limits_of_containers_are_read(system: Callable[..., Path], files: dict, expected: Cores) -> None:
    assert Cores.find(system(files)) == expected


@pytest.mark.parametrize(
    "text", ["", "max", "x y", "100000", "1 2 3", "-5 10", "1.5 2", "\xff\xfe\x00", "9" * 9999 + " 1"]
)
def test_damaged_limits_are_ignored(system: Callable[..., Path], text: str) -> None:
    assert Cores.find(system(v2("/a", a=text))).number == 8
    if text != "100000":
        assert Cores.find(system(v1("/a", a=(text, "100000")) | {"sys/fs/cgroup/a/cpu.max": ""})).number == 8


@pytest.mark.parametrize("name", ["proc/self/cgroup", "proc/self/mountinfo"])
@pytest.mark.parametrize(
    "text", ["", "\n\n", "x", "0::", ":", "1 2 3 4 5\n", " - \n", "1 2 - cgroup2\n", "\xff\x00 - a b"]
)
def test_damaged_lists_of_control_groups_are_ignored(system: Callable[..., Path], name: str, text: str) -> None:
    assert Cores.find(system(v2("/a", a="200000 100000") | {name: text})).number in (2, 8)


def test_the_lowest_limit_counts(system: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 6}, raising=False)
    assert Cores.find(system(v2("/a", a="max 100000"))) == Cores(3, "affinity")
    assert Cores.find(system(v2("/a", a="400000 100000"))) == Cores(3, "affinity")
    assert Cores.find(system(v2("/a", a="200000 100000"))) == Cores(2, "container")


def stat(*rows: tuple[int, int]) -> str:
    """Return /proc/stat, in which each core has been busy and idle for some hundredths of a second."""
    lines = [f"cpu{k} {busy} 0 0 {idle} 0 0 0 0 0 0" for k, (busy, idle) in enumerate(rows)]
    return "\n".join(["cpu  1 2 3 4 5 6 7 8 9 0", *lines, "intr 5", "ctxt 7"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists child processes in /proc")
def test_child_processes_are_not_others() -> None:
    """A run may start processes at once, such as those that draw figures."""
    load = OtherLoad()
    spin = "import time; end = time.process_time() + 1\nwhile time.process_time() < end: pass\nprint(1); input()"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])"
    with subprocess.Popen([sys.executable, "-c", nested], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        start, now = load._start, load._read()
        child.communicate(b"\n")
    assert start is not None
    assert now is not None
    assert now[2] - start[2] >= 0.9


def test_the_load_of_systems_without_these_counters_is_unknown(
    system: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sysconf", raising=False)  # as on Windows
    assert OtherLoad(system({})).missing_cores(2) is None


def measure(
    system: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, rows: list[tuple[int, int]], own: float, number: int
) -> float | None:
    """Return what is measured within a second in which the cores were busy and idle, and this process used ``own``."""
    monkeypatch.setattr(os, "sysconf", lambda _: 100)
    times = iter([(1.0, 1, 0, 0, 0), (1.0 + own, 1, 0, 0, 0)])
    monkeypatch.setattr(os, "times", lambda: next(times))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(len(rows))), raising=False)
    load = OtherLoad(system({"proc/stat": stat(*((5, 7) for _ in [*rows, "a core of others"]))}))
    system({"proc/stat": stat(*((5 + busy, 7 + idle) for busy, idle in rows), (999, 0))})
    return load.missing_cores(number)


@pytest.mark.parametrize(
    ("rows", "own", "number", "expected"),
    [
        ([(0, 100), (0, 100)], 0.0, 2, 0.0),
        ([(100, 0), (0, 100)], 0.0, 2, 1.0),
        ([(100, 0), (0, 100)], 1.0, 2, 0.0),
        ([(100, 0), (100, 0)], 0.5, 2, 1.5),
        ([(60, 40), (60, 40)], 1.2, 2, 0.0),
        ([(100, 0)] * 4, 0.0, 2, 2.0),
        ([(100, 0), (100, 0), (0, 100), (0, 100)], 0.0, 2, 0.0),  # The limit is lower than the number of free cores.
        ([(100, 0), (100, 0), (100, 0), (0, 100)], 0.0, 2, 1.0),
        ([(1, 1), (1, 1)], 0.0, 2, None),  # Two hundredths of a second are too short.
        ([(0, 0), (0, 0)], 0.0, 2, None),
    ],
)
def test_cores_that_others_use_are_measured(
    system: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    rows: list[tuple[int, int]],
    own: float,
    number: int,
    expected: float | None,
) -> None:
    assert measure(system, monkeypatch, rows, own, number) == expected


@pytest.mark.parametrize("text", ["", "cpu 1 2", "cpu0 x y z 1 2 3 4 5", "cpu0 1 2 3\n", "\xff\x00", "intr 4"])
def test_the_load_is_unknown_if_the_file_is_missing_or_damaged(system: Callable[..., Path], text: str) -> None:
    folder = system({})
    assert OtherLoad(folder).missing_cores(8) is None
    good = stat(*((5, 5) for _ in range(8)))
    for first, second in ((text, good), (good, text)):
        load = OtherLoad(system({"proc/stat": first}))
        system({"proc/stat": second})
        assert load.missing_cores(8) is None


def test_the_real_files_can_be_read() -> None:
    assert 1 <= Cores.find().number <= 8
    OtherLoad().missing_cores(1)


def test_other_systems_than_linux_have_no_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert Cores.find(tmp_path) == Cores(8, "machine")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.Cores.find(tmp_path) == Cores(1, "machine")
