"""Read files in the format of ``torch.save``."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from celeba_lab.files import check_regular

MAX_BYTES = 2**35
"""Maximum size of a file in bytes (32 GiB)."""


class UnreadableFileError(Exception):
    """Raised when torch cannot read a file safely. The message is a short description of the cause."""


def read_torch_file(path: Path) -> Any:
    """Load a file into CPU memory without running any code that it contains.

    Raises:
        UnreadableFileError: The file is damaged, too large, not a regular file or was not written by torch, or contains
            objects other than tensors and plain types.
    """
    try:
        check_regular(path, MAX_BYTES)
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnreadableFileError:
        raise
    except Exception as error:  # torch.load raises many unrelated exception types for invalid files.
        raise UnreadableFileError(f"{path.stat().st_size:,} bytes; {type(error).__name__}") from error


def _check_archive(path: Path) -> None:
    """Check that an archive contains no compressed files, which could expand to any size.

    torch itself never compresses files.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise UnreadableFileError("it is a compressed archive")
        if (name := archive.testzip()) is not None:  # torch itself does not check the checksums.
            raise UnreadableFileError(f"the checksum of {name} is wrong")
