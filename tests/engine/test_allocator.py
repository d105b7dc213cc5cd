"""Retention of freed memory, tested in a separate process because the setting cannot be undone."""

import platform
import subprocess
import sys

import pytest

MEASURE = """
import resource, torch
from celeba_lab.engine.allocator import keep_freed_memory

def page_faults():
    torch.ones(16 * 2**20).sum()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(16 * 2**20).sum()  # 64 MiB, above the largest block that glibc keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

left = page_faults()
assert keep_freed_memory()
print(left, page_faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is tuned")
def test_repeated_steps_reuse_freed_memory() -> None:
    printed = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=120)
    left, kept = map(int, printed.stdout.split())
    assert kept * 3 < left
