"""Sources of pixels: image files that are decoded on demand, or memory. Two others are in ``packed`` and ``shards``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from celeba_lab.console import Progress, console
from celeba_lab.data.images import load_image, read_image, resize_images

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
        start_method: How worker processes that read from the store must be started, or None for Python's default.
    """

    image_size: int
    start_method: str | None

    def prepare(self, rows: np.ndarray, reads: float, processes: int = 1) -> None:
        """Prepare to read the given faces, if that pays.

        Args:
            rows: Row indices of the faces in ascending order, int64 (N,).
            reads: Expected number of faces that will be read, which counts a face once for each time that it is read.
            processes: Number of processes on this machine that prepare the same faces.
        """

    def read(self, rows: np.ndarray) -> "torch.Tensor":
        """Return the faces in the given rows, uint8 (B, 3, S, S)."""

    def groups_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the groups in which the given faces should be read, int64 (N,), or None for any order."""

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

    start_method: str | None = None

    def __init__(self, folder: Path, names: Sequence[str] | np.ndarray, image_size: int, max_pixels: int) -> None:
        self.folder = folder
        # Each worker process copies the names, and an array is cheaper to copy than a list.
        self.names = np.asarray(names, dtype=str)
        self.image_size = image_size
        self.max_pixels = max_pixels

    def path(self, row: int) -> Path:
        """Return the path of one image."""
        return self.folder / str(self.names[row])

    def content(self, row: int) -> bytes:
        """Return the content of one image file.

        Raises:
            UserError: The file cannot be read.
        """
        return read_image(self.path(row))

    def load(self, row: int) -> np.ndarray:
        """Return one image at its original size, uint8 (H, W, 3).

        Raises:
            UserError: The file cannot be read or decoded.
        """
        return load_image(self.path(row), self.max_pixels)

    def groups_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Return None, because files can be read in any order."""
        return None

    def prepare(self, rows: np.ndarray, reads: float, processes: int = 1) -> None:
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

    Faces are not stored if they will be read only once, or if they would fill more than half of the machine's memory.

    Args:
        source: Store that the faces are read from.

    Example:
        >>> from PIL import Image
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("RGB", (178, 218)).save(f"{folder}/1.jpg")
        ...     faces = InMemory(JpegFolder(Path(folder), ["1.jpg"], image_size=8, max_pixels=100_000))
        ...     faces.prepare(np.array([0]), reads=2)
        >>> faces.read(np.array([0])).shape  # The file no longer exists.
        torch.Size([1, 3, 8, 8])
    """

    start_method: str | None = None

    def __init__(self, source: FaceStore) -> None:
        self.source = source
        self.image_size = source.image_size
        self._rows = np.empty(0, dtype=np.int64)  # (M,), ascending
        self._faces = np.empty((0, self.image_size, self.image_size, 3), dtype=np.uint8)  # (M, S, S, 3)

    def prepare(self, rows: np.ndarray, reads: float, processes: int = 1) -> None:
        """Decode and store the given faces, unless they are already in memory, are read once, or would not fit."""
        if reads <= len(rows) or self._holds(rows):
            return
        if processes * len(rows) * 3 * self.image_size**2 > memory_bytes() / 2:
            console.print(
                f"data.store=memory has no effect: {len(rows):,} faces of {self.image_size} x {self.image_size} pixels"
                " would fill more than half of the memory, so they are read from disk in every epoch",
                style="yellow",
            )
            return
        faces = np.empty((len(rows), *self._faces.shape[1:]), dtype=np.uint8)
        with Progress("Decoding the images", len(rows), "images") as progress:
            for chunk in np.array_split(np.arange(len(rows)), max(1, len(rows) // 256)):
                faces[chunk] = self.source.read(rows[chunk]).permute(0, 2, 3, 1).numpy()
                progress.advance(len(chunk))
        self._rows, self._faces = rows, faces

    def read(self, rows: np.ndarray) -> "torch.Tensor":
        """Return the faces in the given rows from memory if possible, otherwise from ``source``, uint8 (B, 3, S, S)."""
        if not self._holds(rows):
            return self.source.read(rows)
        return gather(self._faces, np.searchsorted(self._rows, rows))

    def groups_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Return None, because memory can be read in any order."""
        return None

    def decodes(self, rows: np.ndarray) -> bool:
        """Return whether reading the given faces requires decoding image files."""
        return not self._holds(rows) and self.source.decodes(rows)

    def _holds(self, rows: np.ndarray) -> bool:
        places = np.searchsorted(self._rows, rows)
        return len(self._rows) > 0 and bool((self._rows[np.minimum(places, len(self._rows) - 1)] == rows).all())


def gather(faces: np.ndarray, places: np.ndarray) -> "torch.Tensor":
    """Copy the faces at the given places of an array, uint8 (N, S, S, 3), to a batch, uint8 (B, 3, S, S).

    The batch is in the memory format ``channels_last``. Indexing a torch tensor would take ten times as long.
    """
    import torch

    return torch.from_numpy(np.take(faces, places, axis=0)).permute(0, 3, 1, 2)


def memory_bytes() -> float:
    """Return the machine's memory size in bytes, or infinity if the operating system does not report it."""
    names = ("SC_PHYS_PAGES", "SC_PAGE_SIZE")
    if not hasattr(os, "sysconf") or not set(names) <= set(os.sysconf_names):
        return float("inf")
    return float(os.sysconf(names[0])) * os.sysconf(names[1])
