"""CPU cores that this process may use, which containers and schedulers limit, and cores that other processes use.

This module does not import torch.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_SYSTEM = Path("/")
_BUSY = (0, 1, 2, 5, 6, 7)  # Columns of /proc/stat: user, nice, system, irq, softirq, and time taken by the host.
_MOST_DIGITS = 20
_SHORTEST = 0.05  # Seconds. The counters of /proc/stat have a resolution of 0.01 seconds.


@dataclass(frozen=True)
class Cores:
    """The CPU cores that this process may use at the same time.

    Attributes:
        number: Number of cores, at least 1.
        origin: What determines this number: ``machine``, ``affinity`` (which also contains the cpuset of a container),
            or ``container``, whose CPU limit is lower. A limit of 2.5 cores counts as two, because a third thread would
            be stopped for half of the time, and the others would wait for it.
    """

    number: int
    origin: str

    @classmethod
    def find(cls, system: Path = _SYSTEM) -> "Cores":
        """Return the cores that this process may use.

        Args:
            system: Folder that contains ``proc`` and ``sys``.
        """
        total = os.cpu_count() or 1
        number = len(_allowed(total))
        origin = "machine" if number >= total else "affinity"
        limit = _container_limit(system)
        if limit is not None and int(limit) < number:
            return cls(max(1, int(limit)), "container")
        return cls(number, origin)


class OtherLoad:
    """CPU time that other processes use, from the creation of this object on.

    Args:
        system: Folder that contains ``proc``.
    """

    def __init__(self, system: Path = _SYSTEM) -> None:
        self._system = system
        self._start = self._read()

    def missing_cores(self, number: int) -> float | None:
        """Return how many cores of those that this process may use were not free, on average.

        Args:
            number: Number of cores that this process may use. If the machine has more, others may use the rest.

        Returns:
            Number of cores between 0 and ``number``, or None if it is unknown or too little time has passed.
        """
        if self._start is None or (now := self._read()) is None:
            return None
        seconds = (now[1] - self._start[1]) / len(now[0]) if now[0].keys() == self._start[0].keys() else 0.0
        if seconds < _SHORTEST:
            return None
        others = (sum(now[0].values()) - sum(self._start[0].values()) - now[2] + self._start[2]) / seconds
        return round(min(float(number), max(0.0, number - (len(now[0]) - others))), 1)

    def _read(self) -> tuple[dict[str, float], float, float] | None:
        """Return the busy seconds of each allowed core, the seconds of all of them, and those of this process."""
        allowed = {f"cpu{core}" for core in _allowed(os.cpu_count() or 1)}
        rows = (line.split() for line in _read_text(self._system / "proc/stat").splitlines())
        try:
            ticks = {row[0]: [int(text) for text in row[1:9]] for row in rows if row and row[0] in allowed}
            counts = {name: sum(row[k] for k in _BUSY) for name, row in ticks.items()}
        except (ValueError, IndexError):
            return None
        if not counts:  # Only Linux has this file, and not all systems have os.sysconf.
            return None
        per_second = os.sysconf("SC_CLK_TCK")
        busy = {name: count / per_second for name, count in counts.items()}
        own = sum(os.times()[:4]) + _count_ticks(self._system / "proc", "self") / per_second
        return busy, sum(map(sum, ticks.values())) / per_second, own


def _count_ticks(proc: Path, process: str) -> int:
    """Return the CPU time of the running child processes of a process and of their children, in ticks of the clock."""
    ticks = 0
    for task in (proc / process / "task").glob("*/children"):
        for child in _read_text(task).split():
            # The name of the process, in parentheses, may contain spaces. Two fields count children that have ended.
            times = _read_text(proc / child / "stat").rpartition(")")[2].split()[11:15]
            ticks += sum(int(text) for text in times if text.isdecimal()) + _count_ticks(proc, child)
    return ticks


def _allowed(total: int) -> set[int]:
    """Return the numbers of the cores on which the system runs this process."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(total))


def _container_limit(system: Path) -> float | None:
    """Return the lowest CPU limit of the control groups (cgroups, version 1 or 2) of this process, in cores."""
    limits = (_read_limit(folder) for folder in _control_groups(system))
    return min((limit for limit in limits if limit is not None), default=None)


def _control_groups(system: Path) -> Iterator[Path]:
    """Yield the folders of the control groups that contain this process, as far as they are visible in a container."""
    paths: dict[str, str] = {}
    for line in _read_text(system / "proc/self/cgroup").splitlines():
        _, _, named = line.partition(":")
        controllers, separator, path = named.partition(":")
        if separator:
            paths |= dict.fromkeys(controllers.split(","), path)
    for line in _read_text(system / "proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        mount, kind = left.split(), right.split()
        if len(mount) < 5 or not kind:
            continue
        controller = "" if kind[0] == "cgroup2" else "cpu"
        is_for_cpu = kind[0] == "cgroup2" or (kind[0] == "cgroup" and "cpu" in kind[-1].split(","))
        if is_for_cpu and controller in paths:
            yield from _between(system / mount[4].lstrip("/"), paths[controller], mount[3])


def _between(mounted: Path, path: str, root: str) -> Iterator[Path]:
    """Yield the folder of a control group and those of the groups that contain it.

    Args:
        mounted: Folder at which a hierarchy of control groups is mounted.
        path: Path of the control group in its hierarchy.
        root: Path in the hierarchy of the group that is mounted. In a container, it may not contain ``path``.
    """
    inside = PurePosixPath("/")
    if ".." not in path and PurePosixPath(path).is_relative_to(root):
        inside = PurePosixPath(path).relative_to(root)
    for group in (inside, *inside.parents):
        yield mounted / str(group).lstrip("/")


def _read_limit(folder: Path) -> float | None:
    """Return the CPU limit of a control group in cores, or None without a limit."""
    words = _read_text(folder / "cpu.max").split()  # version 2, such as "150000 100000" or "max 100000"
    if not words:
        words = [_read_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    # A quota of -1 means that there is no limit.
    if len(words) != 2 or not all(word.isdecimal() and len(word) < _MOST_DIGITS for word in words):
        return None
    quota, period = map(int, words)
    return quota / period if quota > 0 and period > 0 else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
