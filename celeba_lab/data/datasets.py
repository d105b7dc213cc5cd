"""A PyTorch dataset of faces."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from celeba_lab.data.stores import FaceStore


class FaceDataset(Dataset[dict[str, Any]]):
    """Dataset of faces from a store, with or without labels.

    Each item is ``{"image": uint8 (3, S, S), "label": uint8 (K,), "index": int}`` and becomes one row of a
    :class:`~celeba_lab.data.batch.Batch`. If ``labels`` is None, items have no ``label``.

    Args:
        store: Store that provides the pixels.
        rows: Rows of the faces in the store, in the order of the dataset, int64 (N,).
        labels: Binary labels, uint8 (N, K), or None for faces without labels.

    Example:
        >>> from types import SimpleNamespace
        >>> black = SimpleNamespace(read=lambda rows: torch.zeros(len(rows), 3, 8, 8, dtype=torch.uint8))
        >>> faces = FaceDataset(black, rows=np.array([5, 7]), labels=np.array([[1], [0]], dtype=np.uint8))
        >>> faces[1]["image"].shape, faces[1]["label"], faces[1]["index"]
        (torch.Size([3, 8, 8]), tensor([0], dtype=torch.uint8), 7)
    """

    def __init__(self, store: FaceStore, rows: np.ndarray, labels: np.ndarray | None = None) -> None:
        self.store = store
        self.rows = rows
        self.labels = labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> dict[str, Any]:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Return the items of a batch. A DataLoader calls this method once per batch instead of ``__getitem__``."""
        rows = self.rows[np.asarray(positions)]
        items = []
        for position, row, image in zip(positions, rows, self.store.read(rows), strict=True):
            item: dict[str, Any] = {"image": image, "index": int(row)}
            if self.labels is not None:
                item["label"] = torch.from_numpy(self.labels[position])
            items.append(item)
        return items
