"""Files are written completely or not at all, and files of runs are read as data from people who may be strangers."""

import os
import runpy
import stat
from pathlib import Path

import pytest

from celeba_lab.errors import UserError
from celeba_lab.files import prepare_folder, read_file, remove_staged, storage, write_atomically


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_write_atomically_creates_and_replaces_files(tmp_path):
    path = tmp_path / "folder/file.bin"
    write_atomically(path, lambda file: file.write(b"one"))
    write_atomically(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"two"
    assert names_in(path.parent) == ["file.bin"]


def test_a_deleted_run_folder_is_not_created_again(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "deleted/tables/file.csv", lambda file: file.write(b"one"))
    assert names_in(tmp_path) == []


def test_files_left_by_a_killed_process_are_removed(tmp_path):
    (tmp_path / "tables").mkdir()
    for name in (".scores.csv.0123abcd.part", "scores.csv"):
        (tmp_path / "tables" / name).touch()
    remove_staged(tmp_path)
    assert names_in(tmp_path / "tables") == ["scores.csv"]


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


def test_files_are_read_and_written_without_the_functions_that_windows_lacks(tmp_path: Path) -> None:
    """Windows has no O_NONBLOCK and cannot open folders."""
    open_file = os.open

    def refuse_folders(path, *arguments, **options):
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        return open_file(path, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(os, "O_NONBLOCK")
        patch.setattr(os, "open", refuse_folders)
        windows = runpy.run_path(str(Path(storage.__file__)))
        windows["write_atomically"](tmp_path / "file.bin", lambda file: file.write(b"one\r\n"))
        assert windows["read_file"](tmp_path / "file.bin", 10) == b"one\r\n"


def test_a_folder_for_later_files_is_created_or_refused(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    assert names_in(tmp_path / "a" / "b") == []
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "b", Path("/proc/x"), Path("/proc")):
        with pytest.raises(
            UserError, match=rf"^No files can be written to the folder {folder} \(.*\)\. Choose another folder"
        ):
            prepare_folder(folder)


# ------------------------------------------------------------------------------------------------------ files of a run
