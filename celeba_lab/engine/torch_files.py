"""Reading files that ``torch.save`` wrote."""

from pathlib import Path
from typing import Any

import torch


class UnreadableFileError(Exception):
    """A file that torch cannot read without running code in it; the message is the reason in a few words."""


def read_torch_file(path: Path) -> Any:
    """Return the content of a file on the CPU, without running any code in it.

    Raises:
        UnreadableFileError: The file is damaged, torch did not write it, or it holds more than plain types and tensors.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen unrelated types for a file that it did not write
        raise UnreadableFileError(f"{path.stat().st_size:,} bytes; {type(error).__name__}") from error
