"""How batches are loaded: the order of training, and how many processes."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """A shuffled order of ``n`` positions that depends on (seed, epoch) only: a continued run has the same epochs."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        # A mix, not a sum: else epoch 1 of seed 0 would be epoch 0 of seed 1.
        mixed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
        yield from torch.randperm(self.n, generator=generator).tolist()


def memory_bytes() -> float:
    """Return the bytes of this machine's memory, infinitely many where that cannot be asked."""
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    if not hasattr(os, "sysconf") or not set(names) <= set(os.sysconf_names):
        return float("inf")
    return float(os.sysconf(names[0])) * os.sysconf(names[1])


def spare_cores(processes: int) -> int:
    """Cores that each of ``processes`` training processes on this machine has beside its own, at most 8."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(0, min(8, usable // max(1, processes) - 1))
