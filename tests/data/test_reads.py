"""The expected number of image reads follows from the settings of the Trainer and the position of the run."""

import math
from typing import Any

import lightning
import pytest

from celeba_lab.data.position import Position
from celeba_lab.data.reads import training_reads, validation_reads

IMAGES, BATCH = 100, 8


def trainer(**options: Any) -> lightning.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    return lightning.Trainer(accelerator="cpu", enable_model_summary=False, **quiet, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_epochs": 3}, 300),
        ({"max_epochs": 3, "limit_train_batches": 5}, 3 * 5 * 8),
        ({"max_epochs": 3, "limit_train_batches": 50}, 300),
        ({"max_epochs": 3, "limit_train_batches": 0.25}, 75),
        ({"max_epochs": 3, "limit_train_batches": 0}, 0),
        ({"max_epochs": -1, "limit_train_batches": 0}, 0),
        ({"max_epochs": -1}, math.inf),
        ({"max_epochs": -1, "max_steps": 7}, 7 * 8),
        ({"max_epochs": 3, "max_steps": 7, "accumulate_grad_batches": 2}, 7 * 2 * 8),
        ({"max_epochs": 1, "max_steps": 1000}, 100),
        ({"max_epochs": 3, "max_steps": 7, "devices": 2, "strategy": "ddp"}, 7 * 2 * 8),
        ({"max_epochs": 3, "limit_train_batches": 5, "devices": 2, "strategy": "ddp"}, 3 * 5 * 2 * 8),
        ({"fast_dev_run": 2}, 2 * 8),
    ],
)
def test_training_reads_the_batches_of_all_epochs_and_processes(options: dict[str, Any], expected: float) -> None:
    assert training_reads(trainer(**options), Position(), IMAGES, BATCH) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_epochs": 3}, 300),
        ({"max_epochs": 3, "limit_val_batches": 5}, 3 * 5 * 8),
        ({"max_epochs": 3, "limit_val_batches": 0.25}, 75),
        ({"max_epochs": -1, "limit_val_batches": 0}, 0),
        ({"max_epochs": 3, "limit_val_batches": 5, "devices": 2, "strategy": "ddp"}, 3 * 5 * 2 * 8),
    ],
)
def test_validation_reads_the_batches_of_all_epochs_and_processes(options: dict[str, Any], expected: float) -> None:
    assert validation_reads(trainer(**options), Position(), IMAGES, BATCH) == expected


@pytest.mark.parametrize(("epoch", "expected"), [(2, 300), (5, 0), (9, 0)])
def test_a_resumed_run_reads_only_the_epochs_that_remain(epoch: int, expected: float) -> None:
    for reads in (training_reads, validation_reads):
        assert reads(trainer(max_epochs=5), Position(epoch), IMAGES, BATCH) == expected


def test_without_a_trainer_training_images_are_read_twice_and_others_never() -> None:
    assert training_reads(None, Position(), IMAGES, BATCH) == 200
    assert validation_reads(None, Position(), IMAGES, BATCH) == 0
