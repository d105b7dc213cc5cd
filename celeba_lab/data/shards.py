"""Image files in shards of tens of megabytes, for datasets that do not fit on one disk, in litdata's format.

A folder of shards contains the tables, ``index.json`` and the shards. A shard holds the unchanged content of thousands
of image files, in the order of the tables. Shards are read from a folder, or from an object store, from which they are
copied to a local folder when they are needed.
"""

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from typing_extensions import override

from celeba_lab.data.annotations import TABLES
from celeba_lab.data.images import decode_image, resize_images
from celeba_lab.data.stores import JpegFolder
from celeba_lab.data.synthetic.settings import RECORD
from celeba_lab.errors import SettingError, UserError, missing_extra
from celeba_lab.files import read_json, write_atomically

if TYPE_CHECKING:
    import torch

INDEX = "index.json"
"""Name of litdata's list of shards, which is written last."""
SCHEMES = ("s3", "gs", "az", "file")
"""Object stores from which shards can be read. ``file`` is a folder that is treated like one."""
_LOCAL = "file://"
_MAX_INDEX_BYTES = 2**26
SHARD = re.compile(r"chunk-[0-9]+-[0-9]+\.bin")
"""Pattern of the names of shards."""
_FREE_SHARE = 0.1  # Share of the local disk that copies of shards leave free.
_PARALLEL = 8  # number of shards that are copied at the same time
_KEPT = 16  # Number of other copies that are never deleted. A batch can need two sets of eight shards.


def is_url(root: str) -> bool:
    """Return whether shards are in an object store instead of a folder."""
    return "://" in root


