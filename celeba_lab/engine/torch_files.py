"""Read and write files in the format of ``torch.save``."""

from pathlib import Path
from typing import Any

import torch


class UnreadableFileError(Exception):
    """Raised when torch cannot read a file safely. The message is a short description of the cause."""


def read_torch_file(path: Path) -> Any:
    """Load a file into CPU memory without running any code that it contains.

    Raises:
        UnreadableFileError: The file is damaged, was not written by torch, or contains objects other than tensors
            and plain types.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many unrelated exception types for invalid files.
        raise UnreadableFileError(f"{path.stat().st_size:,} bytes; {type(error).__name__}") from error
