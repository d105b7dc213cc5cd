"""The clock of training steps and epochs."""

import json
from collections.abc import Callable
from pathlib import Path
from time import time

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from celeba_lab.engine.callbacks.clock import StepClock
from celeba_lab.errors import SettingError
from celeba_lab.models.classifier.module import AttributeClassifier


class Pause(Callback):
    """Makes each step and each validation last at least so many seconds of a simulated clock."""

    now = 0.0

    def on_train_batch_end(self, *_: object) -> None:
        self.now += 1

    def on_validation_end(self, *_: object) -> None:
        self.now += 100


@pytest.mark.parametrize(
    ("warmup", "step_images", "step_seconds"),
    [(2, 5, 2), (9, 11, 4)],
    ids=["without the first two", "too short"],
)
def test_steps_and_epochs_are_timed(
    warmup: int,
    step_images: int,
    step_seconds: int,
    trainer: Callable,
    faces_loader: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model, pause = AttributeClassifier(["a"], "squeezenet1_1", image_size=32), Pause()
    monkeypatch.setattr("celeba_lab.engine.callbacks.clock.perf_counter", lambda: pause.now)
    clock = StepClock(str(tmp_path / "clock.json"), warmup)
    before = time()
    trainer(pause, clock, max_epochs=2).fit(model, faces_loader(11), faces_loader(4))
    content = json.loads((tmp_path / "clock.json").read_text())
    assert before <= content["first_step"] <= content["end"] <= time()
    assert (content["batch_size"], content["image_size"], content["world_size"]) == (3, 32, 1)
    assert (content["device"], content["precision"]) == ("cpu", "32-true")
    # Four batches with 3, 3, 3 and 2 images, and a validation.
    epoch = {"images": 11, "seconds": 104, "step_images": step_images, "step_seconds": step_seconds}
    assert content["epochs"] == [epoch, epoch]


def test_a_negative_number_of_steps_is_refused() -> None:
    with pytest.raises(SettingError, match="warmup=-1 must be at least 0"):
        StepClock("clock.json", warmup=-1)
