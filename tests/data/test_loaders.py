"""Image order, distributed processes and workers of the data loaders."""

from collections.abc import Callable
from pathlib import Path

import lightning
import pytest
import torch

from celeba_lab.data.datamodule import TrainingFaces
from celeba_lab.data.loaders import EpochSampler, Loaders, Processes
from celeba_lab.data.position import Position
from celeba_lab.errors import UserError


def order_of(loader) -> list[int]:
    return torch.cat([batch["index"] for batch in loader]).tolist()


def build_trainer(**options) -> lightning.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return lightning.Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **options)


# ---------------------------------------------------------------------------------------------------------- image order


def test_the_image_order_depends_only_on_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(100, seed)
        sampler.set_epoch(epoch)
        torch.rand(seed + epoch)  # The state of the global generator must not matter.
        return list(sampler)

    assert sorted(order(0, 0)) == list(range(100))
    assert order(3, 5) == order(3, 5)
    orders = [tuple(order(seed, epoch)) for seed in range(4) for epoch in range(4)]
    assert len(set(orders)) == 16  # (0, 1) and (1, 0) give different orders.
    assert len(EpochSampler(7, 0)) == 7


@pytest.mark.parametrize(("batch_size", "sizes"), [(10, [10, 10, 10]), (31, [31]), (16, [16, 16]), (50, [32])])
def test_an_incomplete_training_batch_is_dropped_unless_it_is_the_only_one(
    make_data: Callable, tiny_celeba: Path, batch_size: int, sizes: list[int]
) -> None:
    data = make_data(tiny_celeba, batch_size=batch_size)
    assert [len(batch["index"]) for batch in data.train_dataloader()] == sizes
    assert sum(len(batch["index"]) for batch in data.val_dataloader()) == 8


def test_the_evaluation_batch_size_can_be_set_separately(make_data: Callable, tiny_celeba: Path) -> None:
    assert [len(b["index"]) for b in make_data(tiny_celeba, batch_size=2).val_dataloader()] == [8]
    assert [len(b["index"]) for b in make_data(tiny_celeba, eval_batch_size=5).val_dataloader()] == [5, 3]


@pytest.mark.parametrize(
    ("batch_size", "device", "expected"),
    [
        (None, "cpu", 128),
        (64, "cpu", 256),
        (None, "cuda", 512),
        (8, "cuda", 128),
        (256, "cuda", 512),
        (999, "cuda", 999),
    ],
)
def test_evaluation_batches_are_larger(batch_size: int | None, device: str, expected: int) -> None:
    assert Loaders(batch_size, None, 0, 0).evaluation_batch_size(device) == expected


