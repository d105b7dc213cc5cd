"""Properties of the machine on which the program runs."""

import os


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
