"""CPU cores and signals of loader workers and parallel fits. This module does not import torch."""

import os
import signal
import threading
from multiprocessing import parent_process

from celeba_lab.data.cores import Cores

INTERRUPTS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)
"""Signals that stop a run: Ctrl-C, ``kill`` and time limits, a closed terminal, and warning signals of schedulers."""


JOBS_AT_ONCE = "CELEBA_LAB_JOBS_AT_ONCE"
"""Environment variable with the number of jobs of a sweep that run on this machine at the same time."""


def jobs_at_once() -> int:
    """Return the number of jobs of a sweep that share the CPU cores of this machine, or 1 outside a sweep."""
    jobs = os.environ.get(JOBS_AT_ONCE, "1")
    return int(jobs) if jobs.isdecimal() and int(jobs) > 0 else 1


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use, which can be lower than the machine's total.

    The affinity of the process and the CPU limits of containers are considered; see
    :class:`~celeba_lab.data.cores.Cores`. Jobs of a sweep that run at the same time share the cores.
    """
    return max(1, Cores.find().number // jobs_at_once())


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


def exit_with_parent() -> None:
    """Exit when the parent process ends, even if it is killed. This is for processes started by multiprocessing."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
