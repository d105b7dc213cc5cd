"""Read files in the format of ``torch.save``."""

import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from celeba_lab.files import MAX_WEIGHTS_BYTES, check_regular


class UnreadableFileError(Exception):
    """Raised when torch cannot read a file safely. The message is a short description of the cause."""


class OldFormatError(UnreadableFileError):
    """Raised if a file is in torch's old format, so that nobody can tell whether it is damaged.

    Attributes:
        hint: How to convert the file.
    """

    hint = "If it is undamaged, convert it with torch.save(torch.load(OLD, weights_only=True), NEW)."

    def __init__(self) -> None:
        super().__init__(
            "is in the format of torch before version 1.6, which has no checksums, and its name does not end with its"
            " SHA-256 hash"
        )


# Files in the current format are ZIP archives. Files in the old format begin with a pickled number.
_ARCHIVE = b"PK\x03\x04"
_OLD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
# torchvision's weights files have names such as densenet121-a639ec97.pth. Those from before 2020 are in the old format.
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[^.]+$")


def read_torch_file(path: Path) -> Any:
    """Load a file into CPU memory without running any code that it contains.

    Raises:
        UnreadableFileError: The file is damaged, too large, not a regular file or was not written by torch, or contains
            objects other than tensors and plain types. It is an ``OldFormatError`` if the file is in the old format
            without checksums, unless its name contains its hash.
    """
    try:
        check_regular(path, MAX_WEIGHTS_BYTES)
        _check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnreadableFileError:
        raise
    except Exception as error:  # torch.load raises many unrelated exception types for invalid files.
        raise UnreadableFileError(f"{path.stat().st_size:,} bytes; {type(error).__name__}") from error


def _check_sums(path: Path) -> None:
    """Check that all bytes of a file are those that were written. torch itself does not check this."""
    with path.open("rb") as file:
        start = file.read(len(_OLD))
    if start.startswith(_ARCHIVE):
        _check_archive(path)
    elif not start.startswith(_OLD):
        raise UnreadableFileError(f"{path.stat().st_size:,} bytes")
    elif not _has_hash_of_name(path):
        raise OldFormatError


def _has_hash_of_name(path: Path) -> bool:
    """Return whether the name of a file ends with the first characters of its SHA-256 hash."""
    found = _HASH_IN_NAME.search(path.name)
    with path.open("rb") as file:
        return found is not None and hashlib.file_digest(file, "sha256").hexdigest().startswith(found[1])


def _check_archive(path: Path) -> None:
    """Check the checksums of an archive, and that it contains no compressed files, which could expand to any size.

    torch itself never compresses files.
    """
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise UnreadableFileError("it is a compressed archive")
        if (name := archive.testzip()) is not None:
            raise UnreadableFileError(f"the checksum of {name} is wrong")
