"""A pack contains the pixels of the image files, notices every change, and is never used while it is incomplete."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from celeba_lab.data import pack as pack_module
from celeba_lab.data.pack import Pack
from celeba_lab.data.packed import Packed
from celeba_lab.data.stores import JpegFolder
from celeba_lab.errors import UserError

SIZE = 16
ROWS = np.arange(48)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "BLOCK", 8)


@pytest.fixture
def files(tiny_celeba: Path, tmp_path: Path) -> JpegFolder:
    folder = tmp_path / "images"
    shutil.copytree(tiny_celeba / "img_align_celeba" / "img_align_celeba", folder)
    return JpegFolder(folder, [f"{k + 1:06d}.jpg" for k in range(48)], SIZE, 10**6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packed"


def packed_rows(pack: Pack, rows: np.ndarray = ROWS) -> list[int]:
    return rows[pack.find(rows).held].tolist()


def check_pixels(pack: Pack, rows: np.ndarray = ROWS) -> None:
    assert packed_rows(pack, rows) == rows.tolist()
    assert np.array_equal(pack.open()[rows], pack.files.read(rows).permute(0, 2, 3, 1).numpy())


def test_only_the_blocks_of_the_given_faces_are_filled(files: JpegFolder, folder: Path) -> None:
    pack = Pack(folder, files)
    assert pack.find(np.array([9, 12, 40])).missing == 16
    assert pack.fill(np.array([9, 12, 40])) == 16
    assert packed_rows(pack) == [*range(8, 16), *range(40, 48)]
    assert pack.fill(ROWS) == 32
    assert pack.fill(ROWS) == 0
    check_pixels(Pack(folder, files))
    assert pack.open().shape == (48, SIZE, SIZE, 3)


def test_a_changed_image_is_packed_again(files: JpegFolder, folder: Path) -> None:
    Pack(folder, files).fill(ROWS)
    shutil.copy(files.path(3), files.path(20))
    pack = Pack(folder, files)
    assert packed_rows(pack) == [*range(16), *range(24, 48)]
    assert pack.fill(ROWS) == 8
    check_pixels(pack)


@pytest.mark.parametrize("change", ["max_pixels", "names", "library"])
def test_changed_settings_replace_the_file(
    files: JpegFolder, folder: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before = Pack(folder, files)
    before.fill(ROWS)
    old = before.open()
    if change == "library":
        monkeypatch.setattr(pack_module, "version", lambda name: "0.0")
    names = files.names[:40] if change == "names" else files.names
    pack = Pack(folder, JpegFolder(files.folder, names, SIZE, 10**5 if change == "max_pixels" else 10**6))
    rows = np.arange(len(names))
    assert packed_rows(pack, rows) == []
    assert pack.fill(rows) == len(rows)
    check_pixels(pack, rows)
    assert np.array_equal(old, files.read(ROWS).permute(0, 2, 3, 1).numpy())  # Processes that read it keep it.


def test_each_size_has_its_own_file(files: JpegFolder, folder: Path) -> None:
    other = JpegFolder(files.folder, files.names, 8, 10**6)
    for each in (files, other):
        Pack(folder, each).fill(ROWS)
    for each in (files, other):
        check_pixels(Pack(folder, each))
    assert sorted(path.name for path in folder.glob("*.npy")) == ["faces_16.npy", "faces_8.npy"]


def test_a_truncated_file_is_packed_again(files: JpegFolder, folder: Path) -> None:
    pack = Pack(folder, files)
    pack.fill(ROWS)
    os.truncate(pack.path, pack.path.stat().st_size - 100)
    assert packed_rows(Pack(folder, files)) == []
    assert Pack(folder, files).fill(ROWS) == 48
    check_pixels(Pack(folder, files))


def alter_last_byte(path: Path) -> None:
    """Change the last pixel without changing the modification time."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_an_altered_block_is_packed_again(files: JpegFolder, folder: Path) -> None:
    pack = Pack(folder, files)
    pack.fill(ROWS)
    alter_last_byte(pack.path)
    assert packed_rows(Pack(folder, files)) == list(range(40))
    assert Pack(folder, files).fill(ROWS) == 8
    check_pixels(Pack(folder, files))


@pytest.mark.parametrize("is_writable", [True, False])
def test_a_copied_pack_is_checked_and_used(
    files: JpegFolder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_writable: bool
) -> None:
    Pack(folder, files).fill(ROWS)
    copied = tmp_path / "copied"
    copied.mkdir()
    for path in folder.glob("faces_*"):
        (copied / path.name).write_bytes(path.read_bytes())
    if not is_writable:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError

        monkeypatch.setattr(FileLock, "acquire", refuse)
        monkeypatch.setattr(pack_module, "write_atomically", refuse)
    check_pixels(Pack(copied, files))
    unchecked = not Pack(copied, files)._is_unchanged(pack_module.Index.read(copied / "faces_16.json"))
    assert unchecked != is_writable  # The checksums are compared only once.


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"blocks": 3}', '{"settings": {}, "blocks": {"0": {"source": 1, "checksum": 2}}}', "[" * 10_000],
)
def test_a_damaged_index_is_written_again(files: JpegFolder, folder: Path, text: str) -> None:
    Pack(folder, files).fill(ROWS[:8])
    (folder / "faces_16.json").write_text(text)
    pack = Pack(folder, files)
    assert packed_rows(pack) == []
    pack.fill(ROWS)
    check_pixels(pack)


def test_an_index_with_rows_of_other_blocks_is_not_used(files: JpegFolder, folder: Path) -> None:
    pack = Pack(folder, files)
    pack.fill(ROWS)
    index = json.loads((folder / "faces_16.json").read_text())
    index["blocks"]["0"]["unusable"] = [-1]
    (folder / "faces_16.json").write_text(json.dumps(index))
    assert packed_rows(Pack(folder, files)) == []


