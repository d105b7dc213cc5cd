"""Packed faces equal decoded ones, and are packed only if that pays."""

import shutil
from collections.abc import Callable
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch

from celeba_lab.data import packed
from celeba_lab.data.loaders import Processes
from celeba_lab.data.packed import Packed, pack_folder
from celeba_lab.data.position import Position
from celeba_lab.data.stores import JpegFolder
from celeba_lab.errors import SettingError, UserError

ROWS = np.arange(48)


@pytest.fixture
def files(tiny_celeba: Path) -> JpegFolder:
    folder = tiny_celeba / "img_align_celeba" / "img_align_celeba"
    return JpegFolder(folder, [f"{k + 1:06d}.jpg" for k in range(48)], 16, 10**6)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("store", ["packed", "memory"])
def test_the_batches_of_all_stores_are_equal(
    make_data: Callable, join: Callable, tiny_celeba: Path, tmp_path: Path, store: str, workers: int
) -> None:
    decoded = make_data(tiny_celeba, store="jpeg")
    data = make_data(tiny_celeba, store=store, cache=str(tmp_path), num_workers=workers)
    rows = decoded.split_indices("train")[5:20]
    for load in (
        lambda each: each.shuffled_dataloader(Processes(), Position(epoch=1, batches=1)),
        lambda each: each.val_dataloader(),
        lambda each: each.rows_dataloader(rows),
    ):
        expected, found = join(load(decoded)), join(load(data))
        assert list(found) == list(expected)
        for name, values in expected.items():
            assert torch.equal(found[name], values)
            assert found[name].dtype == values.dtype
    assert data.faces.decodes(rows) == (store == "jpeg")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_packed_faces(
    make_data: Callable, join: Callable, tiny_celeba: Path, tmp_path: Path, method: str
) -> None:
    data = make_data(tiny_celeba, store="packed", cache=str(tmp_path), num_workers=2)
    expected = join(make_data(tiny_celeba, store="jpeg").val_dataloader())
    loader = data.val_dataloader()
    loader.multiprocessing_context = method
    # The workers do not find the images, so they can only read the pack.
    data.faces.source.folder = Path("nowhere")
    found = join(loader)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux")
