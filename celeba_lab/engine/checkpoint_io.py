"""Save checkpoints atomically."""

import io
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
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        if storage_options is not None or "://" in str(path):  # Remote file systems, such as S3, write atomically.
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), lambda file: file.write(content.getbuffer()))
