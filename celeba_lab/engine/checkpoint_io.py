"""Save checkpoints atomically."""

import errno
import io
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from typing_extensions import override

from celeba_lab.files import write_atomically


class AtomicCheckpointIO(TorchCheckpointIO):
    """Save checkpoints atomically, so that a killed run or a full disk does not leave an incomplete checkpoint.

    Lightning itself first writes to the system's temporary folder. If this folder is on a different file system,
    Lightning then copies the file, and a run that is killed while copying leaves an incomplete checkpoint.

    Args:
        run_folder: Folder of the run. Folders inside it are created if necessary. If the run folder itself has been
            deleted, an error is raised, rather than creating a second folder with only some of the results.
    """

    def __init__(self, run_folder: str | Path | None = None) -> None:
        super().__init__()
        self.run_folder = None if run_folder is None else Path(run_folder).resolve()

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        if storage_options is not None or "://" in str(path):  # Remote file systems, such as S3, write atomically.
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        self._create_folder_of(Path(path))
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), lambda file: file.write(content.getbuffer()))

    @override
    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint. Lightning would also remove a folder with all that it contains, or a remote file."""
        if Path(path).suffix == ".ckpt" and Path(path).is_file():
            Path(path).unlink()

    def _create_folder_of(self, path: Path) -> None:
        root = self.run_folder
        if root is not None and path.resolve().is_relative_to(root) and not root.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
