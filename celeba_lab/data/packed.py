"""Faces that are decoded once, into a file that all runs share."""

import hashlib
import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from celeba_lab.console import console
from celeba_lab.data.pack import Pack, format_bytes
from celeba_lab.data.stores import FaceStore, InMemory, JpegFolder, gather
from celeba_lab.errors import UserError
from celeba_lab.files import cache_directory

if TYPE_CHECKING:
    import torch

# With ``auto``, faces are packed if that saves decoding at least so many images, which takes one to two seconds.
_FEWEST_SAVED = 5_000
_FOLDER = "packed"
# Number of bytes after which the pages that have been read are released. The kernel maps up to ten times as many.
_MOST_MAPPED = 2**21


class Packed:
    """Faces that are read from a :class:`~celeba_lab.data.pack.Pack`. All other faces are read from the image files.

    Args:
        source: The image files.
        folder: Folder of the pack.
        always: If true, ``prepare`` always packs the faces. If false, it packs them only if the run itself decodes
            noticeably fewer images then, and otherwise reads those that have been packed before.

    Example:
        >>> files = JpegFolder(Path("img_align_celeba"), ["000001.jpg"], image_size=64, max_pixels=100_000)
        >>> faces = Packed(files, Path("packed"), always=True)  # packs nothing yet
        >>> faces.pack.path.name, faces.decodes(np.array([0]))
        ('faces_64.npy', True)
    """

    start_method: str | None = None

    def __init__(self, source: JpegFolder, folder: Path, always: bool) -> None:
        self.source = source
        self.image_size = source.image_size
        self.pack = Pack(folder, source)
        self.always = always
        self._held = np.zeros(len(source.names), dtype=bool)  # (N,), whether a face can be read from the pack
        self._faces: np.ndarray | None = None  # (N, S, S, 3), or None until the file has been opened
        self._file: tuple[int, int] | None = None  # device and number of the file that was prepared
        self._mapped = 0  # number of bytes that have been read from the file since its pages were last released
        self._said = ""

    def prepare(self, rows: np.ndarray, reads: float, processes: int = 1) -> None:
        """Find the given faces in the pack, and pack those that are missing if that pays.

        Raises:
            UserError: The faces must be packed, but the disk is too small or the file cannot be written.
        """
        if len(rows) == 0 or self._held[rows].all():
            return
        found = self.pack.find(rows)
        # A block is packed as a whole, also if only some of its images are used.
        if found.missing and (self.always or reads - found.missing >= _FEWEST_SAVED):
            self._fill(rows, found.missing)
            found = self.pack.find(rows)
        if found.held.any():
            self._take(rows[found.held], found.file)
        elif reads > len(rows):
            self._say("images: decoded whenever they are read, because packing so few would not make this run faster")

    def _fill(self, rows: np.ndarray, missing: int) -> None:
        size, path = self.image_size, self.pack.path
        self._say(
            f"images: packing {missing:,} faces of {size} x {size} pixels ({format_bytes(self.pack.bytes_of(missing))})"
            f" into {path}"
        )
        try:
            self.pack.fill(rows)
        except UserError as error:
            if self.always:
                raise
            console.print(f"data.store=auto decodes the images in every epoch: {error}", style="yellow", soft_wrap=True)

    def _take(self, rows: np.ndarray, file: tuple[int, int] | None) -> None:
        if file != self._file:  # Another process with other settings may have replaced the file.
            self._file, self._faces = file, None
            self._held[:] = False
        self._held[rows] = True
        if not self._said:
            self._say(f"images: read from {self.pack.path}, where they have been packed")

    def _say(self, line: str) -> None:
        if line != self._said:
            console.print(line, soft_wrap=True)
        self._said = line

    def read(self, rows: np.ndarray) -> "torch.Tensor":
        """Return the faces in the given rows from the pack if possible, otherwise from the files, uint8 (B, 3, S, S).

        Raises:
            UserError: A file cannot be read or decoded.
        """
        if not self._held[rows].all() or (faces := self._open()) is None:
            return self.source.read(rows)
        self._mapped += len(rows) * 3 * self.image_size**2
        if self._mapped > _MOST_MAPPED:
            self._release(faces)
        return gather(faces, rows)

    def _release(self, faces: np.ndarray) -> None:
        """Remove the pages of the file from the memory of this process. They stay in the cache of the system.

        Otherwise, the process would seem to need as much memory as all the faces that it has read.
        """
        pages = faces.base
        while isinstance(pages, np.ndarray):
            pages = pages.base
        if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)
        self._mapped = 0

    def groups_of(self, rows: np.ndarray) -> np.ndarray | None:
        """Return None, because the file can be read in any order."""
        return None

    def decodes(self, rows: np.ndarray) -> bool:
        """Return whether reading the given faces requires decoding image files."""
        return not self._held[rows].all()

    def _open(self) -> np.ndarray | None:
        """Return the pixels, or None if the file that was prepared no longer exists."""
        if self._faces is None:
            try:
                faces, status = self.pack.open(), self.pack.path.stat()
            except (OSError, ValueError):
                return None
            if (status.st_dev, status.st_ino) != self._file:
                return None
            self._faces = np.asarray(faces)
        return self._faces

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for worker processes, which map the file into their own memory."""
        return self.__dict__ | {"_faces": None}


def pack_folder(root: Path, images: Path, cache: Path | None) -> Path:
    """Return the folder for the packs of a dataset.

    Args:
        root: The data folder.
        images: Folder that contains the images.
        cache: Folder for the packs of all datasets. Default: the folder ``packed`` in the data folder, if files can be
            written to it, otherwise ``~/.cache/celeba_lab`` or ``$XDG_CACHE_HOME/celeba_lab``.
    """
    if cache is None:
        # An administrator can write to folders that are marked as read-only, but should not.
        is_writable = root.is_dir() and root.stat().st_mode & 0o222 and os.access(root, os.W_OK)
        if (root / _FOLDER).is_dir() or is_writable:
            return root / _FOLDER
        cache = cache_directory()
    where = hashlib.sha256(str(images.resolve()).encode()).hexdigest()[:8]
    return cache / f"{root.resolve().name}-{where}"


STORES = ("auto", "packed", "memory", "jpeg", "shards")
"""Values of ``data.store``."""


def build_store(store: str, files: JpegFolder, root: Path, cache: Path | None) -> FaceStore:
    """Build the store that a value of ``data.store`` selects.

    Args:
        store: One of ``STORES``.
        files: The image files of the dataset.
        root: The data folder.
        cache: See :func:`pack_folder`.
    """
    if store in ("jpeg", "shards"):
        return files
    if store == "memory":
        return InMemory(files)
    return Packed(files, pack_folder(root, files.folder, cache), always=store == "packed")
