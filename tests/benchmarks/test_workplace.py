"""Commands and folders of a benchmark."""

from collections.abc import Callable
from pathlib import Path

import pytest

from celeba_lab.benchmarks.repeats import NotMeasuredError
from celeba_lab.benchmarks.workplace import Sizes, read_clock
from celeba_lab.data.annotations import Annotations
from celeba_lab.errors import SettingError


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("images", 39, "images=39 must be at least 40"),
        ("growth", [100, 5], "growth=5 must be at least 40"),
        ("repeats", 0, "repeats=0 must be at least 1"),
        ("steps", 3, "steps=3 must be at least 4"),
        ("seconds", 0.0, "seconds=0 must be above 0"),
    ],
)
def test_sizes_that_are_too_small_are_refused(name: str, value: object, rule: str) -> None:
    with pytest.raises(SettingError, match=rule):
        Sizes(**{name: value})


def test_a_training_command_has_the_sizes_and_the_forwarded_overrides(build_place: Callable, recorded: list) -> None:
    place = build_place(["trainer=cpu", "data.batch_size=16"], image_size=32, initial_weights=None, epochs=3)
    training = place.train("smile", 100)
    [command] = recorded
    assert {"experiment=smile", "trainer.max_epochs=3", "model.image_size=32", "model.weights=null"} <= set(command)
    assert {"trainer=cpu", "data.batch_size=16", "data.store=packed"} <= set(command)
    assert (training.images, training.images_per_second, training.epoch_seconds) == (80, 120, 1)
    assert training.config == {"batch_size": 32, "device": "cpu", "precision": "32-true"}


def test_only_the_latest_run_is_kept(build_place: Callable, recorded: list) -> None:
    place = build_place()
    first = place.latest("smile")
    assert place.latest("smile") is first
    second = place.train("smile", 100)
    assert place.latest("smile") is second
    assert not first.folder.exists()
    assert second.folder.exists()


def test_faces_are_packed_once(build_place: Callable, recorded: list) -> None:
    place = build_place()
    for size in (32, 32, 64):
        place.pack(100, size)
    assert [command[-2] for command in recorded] == ["task.image_size=32", "task.image_size=64"]


def test_the_labels_of_all_faces_are_written_without_images(build_place: Callable, tiny_celeba: Path) -> None:
    found, expected = Annotations.load(build_place().labels), Annotations.load(tiny_celeba)
    assert found.fingerprint == expected.fingerprint


def test_a_command_without_an_epoch_was_not_measured(tmp_path: Path) -> None:
    with pytest.raises(NotMeasuredError, match="without an epoch"):
        read_clock(tmp_path / "clock")