def test_a_file_with_objects_is_not_read(files: JpegFolder, folder: Path) -> None:
    pack = Pack(folder, files)
    pack.fill(ROWS)
    np.save(pack.path, np.array([{}] * 48, dtype=object), allow_pickle=True)
    pack = Pack(folder, files)
    assert packed_rows(pack) == []
    pack.fill(ROWS)
    check_pixels(pack)


def test_unusable_images_are_not_read_from_the_pack(files: JpegFolder, folder: Path) -> None:
    files.path(5).write_bytes(b"damaged")
    files.path(6).unlink()
    faces = Packed(files, folder, always=True)
    faces.prepare(ROWS, reads=48)
    assert faces.decodes(np.array([5]))
    assert not faces.decodes(np.array([4, 7]))
    for row, reason in ((5, "is not a JPEG"), (6, "cannot be read")):
        with pytest.raises(UserError, match=reason):
            faces.read(np.array([4, row]))
    assert Pack(folder, files).find(ROWS).missing == 0


# ------------------------------------------------------------------------------------------------------------- building


def test_a_disk_that_is_too_small_is_reported_before_packing(
    files: JpegFolder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 10**4))
    sentence = r"^48 faces of 16 x 16 pixels need 0\.0 MB, but only 0\.0 MB are free in .*packed\. Set data\.cache to"
    with pytest.raises(UserError, match=sentence):
        Pack(folder, files).fill(ROWS)
    assert not list(folder.glob("faces*"))


def test_a_folder_that_cannot_be_written_is_reported(files: JpegFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Faces cannot be packed into .*faces_16.npy \(Not a directory\)\. Set data\."):
        Pack(tmp_path / "file" / "packed", files).fill(ROWS)


def test_a_full_disk_keeps_the_complete_blocks(
    files: JpegFolder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = Pack(folder, files)
    work = pack._pack_block

    def fail(number: int) -> tuple[int, pack_module.Block]:
        if number == 4:
            raise OSError(28, "No space left on device")
        return work(number)

    monkeypatch.setattr(pack_module, "usable_cores", lambda: 1)
    monkeypatch.setattr(pack, "_pack_block", fail)
    with pytest.raises(UserError, match="No space left on device"):
        pack.fill(ROWS)
    assert packed_rows(Pack(folder, files)) == list(range(32))


def test_a_block_that_is_not_in_the_index_is_not_used(files: JpegFolder, folder: Path) -> None:
    """A killed process may have written pixels that are not listed."""
    pack = Pack(folder, files)
    pack.fill(ROWS[:16])
    pack._hash_sources([3])
    pack._pack_block(3)
    assert packed_rows(Pack(folder, files)) == list(range(16))


SCRIPT = """
import sys
import numpy as np
from pathlib import Path
from celeba_lab.data import pack
from celeba_lab.data.stores import JpegFolder

images, folder, slow = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
pack.BLOCK, pack._SECONDS_BETWEEN_SAVES = 8, 0.0
pack.usable_cores = lambda: 1
files = JpegFolder(images, [f"{{k + 1:06d}}.jpg" for k in range(48)], 16, 10**6)
work = pack.Pack._pack_block

def slowly(self, number):
    import time
    time.sleep(slow)
    return work(self, number)

pack.Pack._pack_block = slowly
print("ready", flush=True)
sys.stdin.readline()
print(pack.Pack(folder, files).fill(np.arange(48)), flush=True)
""".replace("{{", "{").replace("}}", "}")


def start(files: JpegFolder, folder: Path, slow: float) -> subprocess.Popen[str]:
    """Start a process that fills a pack after it has read a line from its input."""
    arguments = [sys.executable, "-c", SCRIPT, str(files.folder), str(folder), str(slow)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_a_killed_builder_is_continued(files: JpegFolder, folder: Path) -> None:
    process = start(files, folder, slow=0.2)
    process.stdin.write("\n")
    process.stdin.flush()
    while not packed_rows_listed(folder) > 1:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    pack = Pack(folder, files)
    done = len(packed_rows(pack))
    assert 0 < done < 48
    assert pack.fill(ROWS) == 48 - done
    check_pixels(pack)


def packed_rows_listed(folder: Path) -> int:
    index = pack_module.Index.read(folder / "faces_16.json")
    return 0 if index is None else len(index.blocks)


@pytest.mark.slow
def test_two_builders_at_once_pack_each_face_once(files: JpegFolder, folder: Path) -> None:
    processes = [start(files, folder, slow=0.1) for _ in range(2)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    counts = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sorted(counts) == [0, 48]
    check_pixels(Pack(folder, files))


def test_a_second_builder_waits_and_readers_do_not(files: JpegFolder, folder: Path) -> None:
    pack = Pack(folder, files)
    pack.fill(ROWS[:8])
    pack.path.touch()  # As if it were being filled.
    counts: list[int] = []
    with FileLock(folder / ".faces_16.npy.lock"):
        assert packed_rows(Pack(folder, files)) == []
        thread = threading.Thread(target=lambda: counts.append(Pack(folder, files).fill(ROWS)))
        thread.start()
        time.sleep(0.3)
        assert not counts
    thread.join(30)
    assert counts == [40]
    check_pixels(pack)


def test_readers_go_on_while_a_pack_is_extended(files: JpegFolder, folder: Path) -> None:
    first = Packed(files, folder, always=True)
    first.prepare(ROWS[:8], reads=8)
    expected = first.read(ROWS[:8])
    Pack(folder, files).fill(ROWS)
    assert torch.equal(first.read(ROWS[:8]), expected)
    assert first.decodes(ROWS)
    first.prepare(ROWS, reads=48)
    assert not first.decodes(ROWS)
