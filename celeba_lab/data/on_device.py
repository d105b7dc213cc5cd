"""Faces in the memory of the device that trains, so that no pixels are copied to it in a training step."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from celeba_lab.console import Progress
from celeba_lab.data.datasets import FaceDataset

_SHARE = 0.5  # Largest share of the free memory that faces may fill. Training needs the rest.
_CHUNK = 1024  # number of faces that are copied at a time


class OnDevice(FaceDataset):
    """Faces and labels of a dataset that are copied to a device once, and indexed there.

    Args:
        dataset: Dataset that provides the faces.
        device: The device.

    Example:
        >>> from types import SimpleNamespace
        >>> gray = SimpleNamespace(read=lambda rows: torch.full((len(rows), 3, 8, 8), 128, dtype=torch.uint8))
        >>> faces = OnDevice(FaceDataset(gray, rows=np.array([5, 7])), torch.device("cpu"))
        >>> faces.__getitems__([1, 0])["index"]
        tensor([7, 5])
    """

    def __init__(self, dataset: FaceDataset, device: torch.device) -> None:
        super().__init__(dataset.store, dataset.rows, dataset.labels, dataset.groups)
        self.device = device
        size = dataset.store.read(dataset.rows[:1]).shape[-1]
        self._faces = torch.empty((len(dataset), size, size, 3), dtype=torch.uint8, device=device)
        with Progress(f"Copying the images to {device}", len(dataset), "images") as progress:
            for start in range(0, len(dataset), _CHUNK):
                faces = dataset.store.read(dataset.rows[start : start + _CHUNK])
                self._faces[start : start + len(faces)] = faces.permute(0, 2, 3, 1).to(device)
                progress.advance(len(faces))
        self._index = torch.from_numpy(dataset.rows).to(device)
        self._labels = None if dataset.labels is None else torch.from_numpy(dataset.labels).to(device)

    @override
    def __getitems__(self, positions: Sequence[int]) -> dict[str, Tensor]:
        # Memory is copied to a GPU without waiting only if it is pinned.
        picked = torch.from_numpy(np.asarray(positions, dtype=np.int64))
        if self.device.type == "cuda":
            picked = picked.pin_memory().to(self.device, non_blocking=True)
        batch = {
            "image": self._faces.index_select(0, picked).permute(0, 3, 1, 2),
            "index": self._index.index_select(0, picked),
        }
        if self._labels is not None:
            batch["label"] = self._labels.index_select(0, picked)
        return batch


def place(dataset: FaceDataset, device: torch.device, reads: float) -> FaceDataset:
    """Copy a dataset to a GPU if its faces have been decoded, are read more than once, and fit.

    Args:
        dataset: The dataset.
        device: Device that uses the batches.
        reads: Expected number of faces that will be read.

    Returns:
        The dataset on the device, or the given dataset.
    """
    if device.type != "cuda" or reads <= len(dataset) or dataset.store.decodes(dataset.rows):
        return dataset
    needed = len(dataset) * 3 * dataset.store.image_size**2
    return OnDevice(dataset, device) if needed <= _SHARE * free_bytes(device) else dataset


def free_bytes(device: torch.device) -> int:
    """Return the number of bytes that are free on a GPU at this moment."""
    free, _ = torch.cuda.mem_get_info(device)
    return free
