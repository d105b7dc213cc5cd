"""Properties of the machine that the program runs on."""

import os


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use, which can be lower than the machine's total."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