class ShardFolder:
    """A folder of shards, or its local copy.

    Args:
        root: Path to the folder, or an address such as ``s3://bucket/celeba``. Credentials are read from the
            environment variables that the object store's own tools use.
        cache: Folder for local copies. Default: ``~/.cache/celeba_lab`` or ``$XDG_CACHE_HOME/celeba_lab``.

    Attributes:
        root: The argument.
        folder: Folder with the shards, or with local copies of those that were needed.

    Raises:
        SettingError: The address does not begin with a supported scheme.
        UserError: A library is not installed.
    """

    def __init__(self, root: str, cache: Path | None = None) -> None:
        self.root = root
        self._is_remote = is_url(root)
        if self._is_remote:
            scheme = root.partition("://")[0]
            if scheme not in SCHEMES:
                rule = f"must be a folder or begin with {', '.join(f'{each}://' for each in SCHEMES)}"
                raise SettingError("root", root, rule)
            base = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "celeba_lab"
            self.folder = base / f"shards-{hashlib.sha256(root.encode()).hexdigest()[:8]}"
        else:
            self.folder = Path(root).expanduser()
        self._shards: list[dict[str, Any]] | None = None
        self._store: Any = None

    def tables(self) -> Path:
        """Return a local folder with the tables and the index, which are copied again in each run.

        Raises:
            UserError: The folder does not contain shards, or cannot be read.
        """
        if self._is_remote and self._shards is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            for position, name in enumerate((INDEX, *TABLES, RECORD)):
                self._fetch(name, is_optional=position > 2)
        if not (self.folder / INDEX).is_file():
            raise UserError(
                f"There are no shards in {self.root}, because it does not contain {INDEX}. Choose another data.root or"
                " data.store=jpeg."
            )
        return self.folder

    @property
    def shards(self) -> list[dict[str, Any]]:
        """Name (``filename``), number of images (``chunk_size``) and bytes (``chunk_bytes``) of each shard.

        Raises:
            UserError: The index is damaged, or describes other data than image files.
        """
        if self._shards is None:
            path = self.tables() / INDEX
            try:
                content = read_json(path, _MAX_INDEX_BYTES)
                config, shards = content["config"], content["chunks"]
                # Other formats, such as pickled objects, are never read.
                is_plain = config["data_format"] == ["bytes"] and config["item_loader"] == "PyTreeLoader"
                if not is_plain or config["compression"] or config["encryption"]:
                    raise ValueError("the shards do not contain image files")
                if not all(_is_sound(shard) for shard in shards):
                    raise ValueError("a shard has no valid name or size")
            except (UserError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                raise UserError(
                    f"{self.root}/{INDEX} is damaged or was not written by this program ({error})."
                ) from error
            self._shards = shards
        return self._shards

    @property
    def store(self) -> Any:
        """The object store at the address, with the credentials in the environment.

        Raises:
            UserError: A library is not installed, or the object store cannot be used.
        """
        if self._store is None:
            self._store = _open_store(self.root)
        return self._store

    def exists_remotely(self) -> bool:
        """Return whether there are shards in the object store.

        Raises:
            UserError: A library is not installed, or the object store cannot be read.
        """
        if self.root.startswith(_LOCAL) and not Path(self.root.removeprefix(_LOCAL)).exists():
            return False
        store = self.store
        import obstore

        with explaining(self.root):
            try:
                obstore.head(store, INDEX)
            except FileNotFoundError:
                return False
        return True

    def create_remotely(self) -> None:
        """Create the folder that is treated like an object store. Other object stores have no folders."""
        if self.root.startswith(_LOCAL):
            Path(self.root.removeprefix(_LOCAL)).mkdir(parents=True, exist_ok=True)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for worker processes, which open the store themselves."""
        return self.__dict__ | {"_store": None}

    @property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of a hash of the numbers of images in the shards."""
        return hashlib.sha256(self.ends().tobytes()).hexdigest()[:16]

    def ends(self) -> np.ndarray:
        """Return the cumulative number of images up to the end of each shard, int64 (number of shards,)."""
        return np.cumsum([shard["chunk_size"] for shard in self.shards], dtype=np.int64)

    def make_local(self, numbers: Sequence[int]) -> None:
        """Copy shards from an object store, unless there are local copies. Several are copied at the same time.

        All other copies may be deleted to make room.

        Raises:
            UserError: A shard cannot be read or is truncated.
        """
        if self._is_remote:
            for number in numbers:
                self._mark_as_used(number)
        missing = [number for number in numbers if not self._is_whole(number)]
        if missing and not self._is_remote:
            shard = self.shards[missing[0]]
            raise UserError(
                f"{self.folder / shard['filename']} is missing or truncated: it must have {shard['chunk_bytes']:,}"
                " bytes. Write the shards again."
            )
        if missing:
            with ThreadPool(min(_PARALLEL, len(missing))) as pool:
                pool.map(lambda number: self._copy_shard(number, numbers), missing)

    def _mark_as_used(self, number: int) -> None:
        """Let other processes and threads delete the copy of a shard as late as possible."""
        with suppress(OSError):  # There may be no copy.
            os.utime(self.folder / self.shards[number]["filename"])

    def _is_whole(self, number: int) -> bool:
        try:
            path = self.folder / self.shards[number]["filename"]
            return bool(path.stat().st_size == self.shards[number]["chunk_bytes"])
        except OSError:
            return False

    def _copy_shard(self, number: int, needed: Sequence[int]) -> None:
        shard = self.shards[number]
        with FileLock(self.folder / f".{shard['filename']}.lock"):  # Workers and processes share the copies.
            if self._is_whole(number):
                return
            self._make_room(shard["chunk_bytes"], {self.shards[each]["filename"] for each in needed})
            self._fetch(shard["filename"])
            if not self._is_whole(number):
                raise UserError(
                    f"{self.root}/{shard['filename']} is truncated: it must have {shard['chunk_bytes']:,} bytes. Write"
                    " the shards again."
                )

    def _make_room(self, size: int, needed: Set[str]) -> None:
        """Delete the copies that were not used for longest until a tenth of the disk remains free.

        Processes that are reading a shard keep its file open, and copy it again when they next need it.
        """
        others = [path for path in self.folder.glob("chunk-*.bin") if path.name not in needed]
        for path in sorted(others, key=_last_use)[:-_KEPT]:
            usage = shutil.disk_usage(self.folder)
            if usage.free - size >= _FREE_SHARE * usage.total:
                return
            path.unlink(missing_ok=True)

    def _fetch(self, name: str, is_optional: bool = False) -> None:
        store = self.store
        import obstore

        with explaining(self.root):
            try:
                content = obstore.get(store, name)
            except FileNotFoundError:
                if is_optional:
                    (self.folder / name).unlink(missing_ok=True)
                    return
                raise
            write_atomically(self.folder / name, lambda file: [file.write(part) for part in content.stream()])


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # Another process has deleted the file.
        return 0.0


def _is_sound(shard: dict[str, Any]) -> bool:
    is_named = isinstance(shard["filename"], str) and SHARD.fullmatch(shard["filename"]) is not None
    return is_named and all(isinstance(shard[key], int) and shard[key] > 0 for key in ("chunk_size", "chunk_bytes"))


def _open_store(root: str) -> Any:
    try:
        from obstore.store import from_url
    except ImportError as error:
        raise missing_extra("data.store=shards", "shards") from error
    if root.startswith(_LOCAL) and not Path(root.removeprefix(_LOCAL)).is_dir():
        raise UserError(f"The folder {root} does not exist. Check the address.")
    with explaining(root):
        return from_url(root)


@contextmanager
def explaining(root: str) -> Iterator[None]:
    """Explain errors of an object store that are raised in this block."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        reason = str(error).split("\n\n")[0].split("\n")[0].rstrip(".")
        raise UserError(
            f"{root} cannot be read or written ({reason}). Check the address, the network and the credentials."
        ) from error


class Shards(JpegFolder):
    """Image files in shards, which are decoded each time they are read.

    Args:
        shards: The folder of shards.
        names: File names of the images, in the order of the tables.
        image_size: Side length of the resized images, in pixels.
        max_pixels: Maximum number of pixels in an image (width times height), checked before decoding.

    Raises:
        UserError: The shards do not contain as many images as the tables list.
    """

    def __init__(
        self, shards: ShardFolder, names: Sequence[str] | np.ndarray, image_size: int, max_pixels: int
    ) -> None:
        super().__init__(Path(shards.root), names, image_size, max_pixels)
        # The threads of obstore do not exist in a forked process, which would wait for them forever.
        self.start_method = "spawn" if is_url(shards.root) else None
        self._shards = shards
        self._ends = shards.ends()
        self._reader = _Reader(shards.folder)
        self._local: set[int] = set()
        found = int(self._ends[-1]) if len(self._ends) else 0
        if found != len(self.names):
            raise UserError(
                f"The shards in {shards.root} contain {found:,} images, but the tables list {len(self.names):,}. Write"
                " the shards again."
            )

    @override
    def groups_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the number of the shard that contains each of the given images, int64 (N,)."""
        found: np.ndarray = np.searchsorted(self._ends, rows, side="right")
        return found

    @override
    def load(self, row: int) -> np.ndarray:
        """Return one image at its original size, uint8 (H, W, 3).

        Raises:
            UserError: The shard cannot be read, or the image cannot be decoded.
        """
        self._make_local(np.array([row]))
        return self._decode(row)

    @override
    def read(self, rows: np.ndarray) -> "torch.Tensor":
        """Return the decoded and resized images in the given rows, uint8 (B, 3, S, S).

        Raises:
            UserError: A shard cannot be read, or an image cannot be decoded.
        """
        self._make_local(rows)
        images: list[Any] = [None] * len(rows)
        for place in np.argsort(rows, kind="stable"):  # litdata opens one shard at a time.
            images[place] = self._decode(rows[place])
        return resize_images(images, self.image_size)

    def _make_local(self, rows: np.ndarray) -> None:
        numbers = set(self.groups_of(rows).tolist())
        if is_url(self._shards.root):  # Other processes may have deleted the copies in the meantime.
            self._shards.make_local(sorted(numbers))
        elif not numbers <= self._local:
            self._shards.make_local(sorted(numbers - self._local))
            self._local |= numbers

    def _decode(self, row: int) -> np.ndarray:
        return decode_image(self._content(int(row)), f"{self.folder}/{self.names[row]}", self.max_pixels)

    def _content(self, row: int) -> bytes:
        try:
            return self._read(row)
        except FileNotFoundError:  # The shard was deleted after it was made local. litdata waited two seconds for it.
            self._reader.close()
            self._local -= set(self.groups_of(np.array([row])).tolist())
            self._make_local(np.array([row]))
        try:
            return self._read(row)
        except FileNotFoundError as error:
            raise UserError(
                f"The copies of shards in {self._shards.folder} are deleted while they are read. Free space on this"
                " disk, or choose another data.cache."
            ) from error

    def _read(self, row: int) -> bytes:
        return bytes(self._reader.open()[row])


class _Reader(threading.local):
    """litdata's dataset, which is opened by each process and thread.

    It closes shards while it opens others, so it cannot be used by two threads. Where it does not map shards into the
    memory, it moves to the place of an image in an open file, which forked processes would share with its place.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: tuple[int, Any] | None = None

    def open(self) -> Any:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), _open_reader(self._folder)
        return self._opened[1]

    def close(self) -> None:
        self._opened = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Reader, (self._folder,)


def _open_reader(folder: Path) -> Any:
    try:
        from litdata import StreamingDataset
    except ImportError as error:
        raise missing_extra("data.store=shards", "shards") from error
    # By default, litdata would decode the neighbours of each image as well, which makes random access 20 times slower.
    return StreamingDataset(str(folder), batch_decode=False)
