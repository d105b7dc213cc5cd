"""A file with decoded faces, filled block by block, and an index that says which blocks are complete."""

import hashlib
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from celeba_lab.console import Progress
from celeba_lab.data.images import resize_images
from celeba_lab.data.stores import JpegFolder
from celeba_lab.data.workers import usable_cores
from celeba_lab.errors import UserError
from celeba_lab.files import read_json, write_atomically

BLOCK = 256
"""Number of faces in a block, the unit in which faces are packed, checked and packed again."""
_VERSION = 1  # Increase this number whenever the same image files give other pixels.
_LIBRARIES = ("pillow", "simplejpeg", "torch", "torchvision")  # Their versions can change the pixels.
_MAX_INDEX_BYTES = 2**26  # The index of five million faces takes 2 MB.
_SECONDS_BETWEEN_SAVES = 2.0


@dataclass
class Block:
    """A complete block of a pack.

    Attributes:
        source: Hash of the names, sizes and modification times of the image files.
        checksum: CRC-32 of the pixels.
        unusable: Rows of images that could not be decoded.
    """

    source: str
    checksum: int
    unusable: list[int] = field(default_factory=list)


@dataclass
class Index:
    """What a pack contains.

    Attributes:
        settings: What the pixels depend on, apart from the image files.
        file: Size, modification time and change time of the file with the pixels when the index was written. If they
            are the same, the file has not been changed since.
        blocks: Complete blocks by number.
    """

    settings: dict[str, Any]
    file: list[int] = field(default_factory=list)
    blocks: dict[int, Block] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Index | None":
        """Read an index, or return None if it does not exist or is damaged."""
        try:
            content = read_json(path, _MAX_INDEX_BYTES)
            blocks = {int(number): Block(**block) for number, block in content.pop("blocks").items()}
            index = cls(**content, blocks=blocks)
        except (UserError, OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return index if all(_is_sound(number, block) for number, block in blocks.items()) else None

    def write(self, path: Path) -> None:
        """Replace the index on disk."""
        import json

        content = json.dumps(asdict(self)).encode()
        write_atomically(path, lambda file: file.write(content))


def _is_sound(number: int, block: Block) -> bool:
    rows = range(number * BLOCK, (number + 1) * BLOCK)
    return (
        isinstance(block.source, str)
        and isinstance(block.checksum, int)
        and isinstance(block.unusable, list)
        and all(isinstance(row, int) and row in rows for row in block.unusable)
    )


class Found(NamedTuple):
    """Which faces are in a pack.

    Attributes:
        held: Whether each of the faces can be read from the file, bool (M,). Unusable images cannot.
        missing: Number of faces that have to be packed, in whole blocks, to make the others available.
        file: Device and number of the file, or None if it does not exist. A file that replaces it has other numbers.
    """

    held: np.ndarray
    missing: int
    file: tuple[int, int] | None


class Pack:
    """Faces of a dataset, decoded and resized once into a memory-mapped file, uint8 (N, S, S, 3).

    The file has room for all N images of the dataset, so all splits, limits and seeds share it. Only the blocks that a
    run has needed are filled, and only they take space on disk. A block counts once it is complete, on disk and listed
    in the index, so filling goes on where a killed process has stopped. A block is packed again if one of its image
    files has changed. The whole file is replaced if the settings or the versions of the libraries have changed.

    Args:
        folder: Folder of the pack.
        files: The image files.

    Attributes:
        path: Path to the file with the pixels.
    """

    def __init__(self, folder: Path, files: JpegFolder) -> None:
        self.files = files
        self.path = folder / f"faces_{files.image_size}.npy"
        self._index_path = self.path.with_suffix(".json")
        self._sources: dict[int, str] = {}  # hashes of the image files of each block
        self._settings = {
            "version": _VERSION,
            "images": len(files.names),
            "image_size": files.image_size,
            "max_pixels": files.max_pixels,
            "block": BLOCK,
            **{name: version(name) for name in _LIBRARIES},
        }

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the array, (N, S, S, 3)."""
        size = self.files.image_size
        return len(self.files.names), size, size, 3

    def bytes_of(self, faces: int) -> int:
        """Return the number of bytes that the pixels of a number of faces take."""
        return faces * 3 * self.files.image_size**2

    def open(self) -> np.ndarray:
        """Map the pixels into memory, uint8 (N, S, S, 3), read-only.

        Raises:
            OSError: The file does not exist.
            ValueError: The file is truncated, or is not the file of this pack.
        """
        faces: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        if faces.shape != self.shape or faces.dtype != np.uint8 or not faces.flags.c_contiguous:
            raise ValueError("the file contains other data")
        return faces

    # ------------------------------------------------------------------------------------------------ what can be read

    def find(self, rows: np.ndarray) -> "Found":
        """Find the given faces in the file.

        If the file has been changed or copied since its index was written, its checksums are compared first, unless
        another process is filling it.

        Args:
            rows: Rows of the faces, int64 (M,).
        """
        blocks = _blocks_of(rows)
        file = _identify(self.path)
        index = self._read_index()
        if index is not None and not self._is_unchanged(index):
            try:
                with self._lock(wait=False):
                    index = self._verify(self._read_index())
            except Timeout:
                index = None
            except OSError:  # Nobody can fill a pack in a folder that is read-only.
                index = self._verify(index)
        if index is None or _identify(self.path) != file:  # Another process has replaced the file just now.
            return Found(np.zeros(len(rows), dtype=bool), sum(len(self._rows_of(block)) for block in blocks), file)
        missing = self._select_missing(index, blocks)
        held = np.zeros(len(self.files.names), dtype=bool)
        for number in set(blocks).difference(missing):
            held[self._rows_of(number)] = True
            held[index.blocks[number].unusable] = False
        return Found(held[rows], sum(len(self._rows_of(block)) for block in missing), file)

    def _select_missing(self, index: Index, blocks: Sequence[int]) -> list[int]:
        """Return the blocks that are not complete, or whose image files have changed since."""
        sources = self._hash_sources(blocks)
        return [n for n in blocks if n not in index.blocks or index.blocks[n].source != sources[n]]

    def _read_index(self) -> Index | None:
        index = Index.read(self._index_path)
        return index if index is not None and index.settings == self._settings else None

    def _is_unchanged(self, index: Index) -> bool:
        try:
            return index.file == _describe(self.path)
        except OSError:
            return False

    def _verify(self, index: Index | None) -> Index | None:
        """Compare the checksums of all blocks, and write an index without the damaged ones."""
        if index is None or self._is_unchanged(index):
            return index
        try:
            faces = self.open()
        except (OSError, ValueError):
            return None
        blocks = list(index.blocks.items())
        with Progress("Checking the packed faces", len(blocks), "blocks") as bar, ThreadPool(usable_cores()) as pool:
            for number, is_intact in pool.imap(lambda item: _check(faces, *item), blocks):
                if not is_intact:
                    del index.blocks[number]
                bar.advance()
        index.file = _describe(self.path)
        with suppress(OSError):  # The folder may be read-only.
            index.write(self._index_path)
        return index

    def _hash_sources(self, blocks: Sequence[int]) -> dict[int, str]:
        """Return a hash of the names, sizes and modification times of the image files, for each block.

        The files are looked at once in a run, and before they are decoded. If they change later, the next run notices.
        """
        unknown = [block for block in blocks if block not in self._sources]
        if unknown:
            # Each status takes a request to a network file system, so several are asked for at the same time.
            with ThreadPool(min(8, len(unknown))) as pool:
                self._sources.update(zip(unknown, pool.map(self._hash_source, unknown), strict=True))
        return {block: self._sources[block] for block in blocks}

    def _hash_source(self, block: int) -> str:
        found = hashlib.sha256()
        for row in self._rows_of(block):
            try:
                status = self.files.path(row).stat()
                found.update(f"{self.files.names[row]}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
            except OSError:
                found.update(f"{self.files.names[row]}\0missing\n".encode())
        return found.hexdigest()[:16]

    def _rows_of(self, block: int) -> range:
        return range(block * BLOCK, min(len(self.files.names), (block + 1) * BLOCK))

    # ---------------------------------------------------------------------------------------------------------- filling

    def fill(self, rows: np.ndarray) -> int:
        """Pack the blocks that contain the given faces, unless they are complete, on all cores.

        Another process that fills the same pack is waited for.

        Args:
            rows: Rows of the faces, int64 (M,).

        Returns:
            The number of faces that were packed by this call.

        Raises:
            UserError: The disk is too small, or the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock(wait=True):
                return self._fill(_blocks_of(rows))
        except OSError as error:
            raise UserError(
                f"Faces cannot be packed into {self.path} ({error.strerror or error}). Set data.cache to a folder on"
                " another disk, or data.store=jpeg."
            ) from error

    def _fill(self, blocks: Sequence[int]) -> int:
        index = self._verify(self._read_index())
        is_new = index is None or not self._has_file()
        if index is None or is_new:
            index = Index(self._settings)
        missing = self._select_missing(index, blocks)
        count = sum(len(self._rows_of(number)) for number in missing)
        if count == 0:
            return 0
        self._check_space(count)
        if is_new:
            self._create()
        with self.path.open("r+b") as file, Progress(self._describe_work(), count, "faces") as progress:
            saved = time.monotonic()
            try:
                with ThreadPool(usable_cores()) as pool:  # Decoding and resizing release the GIL.
                    for number, block in pool.imap_unordered(self._pack_block, missing):
                        index.blocks[number] = block
                        progress.advance(len(self._rows_of(number)))
                        if time.monotonic() > saved + _SECONDS_BETWEEN_SAVES:
                            self._save(index, file.fileno())
                            saved = time.monotonic()
            finally:
                self._save(index, file.fileno())
        return count

    def _describe_work(self) -> str:
        size = self.files.image_size
        return f"Packing faces of {size} x {size} pixels"

    def _has_file(self) -> bool:
        try:
            self.open()
        except (OSError, ValueError):
            return False
        return True

    def _create(self) -> None:
        """Create an empty file, which takes no space on most file systems. Processes that read an old one keep it."""
        self._index_path.unlink(missing_ok=True)
        staged = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        try:
            np.lib.format.open_memmap(staged, mode="w+", dtype=np.uint8, shape=self.shape)
            staged.replace(self.path)
        finally:
            staged.unlink(missing_ok=True)

    def _pack_block(self, number: int) -> tuple[int, Block]:
        rows = self._rows_of(number)
        unusable = []
        try:
            faces = self.files.read(np.array(rows)).permute(0, 2, 3, 1).numpy()
        except UserError:  # Images that no split uses do not stop a run. Reading an unusable image raises its error.
            faces = np.zeros((len(rows), *self.shape[1:]), dtype=np.uint8)
            for place, row in enumerate(rows):
                try:
                    [image] = resize_images([self.files.load(row)], self.files.image_size)
                    faces[place] = image.permute(1, 2, 0).numpy()
                except UserError:
                    unusable.append(row)
        content = np.ascontiguousarray(faces)
        with self.path.open("r+b") as file:
            # Writing to the map would end the process with SIGBUS if the disk were full.
            file.seek(-self.bytes_of(self.shape[0] - rows.start), os.SEEK_END)
            file.write(content.data)
        return number, Block(self._sources[number], zlib.crc32(content.data), unusable)

    def _save(self, index: Index, descriptor: int) -> None:
        """Write the index, after all listed blocks are on disk, so that also a power failure leaves no wrong block."""
        os.fsync(descriptor)
        index.file = _describe(self.path)
        index.write(self._index_path)

    def _check_space(self, faces: int) -> None:
        needed, free = self.bytes_of(faces), shutil.disk_usage(self.path.parent).free
        if needed > free:
            size = self.files.image_size
            raise UserError(
                f"{faces:,} faces of {size} x {size} pixels need {format_bytes(needed)}, but only {format_bytes(free)}"
                f" are free in {self.path.parent}. Set data.cache to a folder on another disk, or data.store=jpeg."
            )

    @contextmanager
    def _lock(self, wait: bool) -> Iterator[None]:
        """Hold the lock of the pack, which only one process can fill or check.

        Raises:
            Timeout: Another process holds the lock, and ``wait`` is false.
        """
        lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise
            with Progress("waiting for another process that packs these faces"):
                lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _blocks_of(rows: np.ndarray) -> list[int]:
    numbers: list[int] = np.unique(rows // BLOCK).tolist()
    return numbers


def _identify(path: Path) -> tuple[int, int] | None:
    """Return the device and the number of a file, or None if it does not exist."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _describe(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _check(faces: np.ndarray, number: int, block: Block) -> tuple[int, bool]:
    content = np.ascontiguousarray(faces[number * BLOCK : (number + 1) * BLOCK])
    return number, zlib.crc32(content.data) == block.checksum


def format_bytes(count: float) -> str:
    """Format a number of bytes with a decimal unit.

    Example:
        >>> format_bytes(9_957_741_000), format_bytes(786_432)
        ('9.96 GB', '0.8 MB')
    """
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
