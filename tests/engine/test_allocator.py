"""Retention of freed memory, tested in a separate process because the setting cannot be undone."""

import ctypes
import platform
import subprocess
import sys

import pytest

# The statistics of glibc's allocator do not depend on other processes, unlike times and page faults.
MEASURE = """
import ctypes, torch
from celeba_lab.engine.allocator import keep_freed_memory

class Statistics(ctypes.Structure):  # struct mallinfo2, from glibc's malloc.h
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]

statistics = ctypes.CDLL(None).mallinfo2
statistics.restype = Statistics

def step():
    torch.ones(16 * 2**20).sum()  # 64 MiB, above the largest block that glibc keeps by itself
    found = statistics()
    return found.fordblks, found.arena  # bytes that are free, and bytes that were obtained from the system

left, _ = step()
assert keep_freed_memory()
kept, first = step()
for _ in range(20):
    _, last = step()
print(left, kept, first, last)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="only glibc's allocator is tuned, and its statistics need glibc 2.33",
)
def test_repeated_steps_reuse_freed_memory() -> None:
    printed = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=120)
    left, kept, first, last = map(int, printed.stdout.split())
    assert left < 64 * 2**20 <= kept
    # Without reuse, twenty steps would obtain twenty blocks. A few may be needed because of fragmentation.
    assert last - first < 10 * 64 * 2**20