def test_pages_that_have_been_read_do_not_stay_in_the_memory_of_the_process(
    files: JpegFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mapped() -> int:
        entries = Path("/proc/self/smaps").read_text().split(str(tmp_path))[1:]
        return sum(int(entry.partition("Rss:")[2].split()[0]) for entry in entries)

    faces = Packed(files, tmp_path, always=True)
    faces.prepare(ROWS, reads=48)
    expected = faces.read(ROWS)
    assert mapped() > 0
    monkeypatch.setattr(packed, "_MOST_MAPPED", 0)
    assert torch.equal(faces.read(ROWS), expected)
    faces._release(faces._open())
    assert mapped() == 0
    assert torch.equal(faces.read(ROWS), expected)


def test_a_worker_does_not_read_a_file_that_has_been_replaced(files: JpegFolder, tmp_path: Path) -> None:
    faces = Packed(files, tmp_path, always=True)
    faces.prepare(ROWS, reads=48)
    copied = tmp_path / "other.npy"
    copied.write_bytes(bytes(faces.pack.path.stat().st_size))
    copied.replace(faces.pack.path)
    assert torch.equal(faces.read(ROWS[:4]), files.read(ROWS[:4]))
    faces.pack.path.unlink()
    assert torch.equal(faces.read(ROWS[:4]), files.read(ROWS[:4]))


def test_a_file_that_is_replaced_while_it_is_searched_is_not_read(
    files: JpegFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = Packed(files, tmp_path, always=False)
    faces.pack.fill(ROWS)
    find, replaced = faces.pack.find, tmp_path / "other.npy"
    replaced.write_bytes(faces.pack.path.read_bytes()[:128] + bytes(faces.pack.path.stat().st_size - 128))

    def find_and_replace(rows: np.ndarray) -> object:
        found = find(rows)
        assert found.held.all()
        replaced.replace(faces.pack.path)
        return found

    monkeypatch.setattr(faces.pack, "find", find_and_replace)
    faces.prepare(ROWS, reads=48)
    assert torch.equal(faces.read(ROWS[:4]), files.read(ROWS[:4]))


def test_packed_faces_beside_the_data_are_found_by_every_run(
    make_data: Callable, write_celeba: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_celeba(tmp_path / "celeba")
    make_data(root, store="packed").train_dataloader()
    assert "images: packing 48 faces of 32 x 32 pixels (0.1 MB) into" in capsys.readouterr().out
    assert sorted(path.name for path in (root / "packed").glob("*")) == [
        ".faces_32.npy.lock", "faces_32.json", "faces_32.npy",
    ]  # fmt: skip
    data = make_data(root, store="auto", limit=4, seed=1)
    data.val_dataloader()
    assert f"images: read from {root}/packed/faces_32.npy, where they have been packed" in capsys.readouterr().out
    assert not data.faces.decodes(data.split_indices("val"))


@pytest.mark.parametrize(
    ("options", "is_packed"),
    [
        ({"max_epochs": 2}, True),
        ({"max_epochs": 1}, False),
        ({"max_epochs": -1}, True),
        ({"max_epochs": 100, "limit_train_batches": 1, "limit_val_batches": 0}, True),
        ({"max_epochs": 2, "limit_train_batches": 1, "limit_val_batches": 0}, False),
        ({"max_epochs": 100, "max_steps": 3, "limit_val_batches": 0}, False),
        ({"max_epochs": 100, "limit_train_batches": 0, "limit_val_batches": 0}, False),
    ],
)
def test_auto_packs_faces_if_the_run_decodes_fewer_images_then(
    make_data: Callable,
    tiny_celeba: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, int],
    is_packed: bool,
) -> None:
    monkeypatch.setattr(packed, "_FEWEST_SAVED", 20)
    data = make_data(tiny_celeba, store="auto", cache=str(tmp_path / "cache"))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    data.trainer = lightning.Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **options)
    data.train_dataloader()
    assert data.faces.decodes(data.split_indices("train")) != is_packed
    assert (tmp_path / "cache").exists() == is_packed


def test_faces_for_training_are_packed_before_the_first_validation(
    make_data: Callable, tiny_celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(packed, "_FEWEST_SAVED", 20)
    data = make_data(tiny_celeba, store="auto", cache=str(tmp_path / "cache"))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    data.trainer = lightning.Trainer(accelerator="cpu", enable_model_summary=False, max_epochs=3, **quiet)
    data.val_dataloader()
    data.train_dataloader()
    assert not data.faces.decodes(data.split_indices("train"))
    assert capsys.readouterr().out.count("images: packing") == 1


def test_auto_decodes_images_if_they_cannot_be_packed(
    files: JpegFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**12, 10**12, 10**4))
    faces = Packed(files, tmp_path, always=False)
    faces.prepare(ROWS, reads=10**6)
    assert torch.equal(faces.read(ROWS[:4]), files.read(ROWS[:4]))
    shown = " ".join(capsys.readouterr().out.split())
    assert "data.store=auto decodes the images in every epoch: 48 faces of 16 x 16 pixels need 0.0 MB" in shown
    with pytest.raises(UserError, match="48 faces of 16 x 16 pixels need"):
        Packed(files, tmp_path, always=True).prepare(ROWS, reads=48)


def test_auto_leaves_a_small_run_as_it_is(
    files: JpegFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = Packed(files, tmp_path / "packed", always=False)
    faces.prepare(ROWS, reads=3 * 48)
    assert not (tmp_path / "packed").exists()
    shown = " ".join(capsys.readouterr().out.split())
    assert shown == "images: decoded whenever they are read, because packing so few would not make this run faster"


def test_the_folder_of_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, images = tmp_path / "celeba", tmp_path / "celeba" / "images"
    images.mkdir(parents=True)
    assert pack_folder(root, images, None) == root / "packed"
    one, other = (pack_folder(root, folder, tmp_path / "cache") for folder in (images, root))
    assert one.parent == tmp_path / "cache"
    assert one.name.startswith("celeba-")
    assert one != other
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    root.chmod(0o555)
    assert pack_folder(root, images, None).parent == tmp_path / "home" / "celeba_lab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert pack_folder(root, images, None).parent == tmp_path / ".cache" / "celeba_lab"
    root.chmod(0o755)


def test_an_unknown_store_is_refused(make_data: Callable, tiny_celeba: Path) -> None:
    with pytest.raises(SettingError, match=r"^store=pakced must be one of .* Did you mean 'packed'\?"):
        make_data(tiny_celeba, store="pakced")


@pytest.mark.parametrize("store", ["jpeg", "packed"])
def test_a_bad_image_stops_the_run_when_it_is_read(
    make_data: Callable, write_celeba: Callable, damage: Callable, tmp_path: Path, store: str
) -> None:
    root = write_celeba(tmp_path / "celeba")
    damage(root, 3)
    data = make_data(root, store=store)
    with pytest.raises(UserError, match=r"000003\.jpg is damaged or truncated"):
        list(data.train_dataloader())
    assert len(list(data.val_dataloader())) == 1  # Other splits do not contain the image.


def test_a_skipped_image_is_not_in_the_batches(
    make_data: Callable, write_celeba: Callable, damage: Callable, tmp_path: Path
) -> None:
    root = write_celeba(tmp_path / "celeba")
    damage(root, 3)
    data = make_data(root, store="packed", on_bad_image="skip", max_bad_fraction=0.1, batch_size=31)
    [batch] = data.train_dataloader()
    assert 2 not in batch["index"]
    assert data.bad_images["image_id"].tolist() == ["000003.jpg"]
    assert (root / "packed" / "faces_32.npy").is_file()
