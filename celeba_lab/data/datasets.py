"""A PyTorch dataset of faces."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from celeba_lab.data.stores import FaceStore


class FaceDataset(Dataset[dict[str, Tensor]]):
    """Dataset of faces from a store, with or without labels.

    A position gives one face, ``{"image": uint8 (3, S, S), "label": uint8 (K,), "index": int64 ()}``, and several
    positions give a whole :class:`~celeba_lab.data.batch.Batch`, so a DataLoader needs ``collate_fn=keep_batch``. If
    ``labels`` is None, there is no ``label``.

    Args:
        store: Store that provides the pixels.
        rows: Rows of the faces in the store, in the order of the dataset, int64 (N,).
        labels: Binary labels, uint8 (N, K), or None for faces without labels.
        groups: Groups of faces that should be read together, int64 (N,); see
            :class:`~celeba_lab.data.loaders.EpochSampler`.

    Example:
        >>> from types import SimpleNamespace
        >>> black = SimpleNamespace(read=lambda rows: torch.zeros(len(rows), 3, 8, 8, dtype=torch.uint8))
        >>> faces = FaceDataset(black, rows=np.array([5, 7]), labels=np.array([[1], [0]], dtype=np.uint8))
        >>> faces[1]["image"].shape, faces[1]["label"], faces[1]["index"]
        (torch.Size([3, 8, 8]), tensor([0], dtype=torch.uint8), tensor(7))
    """

    def __init__(
        self,
        store: FaceStore,
        rows: np.ndarray,
        labels: np.ndarray | None = None,
        groups: np.ndarray | None = None,
    ) -> None:
        self.store = store
        self.rows = rows
        self.labels = labels
        self.groups = groups

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        return {name: values[0] for name, values in self.__getitems__([position]).items()}

    def __getitems__(self, positions: Sequence[int]) -> dict[str, Tensor]:
        """Return a batch. A DataLoader calls this method once per batch instead of ``__getitem__``."""
        picked = np.asarray(positions)
        rows = self.rows[picked]
        batch = {"image": self.store.read(rows), "index": torch.from_numpy(rows)}
        if self.labels is not None:
            batch["label"] = torch.from_numpy(self.labels[picked])
        return batch


def keep_batch(batch: Any) -> Any:
    """Return a batch as it is, because :class:`FaceDataset` has gathered it. A DataLoader would join single faces."""
    return batch