class Recorder(lightning.LightningModule):
    """Module that records the images of each epoch without training."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list[int]] = {}

    def training_step(self, batch, _):
        self.seen.setdefault(self.current_epoch, []).extend(batch["index"].tolist())
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class ValidatedRecorder(Recorder):
    """Recorder with a validation step, for data modules with validation batches."""

    def validation_step(self, batch, _):
        return None


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_continues_the_image_order(
    make_data: Callable, tiny_celeba: Path, tmp_path: Path, workers: int
) -> None:
    checkpoint = tmp_path / "state.ckpt"

    def fit(epochs: int, workers: int, ckpt_path: Path | None = None) -> dict[int, list[int]]:
        recorder, trainer = ValidatedRecorder(), build_trainer(max_epochs=epochs, limit_val_batches=0)
        data = make_data(tiny_celeba, None, num_workers=workers, seed=5)
        trainer.fit(recorder, data, ckpt_path=ckpt_path, weights_only=True if ckpt_path else None)
        trainer.save_checkpoint(checkpoint)
        return recorder.seen

    whole = fit(3, 0)
    assert len({tuple(order) for order in whole.values()}) == 3
    fit(1, workers)
    assert fit(3, workers, checkpoint) == {1: whole[1], 2: whole[2]}


def test_the_training_split_can_be_loaded_without_other_splits(make_data: Callable, tiny_celeba: Path) -> None:
    data = make_data(tiny_celeba, stage=None, partitions=["train"])
    data.setup_split("train")
    recorder = Recorder()
    build_trainer(max_epochs=2).fit(recorder, datamodule=TrainingFaces(data))
    expected = make_data(tiny_celeba)
    assert recorder.seen == {
        epoch: order_of(expected.shuffled_dataloader(Processes(), Position(epoch))) for epoch in (0, 1)
    }


# ------------------------------------------------------------------------------------------------------------ processes


def test_world_size_and_rank_come_from_the_trainer() -> None:
    assert Processes.of(build_trainer()) == Processes(world_size=1, rank=0, local=1, device="cpu")
    assert Processes.of(build_trainer(devices=2, strategy="ddp")) == Processes(2, 0, 2, "cpu")


@pytest.mark.parametrize("world_size", [2, 3])
def test_distributed_processes_evaluate_each_image_once(
    make_data: Callable, tiny_celeba: Path, world_size: int
) -> None:
    data = make_data(tiny_celeba)
    parts = [order_of(data.evaluation_dataloader("val", Processes(world_size, rank))) for rank in range(world_size)]
    assert sorted(row for part in parts for row in part) == list(range(32, 40))
    assert parts[1] == list(range(33, 40, world_size))


@pytest.mark.parametrize(("world_size", "batch_size"), [(2, 4), (2, 5), (3, 3), (2, 16), (4, 9)])
def test_processes_together_use_the_batches_of_one_process(
    make_data: Callable, tiny_celeba: Path, world_size: int, batch_size: int
) -> None:
    """The 32 images are not a multiple of most batch sizes, and all processes have the same number of batches."""
    alone = make_data(tiny_celeba, batch_size=world_size * batch_size)
    data = make_data(tiny_celeba, batch_size=batch_size)
    for epoch in (0, 1):
        expected = [sorted(b["index"].tolist()) for b in alone.shuffled_dataloader(Processes(), Position(epoch))]
        parts = [list(data.shuffled_dataloader(Processes(world_size, k), Position(epoch))) for k in range(world_size)]
        shares = [[part["index"].tolist() for part in step] for step in zip(*parts, strict=True)]
        assert [sorted(row for share in step for row in share) for step in shares] == expected
        assert all(len(share) == len(step[0]) for step in shares for share in step)


def test_an_incomplete_batch_of_several_processes_is_the_same_in_each_of_them(
    make_data: Callable, tiny_celeba: Path
) -> None:
    data = make_data(tiny_celeba, batch_size=20, limit=31)
    parts = [order_of(data.shuffled_dataloader(Processes(3, rank), Position())) for rank in range(3)]
    assert [len(part) for part in parts] == [10, 10, 10]
    assert len({row for part in parts for row in part}) == 30


def test_a_process_among_several_continues_within_an_epoch(make_data: Callable, tiny_celeba: Path) -> None:
    data = make_data(tiny_celeba, batch_size=4)
    whole = order_of(data.shuffled_dataloader(Processes(2, 1), Position(epoch=3)))
    assert order_of(data.shuffled_dataloader(Processes(2, 1), Position(epoch=3, batches=2))) == whole[8:]


def test_more_processes_than_images_are_rejected(make_data: Callable, tiny_celeba: Path) -> None:
    data = make_data(tiny_celeba, limit=2)
    with pytest.raises(
        UserError, match=r"2 images cannot be split across 3 processes\. Use fewer processes or more images"
    ):
        data.evaluation_dataloader("val", Processes(3, 0))
    with pytest.raises(UserError, match="2 images cannot be split across 3 processes"):
        data.shuffled_dataloader(Processes(3, 0))


# -------------------------------------------------------------------------------------------------------------- workers


def test_the_number_of_workers_does_not_change_the_batches(
    make_data: Callable, join: Callable, tiny_celeba: Path
) -> None:
    results = []
    for workers in (0, 2):
        data = make_data(tiny_celeba, num_workers=workers)
        torch.manual_seed(1)
        results.append(([join(data.train_dataloader()), join(data.val_dataloader())], torch.rand(3)))
    (alone, drawn_alone), (helped, drawn_helped) = results
    for one, other in zip(alone, helped, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    torch.manual_seed(1)
    assert torch.equal(drawn_alone, torch.rand(3))  # Loading must not use the global generator.
    assert torch.equal(drawn_alone, drawn_helped)


@pytest.mark.parametrize(
    ("processes", "store", "expected"),
    [
        (Processes(device="cpu"), "jpeg", 0),
        (Processes(device="cuda"), "jpeg", 3),
        (Processes(2, 0, local=2, device="cuda"), "jpeg", 1),
        (Processes(device="cuda"), "memory", 0),
    ],
    ids=["cpu", "gpu", "two gpus", "memory"],
)
def test_the_default_number_of_workers_depends_on_device_and_cores(
    make_data: Callable,
    tiny_celeba: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: Processes,
    store: str,
    expected: int,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr("celeba_lab.data.on_device.free_bytes", lambda _: 0)
    data = make_data(tiny_celeba, num_workers=None, store=store)
    loader = data.shuffled_dataloader(processes, Position(epoch=4))
    assert loader.num_workers == expected
    assert loader.persistent_workers == (expected > 0)
    assert loader.pin_memory == (processes.device == "cuda")
    assert loader.sampler.epoch == 4


def test_without_a_trainer_images_are_loaded_in_the_main_process(make_data: Callable, tiny_celeba: Path) -> None:
    data = make_data(tiny_celeba, num_workers=None)
    assert data.val_dataloader().num_workers == data.train_dataloader().num_workers == 0
