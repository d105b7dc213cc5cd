"""The progress line of training and evaluation, and the line that describes the model."""

import time
from typing import Any

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from celeba_lab.console import Progress
from celeba_lab.engine.callbacks import ModelLine, ProgressLine
from celeba_lab.models.classifier import AttributeClassifier
from celeba_lab.models.gan import GAN


class Slow(L.LightningModule):
    """A model with a single weight. Each batch takes a few milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def running_losses(self) -> dict[str, float]:
        return {"loss": 0.25}

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        time.sleep(0.01)
        return self.weight * batch["image"].float().mean()

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        time.sleep(0.01)

    test_step = validation_step

    def predict_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        time.sleep(0.01)
        return batch["image"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def loader(batches: int) -> DataLoader[Any]:
    return DataLoader([{"image": torch.zeros(3, 4, 4)}] * (4 * batches), batch_size=4)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts that the progress line showed, at a width of 80 columns."""
    seen: list[str] = []
    update = Progress.update

    def spy(self: Progress, done: float, note: str = "") -> None:
        update(self, done, note)
        seen.append(self.text(80))

    monkeypatch.setattr(Progress, "update", spy)
    monkeypatch.setattr("celeba_lab.engine.callbacks.progress._REFRESH", 0.0)
    return seen


class Clock:
    """A clock that advances only when a test changes ``now``."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of all progress lines."""
    clock = Clock()
    monkeypatch.setattr("celeba_lab.console.perf_counter", clock)
    return clock


def trainer(**options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "accelerator": "cpu"}
    return L.Trainer(callbacks=[ProgressLine("validation")], **(quiet | options))


def test_training_shows_epoch_step_loss_rate_and_remaining_time(lines):
    trainer(max_epochs=2).fit(Slow(), loader(5), loader(2))
    assert any("epoch 1/2" in line and "3/5 steps" in line and "loss 0.2500" in line for line in lines)
    assert any("images/s" in line and line.endswith("left") for line in lines)
    assert any(line.startswith("validation") and "1/2 batches" in line for line in lines)
    assert all(len(line) <= 80 for line in lines)
    assert not Progress._open


def test_the_remaining_time_covers_the_whole_run(monkeypatch, clock):
    class Steady(Slow):
        def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
            clock.now += 1
            return super().training_step(batch, batch_idx)

    seen = []
    describe = ProgressLine._describe_training

    def spy(self: ProgressLine, *arguments: Any) -> None:
        describe(self, *arguments)
        seen.append((self._line.seconds, self._line.seconds_left))

    monkeypatch.setattr(ProgressLine, "_describe_training", spy)
    monkeypatch.setattr("celeba_lab.engine.callbacks.progress._REFRESH", 0.0)
    trainer(max_epochs=4, limit_val_batches=0).fit(Steady(), loader(5))
    known = [(seconds, left) for seconds, left in seen if left is not None]
    # The line is also updated at the start of each epoch.
    assert [seconds for seconds, _ in known] == sorted([*range(1, 21), 5, 10, 15])
    assert [seconds + left for seconds, left in known] == pytest.approx([20] * len(known))


def test_a_time_limit_bounds_the_remaining_time(monkeypatch):
    seen = []
    describe = ProgressLine._describe_training

    def spy(self: ProgressLine, *arguments: Any) -> None:
        describe(self, *arguments)
        seen.append(self._line.seconds_left)

    monkeypatch.setattr(ProgressLine, "_describe_training", spy)
    trainer(max_epochs=100_000, max_time={"seconds": 1}, limit_val_batches=0).fit(Slow(), loader(5))
    assert max(left for left in seen if left is not None) <= 1


@pytest.mark.parametrize("what", ["test", "predict", "validate"])
def test_an_evaluation_shows_its_name_and_batch_count(lines, what):
    getattr(trainer(), what)(Slow(), loader(3))
    name = {"test": "validation", "predict": "prediction", "validate": "validation"}[what]
    assert any(line.startswith(name) and "3/3 batches" in line for line in lines)
    assert not Progress._open


def test_the_sanity_check_is_shown(work_shown):
    trainer(max_epochs=1, num_sanity_val_steps=1).fit(Slow(), loader(1), loader(1))
    assert next(iter(work_shown)) == "checking validation"
    assert not Progress._open


def test_an_exception_closes_the_line():
    class Failing(Slow):
        def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trainer(max_epochs=1).fit(Failing(), loader(2))
    assert not Progress._open


def test_long_epochs_print_several_lines_to_a_log(monkeypatch, capsys):
    monkeypatch.setattr("celeba_lab.console.console._force_terminal", False)
    monkeypatch.setattr(Progress, "interval", 0.05)
    trainer(max_epochs=1, limit_val_batches=0).fit(Slow(), loader(30))
    assert "epoch 1/1" in capsys.readouterr().out


def test_model_descriptions_are_one_line():
    classifier = AttributeClassifier(["Smiling"], backbone="mobilenet_v3_small", image_size=32, freeze=0.5)
    assert classifier.describe() == "mobilenet_v3_small, 32 x 32 pixels, 1 attribute, 1.5 million parameters"
    classifier.setup("fit")
    assert classifier.describe().endswith("million trainable)")
    gan = GAN(attributes=["Smiling"], image_size=16, width=8)
    assert gan.describe().startswith("GAN, 16 x 16 pixels, unconditional; generator: ")


def test_the_model_is_printed_as_one_line_without_a_table(capsys):
    options = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    L.Trainer(max_epochs=1, callbacks=[ModelLine()], limit_val_batches=0, **options).fit(Slow(), loader(1))
    out = capsys.readouterr().out
    assert "model: Slow" in out
    assert "FLOPs" not in out
    assert "Params" not in out
