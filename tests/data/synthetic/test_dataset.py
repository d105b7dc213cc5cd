"""The same settings always give the same synthetic faces, and no folder is left incomplete."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from celeba_lab.data.annotations import Annotations
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.synthetic import dataset
from celeba_lab.data.synthetic.dataset import synthesize
from celeba_lab.data.synthetic.settings import VERSION, Settings, find_settings
from celeba_lab.errors import SettingError, UserError

SMALL = Settings(n=120, seed=3)  # These faces are drawn in three chunks.


def make(root: Path, settings: Settings = SMALL, **options) -> Path:
    """Draw faces into ``root``."""
    for _ in synthesize(root, settings, **options):
        pass
    return root


def digest(root: Path) -> dict[str, str]:
    """Return the hash of every file, keyed by file name."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("synthetic") / "faces", workers=2)


@pytest.mark.slow
def test_the_number_of_workers_does_not_change_the_bytes(faces: Path, tmp_path: Path) -> None:
    one = digest(make(tmp_path / "one", workers=1))
    assert len(one) == 120 + 3
    assert digest(faces) == one
    other = digest(make(tmp_path / "other", Settings(n=120, seed=4), workers=1))
    assert other["list_attr_celeba.csv"] != one["list_attr_celeba.csv"]


def test_the_folder_can_be_read_like_celeba(faces: Path) -> None:
    annotations = Annotations.load(faces)
    assert np.array_equal(annotations.labels, SMALL.labels())
    assert [len(annotations.rows(split)) for split in ("train", "val", "test")] == [96, 12, 12]
    datamodule = CelebADataModule(str(faces), ["Smiling", "Male"], image_size=64, batch_size=8)
    datamodule.setup()
    batch = next(iter(datamodule.val_dataloader()))
    assert batch["image"].shape == (12, 3, 64, 64)
    assert datamodule.raw_images([0])[0].shape == (218, 178, 3)


def test_official_proportions_give_the_split_sizes_of_celeba() -> None:
    partition = Settings(n=202_599, proportions="official").partition()
    assert np.bincount(partition).tolist() == [162_770, 19_867, 19_962]
    assert np.bincount(Settings(n=10).partition()).tolist() == [8, 1, 1]
    assert np.bincount(Settings(n=6000).partition()).tolist() == [4800, 600, 600]


