"""Files are written completely or not at all."""

import os
import stat
from pathlib import Path

import pytest

from celeba_lab.files import read_file, write_atomically


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_write_atomically_creates_and_replaces_files(tmp_path):
    path = tmp_path / "deep/er/file.bin"
    write_atomically(path, lambda file: file.write(b"one"))
    write_atomically(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"two"
    assert names_in(path.parent) == ["file.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failed_write_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half of the n")
        raise error

    with pytest.raises(error):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file.bin"]


def test_a_failed_first_write_leaves_no_file(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_atomically(tmp_path / "file.bin", lambda file: 1 / 0)
    assert names_in(tmp_path) == []


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def look(file):
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
        assert {p.parent for p in tmp_path.rglob("*file.bin*")} == {tmp_path}, (
            "the temporary file must be on the same file system"
        )

    write_atomically(path, look)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "file.bin"
    before = os.umask(umask)
    try:
        write_atomically(path, lambda file: file.write(b""))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_above_the_limit_and_a_device_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(1001))
    assert read_file(path, 1001) == bytes(1001)
    with pytest.raises(OSError, match=r"1,001 bytes exceed the limit of 1,000"):
        read_file(path, 1000)
    with pytest.raises(OSError, match="not a regular file"):
        read_file(Path("/dev/zero"), 1000)
