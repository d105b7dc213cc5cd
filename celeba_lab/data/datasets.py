"""What is loaded: faces with their labels, and files without."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch.utils.data import Dataset

from celeba_lab.data.annotations import Annotations
from celeba_lab.data.images import load_image, resize_images

# Bytes from which on an image is shrunk at once: a whole batch of photographs would fill the memory.
_LARGE = 3 * 2**20


class FaceDataset(Dataset[dict[str, Any]]):
    """Labelled faces of one split.

    An item is ``{"image": uint8 (3, size, size), "label": uint8 (K,), "index": int}``; ``index`` is the row in the
    annotations. An unreadable image is a ``UserError``.
    """

    def __init__(
        self,
        folder: Path,
        annotations: Annotations,
        indices: np.ndarray,
        attributes: Sequence[str],
        image_size: int,
        max_pixels: int,
    ) -> None:
        self.folder = folder
        self.indices = indices
        self.image_ids = annotations.image_ids[indices]  # only what the workers need, as each gets a copy
        self.labels = annotations.labels[indices][:, annotations.columns(attributes)].astype(np.uint8)
        self.image_size = image_size
        self.max_pixels = max_pixels
        self._images: torch.Tensor | None = None  # uint8 (M, 3, size, size), once they are kept
        self._places = np.empty(0, dtype=np.int64)  # (N,), where each of ours is among them

    @property
    def bytes_in_memory(self) -> int:
        """What :meth:`keep_in_memory` takes."""
        return len(self) * 3 * self.image_size**2

    def keep_in_memory(self) -> None:
        """Decode every image now, with a bar that shows how far it is, and read none from the disk again."""
        images = torch.empty((len(self), 3, self.image_size, self.image_size), dtype=torch.uint8)
        positions = np.array_split(np.arange(len(self)), max(1, len(self) // 256))
        for chunk in track(positions, description="Decoding the training images", transient=True):
            images[chunk] = self.resized(chunk)
        self._images, self._places = images, np.arange(len(self))

    def share(self, other: "FaceDataset") -> None:
        """Take what another dataset keeps, whose images are as large and in ascending order, if ours are among it."""
        places = np.searchsorted(other.indices, self.indices)
        found = other.indices[np.minimum(places, len(other) - 1)] == self.indices
        if other._images is not None and found.all():
            self._images, self._places = other._images, other._places[places]

    def resized(self, positions: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Return the images at these positions, uint8 (B, 3, size, size)."""
        if self._images is not None:
            return self._images[torch.as_tensor(self._places[positions])]
        return resize_images([self._load(p) for p in positions], self.image_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> dict[str, Any]:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Return the items of a batch, as the DataLoader asks for them."""
        return [
            {"image": image, "label": torch.from_numpy(self.labels[p]), "index": int(self.indices[p])}
            for p, image in zip(positions, self.resized(positions), strict=True)
        ]

    def _load(self, position: int) -> np.ndarray:
        image = load_image(self.folder / str(self.image_ids[position]), self.max_pixels)
        if image.size <= _LARGE:
            return image
        return resize_images([image], self.image_size)[0].permute(1, 2, 0).numpy()


class ImageFiles(Dataset[dict[str, Any]]):
    """Image files of any kind, without labels.

    An item is ``{"image": uint8 (3, size, size), "index": int}``; ``index`` is the position in ``paths``, of which
    ``indices`` are used (all of them by default).
    """

    def __init__(
        self, paths: Sequence[Path], image_size: int, max_pixels: int, indices: np.ndarray | None = None
    ) -> None:
        self.paths = list(paths)
        self.indices = np.arange(len(self.paths)) if indices is None else indices
        self.image_size = image_size
        self.max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> dict[str, Any]:
        index = int(self.indices[position])
        image = load_image(self.paths[index], self.max_pixels)
        return {"image": resize_images([image], self.image_size)[0], "index": index}
