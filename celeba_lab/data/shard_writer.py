"""Write image files and their tables to shards."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from celeba_lab.console import Progress
from celeba_lab.data.shards import INDEX, SHARD, ShardFolder, explaining, is_url
from celeba_lab.data.stores import JpegFolder
from celeba_lab.errors import SettingError, UserError, missing_extra


class ShardWriter:
    """Writes a folder of shards, or uploads it to an object store.

    Args:
        target: Path to an empty or new folder, or an address without shards; see
            :class:`~celeba_lab.data.shards.ShardFolder`.
        shard_bytes: Approximate size of a shard in bytes.

    Raises:
        SettingError: The folder is not empty, or the address is not supported or contains shards.
        UserError: The object store cannot be read, or a library is not installed.
    """

    def __init__(self, target: str, shard_bytes: int = 64 * 2**20) -> None:
        try:
            self._folder = ShardFolder(target)
        except SettingError as error:
            raise error.renamed("target") from None
        self.target = target
        self._is_remote = is_url(target)
        self._shard_bytes = shard_bytes
        if self._is_remote:
            if self._folder.exists_remotely():
                raise SettingError("target", target, f"must not contain {INDEX}, because shards are never overwritten")
            return
        folder = Path(target).expanduser()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise SettingError("target", target, "must be an empty folder, or a folder that does not exist yet")

    def write(self, files: JpegFolder, rows: np.ndarray, tables: dict[str, bytes]) -> int:
        """Write image files to shards, then the tables, and the index last.

        Args:
            files: The image files.
            rows: Rows of the images, int64 (N,), in the order of the tables.
            tables: Content of the other files by name.

        Returns:
            The number of bytes of the shards.

        Raises:
            UserError: An image cannot be read, or the folder or object store cannot be written to.
        """
        try:
            from litdata.streaming.writer import BinaryWriter
        except ImportError as error:
            raise missing_extra("format=shards", "shards") from error
        self._folder.create_remotely()
        folder = self._staging_folder()
        try:
            writer = BinaryWriter(str(folder), chunk_bytes=self._shard_bytes)
            with Progress("Writing shards", len(rows), "images") as progress:
                for position, row in enumerate(rows.tolist()):
                    if path := writer.add_item(position, files.content(row)):
                        self._publish(Path(path))
                    progress.advance()
                for path in writer.done():
                    self._publish(Path(path))
            writer.merge()
            shards = json.loads((folder / INDEX).read_text())["chunks"]
            for name, content in tables.items():
                (folder / name).write_bytes(content)
                self._publish(folder / name)
            self._publish(folder / INDEX)
            if not self._is_remote:
                folder.rename(Path(self.target).expanduser())
        except OSError as error:
            raise UserError(f"{self.target} cannot be written ({error.strerror or error}).") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return sum(shard["chunk_bytes"] for shard in shards)

    def _staging_folder(self) -> Path:
        if self._is_remote:
            return Path(tempfile.mkdtemp(prefix="celeba_lab_shards_"))
        target = Path(self.target).expanduser()
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rmdir()
        staged = target.with_name(f".{target.name}.{os.getpid()}.partial")
        staged.mkdir()
        return staged

    def _publish(self, path: Path) -> None:
        """Upload a file to the object store, and delete shards from the local disk."""
        if not self._is_remote:
            return
        import obstore

        with explaining(self.target), path.open("rb") as file:
            obstore.put(self._folder.store, path.name, file)
        if SHARD.fullmatch(path.name):
            path.unlink()
