"""Files of torch are loaded only if their bytes can be checked."""

import hashlib
from pathlib import Path

import pytest
import torch

from celeba_lab.engine.checkpoints import read_checkpoint
from celeba_lab.engine.pretrained import fetch_weights
from celeba_lab.engine.torch_files import OldFormatError, UnreadableFileError, read_torch_file
from celeba_lab.errors import UserError

WEIGHTS = {"weight": torch.arange(1000.0)}


def save_old(path: Path) -> Path:
    """Write a file in the format of torch before version 1.6."""
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    return path


def test_a_file_with_a_changed_byte_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(WEIGHTS, path)
    assert torch.equal(read_torch_file(path)["weight"], WEIGHTS["weight"])
    content = path.read_bytes()
    place = content.index(WEIGHTS["weight"].numpy().tobytes()) + 400
    path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
    with pytest.raises(UnreadableFileError, match=r"the checksum of .*/data/0 is wrong"):
        read_torch_file(path)


def test_a_file_without_checksums_is_rejected(tmp_path: Path) -> None:
    path = save_old(tmp_path / "weights.pth")
    with pytest.raises(OldFormatError, match="which has no checksums"):
        read_torch_file(path)
    sentence = r"weights\.pth is in the format of torch before version 1\.6.*convert it with torch\.save\(torch\.load"
    with pytest.raises(UserError, match=rf"^weights=\S*{sentence}"):
        fetch_weights(str(path), "resnet18")
    with pytest.raises(UserError, match=rf"^checkpoint=\S*{sentence}"):
        read_checkpoint(str(path), "evaluate")


def test_the_suggested_conversion_works(tmp_path: Path) -> None:
    new = tmp_path / "new.pth"
    exec(OldFormatError.hint.partition("with ")[2].rstrip("."), {
        "torch": torch, "OLD": save_old(tmp_path / "weights.pth"), "NEW": new,
    })  # fmt: skip
    assert torch.equal(read_torch_file(new)["weight"], WEIGHTS["weight"])


@pytest.mark.parametrize("length", [8, 10, 64])
def test_an_old_file_is_loaded_if_its_name_contains_its_hash(tmp_path: Path, length: int) -> None:
    """The old weights files of torchvision have such names."""
    path = save_old(tmp_path / "weights.pth")
    content = path.read_bytes()
    path = tmp_path / f"densenet121-{hashlib.sha256(content).hexdigest()[:length]}.pth"
    path.write_bytes(content)
    assert torch.equal(read_torch_file(path)["weight"], WEIGHTS["weight"])
    path.write_bytes(content[:-2] + b"\xff" + content[-1:])
    with pytest.raises(OldFormatError):
        read_torch_file(path)


def test_an_old_file_with_an_appended_archive_is_rejected(tmp_path: Path) -> None:
    """Python would read the archive and torch the other part."""
    path, archive = save_old(tmp_path / "weights.pth"), tmp_path / "archive.pth"
    torch.save(WEIGHTS, archive)
    path.write_bytes(path.read_bytes() + archive.read_bytes())
    with pytest.raises(OldFormatError):
        read_torch_file(path)
