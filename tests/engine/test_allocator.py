"""Keeping freed memory, tested in another process because it cannot be undone."""

import platform
import subprocess
import sys

import pytest

MEASURE = """
import resource, sys, torch
from celeba_lab.engine.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
torch.ones(16 * 2**20).sum()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(16 * 2**20).sum()  # 64 MiB, above the largest block that glibc keeps by itself
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    command = [sys.executable, "-c", MEASURE, mode]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is tuned")
def test_a_repeated_step_reuses_its_memory() -> None:
    assert page_faults("keep") * 3 < page_faults("leave")
