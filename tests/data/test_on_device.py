"""Faces in the memory of a device give the same batches."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from celeba_lab.data import on_device
from celeba_lab.data.loaders import Loaders, Processes
from celeba_lab.data.on_device import OnDevice, place
from celeba_lab.data.position import Position

CPU = torch.device("cpu")


def test_the_batches_are_equal(
    make_data: Callable, tiny_celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_device, "_CHUNK", 5)
    dataset = make_data(tiny_celeba, store="packed", cache=str(tmp_path)).dataset("train")
    loaders = Loaders(batch_size=7, eval_batch_size=None, num_workers=2, seed=3)
    for expected, found in zip(
        loaders.training_loader(dataset, Processes(), Position(epoch=2)),
        loaders.training_loader(OnDevice(dataset, CPU), Processes(), Position(epoch=2)),
        strict=True,
    ):
        assert list(found) == list(expected)
        for name, values in expected.items():
            assert torch.equal(found[name], values)
            assert found[name].dtype == values.dtype
            assert found[name].stride() == values.stride()


def test_batches_on_a_device_are_not_pinned_and_need_no_workers(make_data: Callable, tiny_celeba: Path) -> None:
    loaders = Loaders(batch_size=7, eval_batch_size=None, num_workers=2, seed=3)
    loader = loaders.training_loader(
        OnDevice(make_data(tiny_celeba).dataset("train"), CPU), Processes(device="cuda"), Position()
    )
    assert loader.num_workers == 0
    assert not loader.pin_memory


@pytest.mark.parametrize(
    ("device", "store", "reads", "free", "is_placed"),
    [
        ("cuda", "packed", 64, 2 * 32 * 3 * 32 * 32, True),
        ("cuda", "packed", 64, 2 * 32 * 3 * 32 * 32 - 1, False),
        ("cuda", "packed", 32, 10**9, False),
        ("cuda", "jpeg", 64, 10**9, False),
        ("cpu", "packed", 64, 10**9, False),
    ],
)
def test_packed_faces_that_are_read_again_are_placed_on_a_gpu_if_they_fit(
    make_data: Callable,
    tiny_celeba: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    store: str,
    reads: int,
    free: int,
    is_placed: bool,
) -> None:
    monkeypatch.setattr(on_device, "free_bytes", lambda _: free)
    monkeypatch.setattr(on_device, "OnDevice", lambda dataset, device: (dataset, device))
    dataset = make_data(tiny_celeba, store=store, cache=str(tmp_path)).dataset("train")
    dataset.store.prepare(dataset.rows, reads)
    found = place(dataset, torch.device(device), reads)
    assert found == ((dataset, torch.device(device)) if is_placed else dataset)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_are_on_the_gpu(make_data: Callable, tiny_celeba: Path, tmp_path: Path) -> None:
    data = make_data(tiny_celeba, store="packed", cache=str(tmp_path))
    expected = next(iter(data.shuffled_dataloader(Processes())))
    found = next(iter(data.shuffled_dataloader(Processes(device="cuda"))))
    assert all(values.device.type == "cuda" for values in found.values())
    assert all(torch.equal(found[name].cpu(), values) for name, values in expected.items())
