"""CPU cores and signals of loader workers and parallel fits. This module does not import torch."""

import os
import signal

INTERRUPTS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)
)
"""Signals that stop a run: Ctrl-C, ``kill`` and time limits, a closed terminal, and SLURM's warning signal."""


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use, which can be lower than the machine's total."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spare_cores(processes: int) -> int:
    """Return the number of spare cores for each training process on this machine, at most 8."""
    return max(0, min(8, usable_cores() // max(1, processes) - 1))


def ignore_interrupts() -> None:
    """Ignore all signals in :data:`INTERRUPTS` in a loader worker, which the main process stops.

    A terminal, SLURM and systemd send signals to all processes of a run. A worker that stopped by itself would make the
    main process fail before it saves a checkpoint.
    """
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
