"""All stores return the same pixels, and the memory store decodes each image once."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from celeba_lab.data import stores
from celeba_lab.data.images import load_image, resize_images
from celeba_lab.data.packed import STORES, build_store
from celeba_lab.data.stores import FaceStore, InMemory, JpegFolder
from celeba_lab.errors import UserError

SIZE = 16


@pytest.fixture
def files(tiny_celeba: Path) -> JpegFolder:
    folder = tiny_celeba / "img_align_celeba" / "img_align_celeba"
    return JpegFolder(folder, [f"{k + 1:06d}.jpg" for k in range(48)], SIZE, 10**6)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files decoded so far."""
    names: list[str] = []

    def load(path: Path, max_pixels: int) -> np.ndarray:
        names.append(path.name)
        return load_image(path, max_pixels)

    monkeypatch.setattr(stores, "load_image", load)
    return names


@pytest.mark.parametrize("kind", STORES)
def test_every_store_returns_the_resized_images_in_the_given_order(
    kind: str, files: JpegFolder, tmp_path: Path
) -> None:
    store: FaceStore = build_store(kind, files, tmp_path, None)
    store.prepare(np.arange(2, 12), reads=100)
    for rows in ([11, 2, 7], [3, 40]):  # The second list has a face that was not prepared.
        faces = store.read(np.array(rows))
        assert faces.dtype == torch.uint8
        assert faces.shape == (len(rows), 3, SIZE, SIZE)
        assert faces.is_contiguous(memory_format=torch.channels_last)
        for row, face in zip(rows, faces, strict=True):
            assert torch.equal(face, resize_images([load_image(files.path(row), 10**6)], SIZE)[0])


@pytest.mark.parametrize("kind", STORES)
def test_every_store_can_be_pickled(kind: str, files: JpegFolder, tmp_path: Path) -> None:
    store = build_store(kind, files, tmp_path, None)
    store.prepare(np.arange(4), reads=100)
    sent = pickle.loads(pickle.dumps(store))
    assert torch.equal(sent.read(np.array([3, 9])), store.read(np.array([3, 9])))


def test_the_memory_store_decodes_each_prepared_face_once(files: JpegFolder, decoded: list[str]) -> None:
    store = InMemory(files)
    for _ in range(2):
        store.prepare(np.arange(10), reads=20)
        store.read(np.array([9, 0]))
    assert sorted(decoded) == [f"{k + 1:06d}.jpg" for k in range(10)]


def test_the_memory_store_decodes_only_faces_that_are_not_in_memory(files: JpegFolder) -> None:
    store = InMemory(files)
    assert store.decodes(np.array([1, 2]))
    store.prepare(np.arange(10), reads=20)
    assert not store.decodes(np.array([9, 0]))
    assert store.decodes(np.array([9, 10]))
    assert files.decodes(np.array([0]))


@pytest.mark.parametrize(("processes", "fits"), [(1, True), (2, False)])
def test_faces_that_would_fill_the_memory_are_not_stored(
    files: JpegFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], processes: int, fits: bool
) -> None:
    monkeypatch.setattr(stores, "memory_bytes", lambda: 2 * 10 * 3 * SIZE * SIZE)
    store = InMemory(files)
    store.prepare(np.arange(10), 20, processes)
    assert store.decodes(np.arange(10)) != fits
    sentence = "10 faces of 16 x 16 pixels would fill more than half of the memory, so they are read from disk"
    assert (sentence in " ".join(capsys.readouterr().out.split())) != fits
    assert len(store.read(np.arange(10))) == 10


def test_faces_that_are_read_once_are_not_stored(files: JpegFolder, decoded: list[str]) -> None:
    store = InMemory(files)
    store.prepare(np.arange(10), reads=10)
    assert store.decodes(np.arange(10))
    assert not decoded


def test_each_image_is_resized_before_the_next_one_is_decoded(
    files: JpegFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = files.read(np.arange(3))
    monkeypatch.setattr(stores, "_LARGE", 100)
    shapes: list[list[tuple[int, ...]]] = []

    def resize(arrays: list[np.ndarray], size: int) -> torch.Tensor:
        shapes.append([array.shape for array in arrays])
        return resize_images(arrays, size)

    monkeypatch.setattr(stores, "resize_images", resize)
    assert torch.equal(files.read(np.arange(3)), expected)
    assert shapes == [[(109, 89, 3)]] * 3 + [[(SIZE, SIZE, 3)] * 3]


def test_the_error_for_an_undecodable_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UserError, match=str(tmp_path / "a.jpg")):
        JpegFolder(tmp_path, ["a.jpg"], SIZE, 10**6).read(np.array([0]))


def test_memory_bytes_has_a_plausible_value() -> None:
    assert stores.memory_bytes() > 2**28


def test_a_data_module_keeps_its_training_faces_in_memory(
    make_data: Callable, join: Callable, tiny_celeba: Path, decoded: list[str]
) -> None:
    from_disk = make_data(tiny_celeba)
    data = make_data(tiny_celeba, store="memory")
    rows = data.split_indices("train")[5:20]
    expected = join(from_disk.train_dataloader()), join(from_disk.rows_dataloader(rows))
    decoded.clear()
    found = join(data.train_dataloader()), join(data.rows_dataloader(rows))
    join(data.train_dataloader())
    assert len(decoded) == 32
    for given, kept in zip(expected, found, strict=True):
        assert all(torch.equal(given[key], kept[key]) for key in given)
    join(data.val_dataloader())
    assert len(decoded) == 32 + 8
