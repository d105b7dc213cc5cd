"""Data loaders and their samplers."""

import atexit
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import lightning
import numpy as np
import torch
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, DistributedSampler, Sampler, SequentialSampler
from typing_extensions import override

from celeba_lab.data.datasets import FaceDataset, keep_batch
from celeba_lab.data.loader_settings import DEFAULT_BATCH_SIZE, LoaderSettings
from celeba_lab.data.on_device import OnDevice
from celeba_lab.data.position import Position
from celeba_lab.data.threads import read_ahead
from celeba_lab.data.workers import ignore_interrupts, spare_cores
from celeba_lab.errors import UserError

# An image takes less memory in evaluation than in training, because activations are not kept for the backward pass.
_CPU_FACTOR = 4
_GPU_FACTOR, _GPU_BATCH_SIZE = 16, 512  # Smaller batches would make a GPU wait for the CPU.

GROUPS_AT_ONCE = 8
"""Number of groups, such as shards, whose samples are shuffled together and which are read at the same time."""

FaceLoader: TypeAlias = DataLoader[dict[str, Any]]
"""A data loader that yields batches of type :class:`~celeba_lab.data.batch.Batch`."""


@dataclass(frozen=True)
class Processes:
    """Processes among which the images of a loader are divided, and their device type.

    The default is a single process on the CPU.

    Attributes:
        world_size: Number of processes across all machines.
        rank: Index of this process, counted from 0.
        local: Number of processes on this machine.
        device: Device type, such as ``cpu`` or ``cuda``.
        index: Number of the device of this process among those of its type on this machine.

    Example:
        >>> Processes(world_size=2, rank=1, local=2)
        Processes(world_size=2, rank=1, local=2, device='cpu', index=0)
    """

    world_size: int = 1
    rank: int = 0
    local: int = 1
    device: str = "cpu"
    index: int = 0

    @classmethod
    def of(cls, trainer: lightning.Trainer) -> "Processes":
        """Return the processes of a Trainer."""
        device = trainer.strategy.root_device
        return cls(trainer.world_size, trainer.global_rank, trainer.num_devices, device.type, device.index or 0)

    @property
    def torch_device(self) -> torch.device:
        """Device of this process."""
        return torch.device(self.device, self.index) if self.device == "cuda" else torch.device(self.device)


