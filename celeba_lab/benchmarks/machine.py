"""The machine on which a benchmark runs, and the load that other processes cause meanwhile."""

import math
import os
import platform
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from celeba_lab.data.workers import usable_cores
from celeba_lab.runs.environment import device_name, library_versions

_STAT, _MEMORY, _LOAD = Path("/proc/stat"), Path("/proc/meminfo"), Path("/proc/loadavg")


def describe_machine() -> dict[str, str]:
    """Return facts about the machine and the libraries, by name."""
    cores = os.cpu_count() or 1
    facts = {
        "processor": device_name(),
        "cores": str(cores) if usable_cores() == cores else f"{usable_cores()} of {cores}",
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "load at the start": _LOAD.read_text().strip() if _LOAD.is_file() else "unknown",
    }
    return facts | {name: text for name, text in library_versions().items() if name != "celeba_lab"}


def _memory() -> str:
    for line in _MEMORY.read_text().splitlines() if _MEMORY.is_file() else ():
        name, _, amount = line.partition(":")
        if name == "MemTotal":
            return f"{int(amount.split()[0]) / 1e6:.1f} GB"
    return "unknown"


class _CpuTimes(NamedTuple):
    """Times in seconds. ``busy`` is summed over all cores and processes, ``own`` over this process and its children."""

    wall: float
    busy: float
    own: float

    @classmethod
    def read(cls) -> "_CpuTimes":
        own = os.times()
        return cls(perf_counter(), _read_busy(), own.user + own.system + own.children_user + own.children_system)


def _read_busy() -> float:
    """Return the time in which the cores were busy since the start of the machine, or NaN if it is unknown."""
    try:
        words = _STAT.read_text().partition("\n")[0].split()
    except OSError:  # another operating system than Linux
        return math.nan
    # user nice system idle iowait irq softirq steal; guest times are part of the user times
    times = [int(word) for word in words[1:9]]
    return (sum(times) - times[3] - times[4]) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Measure the load that other processes cause within a ``with`` block.

    Child processes count as this process if they have ended within the block.

    Attributes:
        load: Share of the machine's cores that other processes used within the block, from 0 to 1. NaN if unknown.

    Example:
        >>> with Watch() as watch:
        ...     _ = sum(range(1000))
        >>> watch.load <= 1 or math.isnan(watch.load)
        True
    """

    def __init__(self) -> None:
        self.load = math.nan
        self._start = _CpuTimes.read()

    def __enter__(self) -> "Watch":
        self._start = _CpuTimes.read()
        return self

    def __exit__(self, *_: object) -> None:
        end = _CpuTimes.read()
        self.load = share_of_others(
            end.wall - self._start.wall,
            end.busy - self._start.busy,
            end.own - self._start.own,
            os.cpu_count() or 1,
        )


def share_of_others(wall: float, busy: float, own: float, cores: int) -> float:
    """Return the share of the cores that other processes used, from 0 to 1.

    Args:
        wall: Duration in seconds.
        busy: Time in which the cores were busy, summed over all cores, in seconds. NaN if unknown.
        own: Time that this process and its children used, in seconds.
        cores: Number of cores.

    Example:
        >>> share_of_others(wall=10.0, busy=15.0, own=10.0, cores=2)
        0.25
    """
    if wall <= 0 or math.isnan(busy):
        return math.nan
    return min(1.0, max(0.0, (busy - own) / (wall * cores)))
