"""Sources of pixels: image files that are decoded on demand, or memory."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from celeba_lab.console import Progress, console
from celeba_lab.data.images import load_image, resize_images

if TYPE_CHECKING:
    import torch

# Decoded images above this size in bytes are resized one by one, because a batch of them could exhaust the memory.
_LARGE = 3 * 2**20


class FaceStore(Protocol):
    """An indexed collection of faces, all resized to squares of the same size.

    The row of a face is its position in the list of images that the store was created from. In a dataset with
    annotations, this position is the row of the face in the annotations, regardless of the split.

    Attributes:
        image_size: Side length of the images, S, in pixels.
    """

    image_size: int

    def prepare(self, rows: np.ndarray, processes: int = 1) -> None:
        """Prepare to read the given faces once per epoch.

        Args:
            rows: Row indices of the faces in ascending order, int64 (N,).
            processes: Number of processes on this machine that prepare the same faces.
        """

    def read(self, rows: np.ndarray) -> "torch.Tensor":
        """Return the faces in the given rows, uint8 (B, 3, S, S)."""

    def decodes(self, rows: np.ndarray) -> bool:
        """Return whether reading the given faces requires decoding, so that worker processes would speed up loading."""


class JpegFolder:
    """Image files that are decoded each time they are read.

    Args:
        folder: Folder that contains the images.
        names: File names of the images, relative to ``folder``.
        image_size: Side length of the resized images, in pixels.
        max_pixels: Maximum number of pixels in an image (width times height), checked before decoding.

    Example:
        >>> files = JpegFolder(Path("img_align_celeba"), ["000001.jpg"], image_size=64, max_pixels=100_000)
        >>> files.path(0).name
        '000001.jpg'
    """

    def __init__(self, folder: Path, names: Sequence[str] | np.ndarray, image_size: int, max_pixels: int) -> None:
        self.folder = folder
        # Each worker process copies the names, and an array is cheaper to copy than a list.
        self.names = np.asarray(names, dtype=str)
        self.image_size = image_size
        self.max_pixels = max_pixels

    def path(self, row: int) -> Path:
        """Return the path of one image."""
        return self.folder / str(self.names[row])

    def load(self, row: int) -> np.ndarray:
        """Return one image at its original size, uint8 (H, W, 3).

        Raises:
            UserError: The file cannot be read or decoded.
        """
        return load_image(self.path(row), self.max_pixels)

    def prepare(self, rows: np.ndarray, processes: int = 1) -> None:
        """Do nothing, because files do not need any preparation."""

    def read(self, rows: np.ndarray) -> "torch.Tensor":
        """Return the decoded and resized images in the given rows, uint8 (B, 3, S, S).

        Raises:
            UserError: A file cannot be read or decoded.
        """
        return resize_images([self._load_small(row) for row in rows], self.image_size)

    def decodes(self, rows: np.ndarray) -> bool:
        """Return True, because every image is decoded when it is read."""
        return True

    def _load_small(self, row: int) -> np.ndarray:
        image = self.load(row)
        if image.size <= _LARGE:
            return image
        return resize_images([image], self.image_size)[0].permute(1, 2, 0).numpy()


class InMemory:
    """Faces that are decoded once, by ``prepare``, and stored in memory. All other faces are read from ``source``.

    Nothing is stored if the faces would fill more than half of the machine's memory.

    Args:
        source: Store that the faces are read from.

    Example:
        >>> from PIL import Image
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("RGB", (178, 218)).save(f"{folder}/1.jpg")
        ...     faces = InMemory(JpegFolder(Path(folder), ["1.jpg"], image_size=8, max_pixels=100_000))
        ...     faces.prepare(np.array([0]))
        >>> faces.read(np.array([0])).shape  # The file no longer exists.
        torch.Size([1, 3, 8, 8])
    """

    def __init__(self, source: FaceStore) -> None:
        import torch  # It is slow to import, and reading the original images does not need it.

        self.source = source
        self.image_size = source.image_size
        self._rows = np.empty(0, dtype=np.int64)  # (M,), ascending
        self._faces = torch.empty((0, 3, self.image_size, self.image_size), dtype=torch.uint8)  # (M, 3, S, S)

    def prepare(self, rows: np.ndarray, processes: int = 1) -> None:
        """Decode and store the given faces, unless they are already in memory or would not fit."""
        import torch

        if self._holds(rows):
            return
        if processes * len(rows) * 3 * self.image_size**2 > memory_bytes() / 2:
            console.print(
                f"data.store=memory has no effect: {len(rows):,} faces of {self.image_size} x {self.image_size} pixels"
                " would fill more than half of the memory, so they are read from disk in every epoch",
                style="yellow",
            )
            return
        faces = torch.empty((len(rows), 3, self.image_size, self.image_size), dtype=torch.uint8)
        with Progress("Decoding the training images", len(rows), "images") as progress:
            for chunk in np.array_split(np.arange(len(rows)), max(1, len(rows) // 256)):
                faces[chunk] = self.source.read(rows[chunk])
                progress.advance(len(chunk))
        self._rows, self._faces = rows, faces

    def read(self, rows: np.ndarray) -> "torch.Tensor":
        """Return the faces in the given rows from memory if possible, otherwise from ``source``, uint8 (B, 3, S, S)."""
        import torch

        if not self._holds(rows):
            return self.source.read(rows)
        return self._faces[torch.from_numpy(np.searchsorted(self._rows, rows))]

    def decodes(self, rows: np.ndarray) -> bool:
        """Return whether reading the given faces requires decoding image files."""
        return not self._holds(rows) and self.source.decodes(rows)

    def _holds(self, rows: np.ndarray) -> bool:
        places = np.searchsorted(self._rows, rows)
        return len(self._rows) > 0 and bool((self._rows[np.minimum(places, len(self._rows) - 1)] == rows).all())


def _files_themselves(files: JpegFolder) -> FaceStore:
    return files


STORES: dict[str, Callable[[JpegFolder], FaceStore]] = {"jpeg": _files_themselves, "memory": InMemory}
"""Functions that create a store from the image files of the dataset, keyed by the value of ``data.store``."""


def memory_bytes() -> float:
    """Return the machine's memory size in bytes, or infinity if the operating system does not report it."""
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    if not hasattr(os, "sysconf") or not set(names) <= set(os.sysconf_names):
        return float("inf")
    return float(os.sysconf(names[0])) * os.sysconf(names[1])
