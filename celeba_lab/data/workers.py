"""Number of CPU cores that are available to loader workers and parallel fits. This module does not import torch."""

import os


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use, which can be lower than the machine's total."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spare_cores(processes: int) -> int:
    """Return the number of spare cores for each training process on this machine, at most 8."""
    return max(0, min(8, usable_cores() // max(1, processes) - 1))