def test_existing_faces_are_not_drawn_again(faces: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in faces.rglob("*")}
    assert list(synthesize(faces, SMALL)) == [120]
    assert {path: path.stat().st_mtime_ns for path in faces.rglob("*")} == before


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o002, 0o775)])
def test_the_permissions_of_the_folder_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        root = make(tmp_path / "faces", Settings(n=10, seed=3), workers=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(root.stat().st_mode) == mode
    assert stat.S_IMODE((root / "img_align_celeba").stat().st_mode) == mode


def test_a_folder_with_other_settings_is_replaced_only_on_request(faces: Path, tmp_path: Path) -> None:
    root = tmp_path / "faces"
    shutil.copytree(faces, root)
    other = Settings(n=10, seed=3)
    with pytest.raises(UserError, match=r"overwrite=false keeps the faces in .* \(120 faces, seed 3.*"):
        make(root, other)
    assert digest(root) == digest(faces)
    make(root, other, overwrite=True)
    assert find_settings(root) == other
    assert len(digest(root)) == 10 + 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [".faces.lock", "faces"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path, overwrite: bool) -> None:
    root = tmp_path / "thesis"
    root.mkdir()
    (root / "chapter1.tex").write_text("important")
    with pytest.raises(UserError, match="is not a folder of synthetic faces, so it was not changed"):
        make(root, overwrite=overwrite)
    assert (root / "chapter1.tex").read_text() == "important"


def test_an_interrupted_run_leaves_no_files(tmp_path: Path) -> None:
    drawing = synthesize(tmp_path / "faces", SMALL, workers=1)
    next(drawing)
    drawing.close()
    assert [path.name for path in tmp_path.iterdir()] == [".faces.lock"]


def script(root: Path, n: int) -> list[str]:
    """Return a command that draws faces into ``root``."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from celeba_lab.data.synthetic.dataset import synthesize\n"
        "from celeba_lab.data.synthetic.settings import Settings\n"
        "if __name__ == '__main__':\n"
        "    for done in synthesize(Path(sys.argv[1]), Settings(n=int(sys.argv[2]), seed=3), workers=1):\n"
        "        print(done, flush=True)\n"
    )
    path = root.parent / "draw.py"
    path.write_text(code)
    return [sys.executable, str(path), str(root), str(n)]


def test_a_killed_run_leaves_no_incomplete_folder_and_does_not_block_the_next_run(faces: Path, tmp_path: Path) -> None:
    root = tmp_path / "faces"
    run = subprocess.Popen(script(root, 5000), stdout=subprocess.PIPE)
    assert run.stdout is not None
    run.stdout.readline()  # Some faces have been drawn.
    run.kill()  # Only this process is killed, so its workers have to notice that it is gone.
    run.wait()
    run.stdout.close()
    assert not root.exists()
    assert list(tmp_path.glob(".faces.*.partial"))
    assert digest(make(root, workers=1)) == digest(faces)
    assert not list(tmp_path.glob(".faces.*.partial"))
    time.sleep(1)
    assert not list(tmp_path.glob(".faces.*.partial"))  # All workers of the killed run have stopped.


@pytest.mark.slow
def test_faces_are_drawn_again_on_request(faces: Path, tmp_path: Path) -> None:
    root = tmp_path / "faces"
    shutil.copytree(faces, root)
    (root / "img_align_celeba" / "img_align_celeba" / "000007.jpg").unlink()
    assert digest(make(root, overwrite=True)) == digest(faces)


@pytest.mark.slow
def test_a_symbolic_link_to_a_folder_is_followed(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "disk" / "empty").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "disk" / "empty")
    make(link)
    assert link.is_symlink()
    assert digest(tmp_path / "disk" / "empty") == digest(faces)


def test_at_least_one_worker_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^workers=0 must be at least 1\.$"):
        make(tmp_path / "faces", workers=0)


def test_two_simultaneous_runs_create_a_single_folder(faces: Path, tmp_path: Path) -> None:
    root = tmp_path / "faces"
    command = script(root, 120)
    runs = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], errors
    assert digest(root) == digest(faces)


def test_a_full_disk_gives_a_one_sentence_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(dataset.shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match=r"The disk that contains .* is full: 120 synthetic faces take about 1 MB"):
        make(tmp_path / "faces")
    assert not (tmp_path / "faces").exists()


def test_a_read_only_folder_gives_a_one_sentence_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written to .*file/faces .*Choose a data\.root"):
        make(tmp_path / "file" / "faces")


@pytest.mark.parametrize(
    "record",
    ["", "{}", "[]", '{"n": 120, "seeed": 3}', '{"n": 5, "seed": 1, "proportions": "default", "version": 1}'],
)
def test_a_damaged_settings_file_gives_a_one_sentence_error(faces: Path, tmp_path: Path, record: str) -> None:
    (tmp_path / "synthetic.json").write_text(record)
    with pytest.raises(UserError, match=r"is damaged\. Delete the folder"):
        find_settings(tmp_path)
    assert json.loads((faces / "synthetic.json").read_text())["version"] == VERSION


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n": 9}, r"^n=9 must be at least 10\.$"),
        ({"seed": -1}, r"^seed=-1 must be at least 0\.$"),
        (
            {"proportions": "oficial"},
            r"^proportions=oficial must be one of default, official\. Did you",
        ),
    ],
)
def test_settings_out_of_range_are_rejected(options: dict, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        Settings(**options)


@pytest.mark.slow
def test_drawing_is_fast_enough(tmp_path: Path) -> None:
    start = time.perf_counter()
    make(tmp_path / "faces", Settings(n=1500))
    assert 1500 / (time.perf_counter() - start) > 40  # About 140 on two otherwise idle cores.
