"""CelebA as a Lightning data module."""

from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path

import lightning
import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from celeba_lab.console import progress
from celeba_lab.data.celeba import CelebA
from celeba_lab.data.datasets import FaceDataset
from celeba_lab.data.loaders import FaceLoader, Loaders, Processes
from celeba_lab.data.on_device import place
from celeba_lab.data.position import Position, ResumableData
from celeba_lab.data.reads import training_reads, validation_reads
from celeba_lab.data.stores import JpegFolder


class CelebADataModule(CelebA, ResumableData):
    """CelebA, or a dataset in the same format, as batches of uint8 images.

    All loaders yield a :class:`~celeba_lab.data.batch.Batch`. Its ``index`` contains row numbers in ``annotations``.
    The arguments are the same as for :class:`~celeba_lab.data.celeba.CelebA`.

    Example:
        >>> faces = CelebADataModule("data/celeba", ["Smiling", "Male"], image_size=64, limit=1000)
        >>> faces.attributes, faces.image_size
        (['Smiling', 'Male'], 64)
    """

    name: str

    @property
    @override
    def order(self) -> str | None:
        return None if self._shards is None else self._shards.fingerprint

    @property
    def batch_size(self) -> int:
        """Number of images in a training batch. A callback can change it before training."""
        return self._loaders.training_batch_size

    @batch_size.setter
    def batch_size(self, size: int) -> None:
        self._loader_settings = replace(self._loader_settings, batch_size=size)

    def dataset(self, split: str) -> FaceDataset:
        """Return the images of a split in table order. Call ``setup`` first to check the images."""
        return self._dataset(self.split_indices(split))

    def shuffled_dataloader(
        self, processes: Processes, position: Position | None = None, trainer: lightning.Trainer | None = None
    ) -> FaceLoader:
        """Return a loader over the training images, in an order that depends only on the seed and the epoch.

        Args:
            processes: Processes among which the images are divided.
            position: Position of the first batch. Default: the start of the first epoch.
            trainer: Trainer that uses the loader, whose settings tell how often the images will be read.
        """
        dataset, position = self.dataset("train"), position or Position()
        reads = training_reads(trainer, position, len(dataset), self.batch_size)
        self.faces.prepare(dataset.rows, reads, processes.local)
        return self._loaders.training_loader(place(dataset, processes.torch_device, reads), processes, position)

    def evaluation_dataloader(self, split: str, processes: Processes | None = None, reads: float = 0) -> FaceLoader:
        """Return a loader over one split in table order.

        Args:
            split: Name of the split.
            processes: Processes among which the images are divided. Each image is loaded by only one process. Default:
                a single process on the CPU.
            reads: Expected number of images that will be read. Default: each image once.
        """
        return self._evaluation_loader(self.split_indices(split), processes or Processes(), reads)

    def rows_dataloader(self, rows: np.ndarray, processes: Processes | None = None) -> FaceLoader:
        """Return a loader over the given annotation rows, int64 (N,), in the given order."""
        return self._evaluation_loader(rows, processes or Processes())

    def _evaluation_loader(self, rows: np.ndarray, processes: Processes, reads: float = 0) -> FaceLoader:
        reads = max(reads, len(rows))
        self.faces.prepare(rows, reads, processes.local)
        dataset = place(self._dataset(rows), processes.torch_device, reads)
        return self._loaders.evaluation_loader(dataset, processes)

    def files_dataloader(self, paths: Sequence[Path], processes: Processes | None = None) -> FaceLoader:
        """Return a loader over image files. Neither ``root`` nor annotations are needed.

        Args:
            paths: Paths to the image files. The ``index`` of a batch contains positions in this list.
            processes: Processes among which the images are divided. Default: a single process on the CPU.

        Raises:
            UserError: ``on_bad_image`` is ``skip``, but too many images are unusable.
        """
        files = JpegFolder(Path(), [str(path) for path in paths], self.image_size, self.max_pixels)
        dataset = FaceDataset(files, self._checks.leave_out(files, np.arange(len(paths)), "predict"))
        return self._loaders.evaluation_loader(dataset, processes or Processes())

    def read_faces(self, rows: np.ndarray) -> Tensor:
        """Load the images of the given annotation rows, int64 (N,), into a single tensor, uint8 (N, 3, S, S)."""
        batches = progress(self.rows_dataloader(rows), "reading faces", unit="batches")
        return torch.cat([batch["image"] for batch in batches])

    @override
    def train_dataloader(self) -> FaceLoader:
        self._prepare_faces()
        return self.shuffled_dataloader(self._processes, self.position, self.trainer)

    @override
    def val_dataloader(self) -> FaceLoader:
        if self._validation_reads and self.trainer is not None and self.trainer.state.fn != "validate":
            self._prepare_faces()  # Lightning may validate before it requests the training loader.
        return self.evaluation_dataloader("val", self._processes, self._validation_reads)

    def _prepare_faces(self) -> None:
        """Prepare the faces for training and for validation together, so that they are packed at the same time."""
        train, val = self.split_indices("train"), self.split_indices("val")
        reads = training_reads(self.trainer, self.position, len(train), self.batch_size) + self._validation_reads
        self.faces.prepare(np.union1d(train, val) if self._validation_reads else train, reads, self._processes.local)

    @property
    def _validation_reads(self) -> float:
        """Number of validation images that training will read, or 0 without a Trainer."""
        images, size = len(self.split_indices("val")), self._loaders.evaluation_batch_size(self._processes.device)
        return validation_reads(self.trainer, self.position, images, size)

    @override
    def test_dataloader(self) -> FaceLoader:
        return self.evaluation_dataloader("test", self._processes)

    @override
    def predict_dataloader(self) -> FaceLoader:
        return self.evaluation_dataloader("test", self._processes)

    @property
    def _loaders(self) -> Loaders:
        return Loaders(*astuple(self._loader_settings))

    def _dataset(self, rows: np.ndarray) -> FaceDataset:
        return FaceDataset(self.faces, rows, self.labels(rows), self.faces.groups_of(rows))

    @property
    def _processes(self) -> Processes:
        """Processes among which the images are divided. Lightning sets ``trainer`` before it requests the loaders."""
        return Processes() if self.trainer is None else Processes.of(self.trainer)


class TrainingFaces(ResumableData):
    """Data module with only the training split, for models without validation. Images of other splits are not needed.

    Args:
        data: Data module that provides the training split.
    """

    def __init__(self, data: CelebADataModule) -> None:
        super().__init__()
        self.data = data

    @property
    @override
    def order(self) -> str | None:
        return self.data.order

    @property
    def batch_size(self) -> int:
        """Number of images in a training batch. A callback can change it before training."""
        return self.data.batch_size

    @batch_size.setter
    def batch_size(self, size: int) -> None:
        self.data.batch_size = size

    @override
    def train_dataloader(self) -> FaceLoader:
        assert self.trainer is not None
        return self.data.shuffled_dataloader(Processes.of(self.trainer), self.position, self.trainer)
