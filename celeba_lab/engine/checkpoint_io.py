"""Save checkpoints so that a complete one always exists."""

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from typing_extensions import override

from celeba_lab.files import write_atomically


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's way of saving checkpoints, made safe against kills and full disks.

    Lightning writes to the folder for temporary files first. If that folder is on another file system, the file is
    copied to its place afterwards, and a run that is killed meanwhile leaves an incomplete checkpoint.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        if storage_options is not None or "://" in str(path):  # Other file systems, such as S3, write atomically.
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), lambda file: file.write(content.getbuffer()))
