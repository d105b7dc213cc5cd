"""How batches are loaded: by how many processes, and in which order."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import lightning
import numpy as np
import torch
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, DistributedSampler, Sampler, SequentialSampler

from celeba_lab.data.datasets import FaceDataset
from celeba_lab.errors import UserError, check_at_least

FaceLoader: TypeAlias = DataLoader[dict[str, Any]]
"""A loader whose iterator yields a :class:`~celeba_lab.data.batch.Batch`."""


@dataclass(frozen=True)
class Processes:
    """The processes that share the images of a loader, and the device that each of them computes on.

    The default is a single process that computes on the CPU.

    Attributes:
        world_size: Number of processes, on all machines.
        rank: Number of this process, from 0.
        local: Number of processes on this machine.
        device: Type of the device, such as ``cpu`` or ``cuda``.
    """

    world_size: int = 1
    rank: int = 0
    local: int = 1
    device: str = "cpu"

    @classmethod
    def of(cls, trainer: lightning.Trainer) -> "Processes":
        """Return the processes of a Trainer."""
        device = trainer.strategy.root_device.type
        return cls(trainer.world_size, trainer.global_rank, trainer.num_devices, device)


@dataclass(frozen=True)
class LoaderSettings:
    """What all loaders of a data module have in common.

    Attributes:
        batch_size: Number of images in a training batch.
        eval_batch_size: Number of images in a batch of validation, test or prediction; None for twice ``batch_size``.
        num_workers: Number of worker processes of a loader; None chooses it by device and store.
        seed: Seed of the training order.

    Raises:
        SettingError: A value is out of range.
    """

    batch_size: int
    eval_batch_size: int | None
    num_workers: int | None
    seed: int

    def __post_init__(self) -> None:
        check_at_least("batch_size", self.batch_size, 1)
        check_at_least("eval_batch_size", self.eval_batch_size, 1)
        check_at_least("num_workers", self.num_workers, 0)
        check_at_least("seed", self.seed, 0)

    def training_loader(self, dataset: FaceDataset, processes: Processes, epoch: int) -> FaceLoader:
        """Return shuffled batches, in an order that depends only on (seed, epoch).

        Args:
            dataset: The training faces.
            processes: The processes that share them.
            epoch: Epoch that starts next. Lightning sets it as well, but after the workers of a resumed run have begun
                to load.
        """
        sampler: EpochSampler | DistributedSampler[dict[str, Any]]
        if processes.world_size > 1:
            # Lightning would wrap an EpochSampler in one of these and no longer set its epoch.
            sampler = DistributedSampler(dataset, processes.world_size, processes.rank, seed=self.seed)
        else:
            sampler = EpochSampler(len(dataset), self.seed)
        sampler.set_epoch(epoch)
        return self._loader(dataset, processes, sampler, self.batch_size, drop_last=len(sampler) > self.batch_size)

    def evaluation_loader(self, dataset: FaceDataset, processes: Processes) -> FaceLoader:
        """Return batches in the order of the dataset; each image is loaded by exactly one of the processes.

        Raises:
            UserError: There are fewer images than processes.
        """
        batch_size = 2 * self.batch_size if self.eval_batch_size is None else self.eval_batch_size
        if processes.world_size == 1:
            return self._loader(dataset, processes, SequentialSampler(dataset), batch_size)
        if len(dataset) < processes.world_size:
            raise UserError(
                f"{len(dataset)} images cannot be split across {processes.world_size} processes. Use fewer processes"
                " (trainer.devices) or more images."
            )
        # Lightning's own sampler would repeat images to fill the last round, and the metrics would count them twice.
        sampler = UnrepeatedDistributedSampler(
            dataset, num_replicas=processes.world_size, rank=processes.rank, shuffle=False
        )
        return self._loader(dataset, processes, sampler, batch_size)

    def _loader(
        self,
        dataset: FaceDataset,
        processes: Processes,
        sampler: Sampler[Any],
        batch_size: int,
        drop_last: bool = False,
    ) -> FaceLoader:
        workers = self._workers(dataset, processes)
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=workers,
            drop_last=drop_last,
            pin_memory=processes.device == "cuda",
            persistent_workers=workers > 0,
            # A generator of its own leaves the global generator, and with it the model, as it was.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _workers(self, dataset: FaceDataset, processes: Processes) -> int:
        if self.num_workers is not None:
            return self.num_workers
        if processes.device == "cpu" or not dataset.store.decodes(dataset.rows):
            return 0
        return spare_cores(processes.local)


class EpochSampler(Sampler[int]):
    """A shuffled order that depends only on (seed, epoch), so that a resumed run continues with the same epochs.

    Args:
        n: Number of positions to shuffle.
        seed: Seed of the orders of all epochs.

    Example:
        >>> sampler = EpochSampler(5, seed=0)
        >>> first = list(sampler)
        >>> sampler.set_epoch(1)
        >>> sorted(sampler) == sorted(first), list(sampler) == first
        (True, False)
    """

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        # The two numbers are mixed, not added: otherwise epoch 1 of seed 0 would equal epoch 0 of seed 1.
        mixed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
        yield from torch.randperm(self.n, generator=generator).tolist()


def spare_cores(processes: int) -> int:
    """Return how many cores each of the training processes on this machine has in addition to its own, at most 8."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(0, min(8, usable // max(1, processes) - 1))