class Loaders(LoaderSettings):
    """The loaders of a data module, which share its settings."""

    @property
    def training_batch_size(self) -> int:
        """Number of images in a training batch."""
        return self.batch_size or DEFAULT_BATCH_SIZE

    def evaluation_batch_size(self, device: str) -> int:
        """Return the number of images in a validation, test or prediction batch on a device, such as ``cuda``."""
        if self.eval_batch_size is not None:
            return self.eval_batch_size
        size = self.training_batch_size
        return max(size, min(_GPU_FACTOR * size, _GPU_BATCH_SIZE)) if device == "cuda" else _CPU_FACTOR * size

    def training_loader(self, dataset: FaceDataset, processes: Processes, position: Position) -> FaceLoader:
        """Return a loader over shuffled faces, in an order that depends only on the seed and the epoch.

        Its length is always the number of batches in a whole epoch.

        Args:
            dataset: The training faces.
            processes: Processes among which the faces are divided.
            position: Position of the first batch. Lightning also sets the epoch, but only after the workers of a
                resumed run have started to load images.

        Raises:
            UserError: There are fewer images than processes.
        """
        _check_share(dataset, processes)
        first = position.batches * self.training_batch_size
        sampler: EpochSampler | DistributedEpochSampler
        if processes.world_size > 1:
            # Lightning would wrap an EpochSampler in a DistributedSampler and no longer set its epoch.
            sampler = DistributedEpochSampler(dataset, processes, self.seed, position.epoch, first)
        else:
            sampler = EpochSampler(len(dataset), self.seed, position.epoch, first, dataset.groups)
        size = self.training_batch_size
        return self._loader(dataset, processes, sampler, size, drop_last=len(sampler) > size)

    def evaluation_loader(self, dataset: FaceDataset, processes: Processes) -> FaceLoader:
        """Return a loader that keeps the order of the dataset. Each image is loaded by exactly one process.

        Raises:
            UserError: There are fewer images than processes.
        """
        batch_size = self.evaluation_batch_size(processes.device)
        if processes.world_size == 1:
            return self._loader(dataset, processes, SequentialSampler(dataset), batch_size)
        _check_share(dataset, processes)
        # Lightning's default sampler repeats images to give every process the same number of images, which distorts
        # the metrics.
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
        is_on_device = isinstance(dataset, OnDevice)
        workers = 0 if is_on_device else self._workers(dataset, processes)
        kind = EvaluationLoader if isinstance(sampler, SequentialSampler | UnrepeatedDistributedSampler) else DataLoader
        return kind(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=workers,
            drop_last=drop_last,
            collate_fn=keep_batch,
            pin_memory=processes.device == "cuda" and not is_on_device,
            persistent_workers=workers > 0,
            multiprocessing_context=dataset.store.start_method if workers else None,
            worker_init_fn=_init_worker,
            # With a separate generator, loading does not change the global random state that the model uses.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _workers(self, dataset: FaceDataset, processes: Processes) -> int:
        if self.num_workers is not None:
            return self.num_workers
        if processes.device == "cpu" or not dataset.store.decodes(dataset.rows):
            return 0
        return spare_cores(processes.local)


class EvaluationLoader(DataLoader[dict[str, Any]]):
    """Data loader that decodes the next batch in a thread while the model processes the current one.

    With worker processes, or if PyTorch uses only one thread, it is the same as torch's ``DataLoader``.
    """

    @override
    def __iter__(self) -> Any:
        batches = super().__iter__()
        return batches if self.num_workers or torch.get_num_threads() == 1 else read_ahead(batches)


def _check_share(dataset: FaceDataset, processes: Processes) -> None:
    if len(dataset) < processes.world_size:
        raise UserError(
            f"{len(dataset)} images cannot be split across {processes.world_size} processes. Use fewer processes"
            " or more images."
        )


def _init_worker(worker: int) -> None:
    """Let only the main process react to signals."""
    ignore_interrupts()


@atexit.register
def _kill_workers() -> None:
    """Kill the workers that are still running when the main process exits.

    Otherwise, ``multiprocessing`` would send them SIGTERM, which they ignore, and then wait for them forever.
    """
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


class EpochSampler(Sampler[int]):
    """Sampler with a shuffled order that depends only on the seed and the epoch, even in resumed runs.

    Args:
        n: Number of samples to shuffle.
        seed: Seed for all epochs.
        epoch: Index of the first epoch, counted from 0.
        first: Number of samples of the first epoch to skip, because a resumed run has already used them. The length
            includes skipped samples.
        groups: Group of each sample, such as the shard that contains it, int64 (n,). The samples are then shuffled
            within sets of :data:`GROUPS_AT_ONCE` groups, and these sets contain other groups in each epoch. By default,
            all samples are shuffled together.

    Example:
        >>> sampler = EpochSampler(5, seed=0)
        >>> first = list(sampler)
        >>> sampler.set_epoch(1)
        >>> sorted(sampler) == sorted(first), list(sampler) == first
        (True, False)
        >>> list(EpochSampler(5, seed=0, epoch=0, first=3)) == first[3:]
        True
    """

    def __init__(self, n: int, seed: int, epoch: int = 0, first: int = 0, groups: np.ndarray | None = None) -> None:
        self.n = n
        self.groups = groups
        self.seed = seed
        self.epoch = epoch
        self._skipped = {epoch: first}

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch. Lightning calls this method before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        # Adding the seed and the epoch would give epoch 1 with seed 0 the same order as epoch 0 with seed 1.
        mixed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
        order = torch.randperm(self.n, generator=generator)
        if self.groups is not None:
            places = torch.randperm(int(self.groups.max()) + 1, generator=generator) // GROUPS_AT_ONCE
            order = order[places[torch.from_numpy(self.groups)[order]].argsort(stable=True)]
        yield from order.tolist()[self._skipped.get(self.epoch, 0) :]


class DistributedEpochSampler(DistributedSampler[dict[str, Any]]):
    """Sampler for the training images of one process among several, which can skip the first samples.

    In each step, all processes together use the same images as a single process whose batches are larger by a factor of
    ``world_size``. Each process uses the same number of images. The images that remain are left out of this epoch.

    Args:
        dataset: The training faces.
        processes: Processes among which the faces are divided.
        seed: Seed for all epochs.
        epoch: Index of the first epoch, counted from 0.
        first: Number of this process's samples of the first epoch to skip. The length includes skipped samples.
    """

    def __init__(self, dataset: FaceDataset, processes: Processes, seed: int, epoch: int = 0, first: int = 0) -> None:
        super().__init__(dataset, processes.world_size, processes.rank, seed=seed, drop_last=True)
        self._all = EpochSampler(len(dataset), seed, groups=dataset.groups)
        self.set_epoch(epoch)
        self._skipped = {epoch: first}

    @override
    def __iter__(self) -> Iterator[Any]:
        self._all.set_epoch(self.epoch)
        # With neighbouring images in different processes, the batches of all processes form one larger batch.
        own = islice(self._all, self.rank, self.num_samples * self.num_replicas, self.num_replicas)
        return islice(own, self._skipped.get(self.epoch, 0), None)
