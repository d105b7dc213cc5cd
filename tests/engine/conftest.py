"""A network small enough for manual computations, and a Trainer that prints nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

State = dict[str, torch.Tensor]


class Toy(L.LightningModule):
    """A network that records its weights. Its batch normalisation counts steps in an integer buffer.

    Attributes:
        after_step: State after every optimizer step.
        in_validation: State at the start of each validation.
        logged: Metrics logged in each epoch.
    """

    def __init__(self, stop_at: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        self.stop_at = stop_at
        self.after_step: list[State] = []
        self.in_validation: list[State] = []
        self.logged: dict[int, dict[str, float]] = {}

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss = self.network(batch).square().mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_batch_end(self, *_) -> None:
        self.after_step.append(_state_of(self))

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        if batch_idx == 0:
            self.in_validation.append(_state_of(self))
        if (self.current_epoch, batch_idx) == self.stop_at:
            raise InterruptedError("stopped")
        self.log("val/loss", self.network(batch).square().mean())

    def on_train_epoch_end(self) -> None:
        value = torch.tensor(self.current_epoch + 0.5)
        self.log("train/accuracy", value)
        self.logged[self.current_epoch + 1] = {"train/accuracy": value.item()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.3)


@pytest.fixture(scope="session")
def toy() -> type[Toy]:
    """The class of a network with batch normalisation that records its weights after every step."""
    return Toy


def _state_of(module: nn.Module) -> State:
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


@pytest.fixture(scope="session")
def state_of() -> Callable[[nn.Module], State]:
    """``state_of(module)``: a copy of the weights, statistics and counts of a module."""
    return _state_of


@pytest.fixture(scope="session")
def numbers() -> Callable[..., DataLoader]:
    """``numbers(batches=3)``: a loader of random inputs for the small network."""

    def build(batches: int = 3) -> DataLoader:
        generator = torch.Generator().manual_seed(1)
        return DataLoader(torch.randn(5 * batches, 4, generator=generator), batch_size=5)

    return build


def _trainer(*callbacks: Callback, **options: Any) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    saving = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    options = {"accelerator": "cpu", "max_epochs": 1, "enable_checkpointing": saving, **quiet, **options}
    return L.Trainer(callbacks=list(callbacks), **options)


@pytest.fixture(scope="session")
def trainer() -> Callable[..., L.Trainer]:
    """``trainer(*callbacks, **options)``: a Trainer of one epoch that prints nothing."""
    return _trainer


def _save_in(folder: Path, name: str = "last", kind: type[ModelCheckpoint] = ModelCheckpoint, **options: Any):
    return kind(folder, filename=name, enable_version_counter=False, **options)


@pytest.fixture(scope="session")
def save_in() -> Callable[..., ModelCheckpoint]:
    """``save_in(folder, name="last", kind=ModelCheckpoint)``: saves a checkpoint to the same file after each epoch."""
    return _save_in


@pytest.fixture(scope="session")
def assert_same() -> Callable[[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]], None]:
    """``assert_same(found, expected)``: checks that two states have the same names and values."""

    def check(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
        assert set(found) == set(expected)
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, msg=key)

    return check


@pytest.fixture(scope="session")
def fit_until_stopped(numbers) -> Callable[[Path, Callback, tuple[int, int]], Toy]:
    """``fit_until_stopped(folder, callback, (epoch, batch))`` trains, with checkpoints, until the given batch fails."""

    def fit(folder: Path, callback: Callback, stop_at: tuple[int, int]) -> Toy:
        torch.manual_seed(0)
        model = Toy(stop_at)
        saving = _save_in(folder, save_on_exception=True)
        with pytest.raises(InterruptedError):
            _trainer(callback, saving, max_epochs=3).fit(model, numbers(4), numbers(2))
        return model

    return fit


def _face_batch(n: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.randint(0, 256, (n, 3, 4, 4), generator=generator).float()
    return {
        "image": F.interpolate(coarse, (36, 32), mode="bilinear").to(torch.uint8),
        "label": torch.randint(0, 2, (n, 2), generator=generator).to(torch.uint8),
        "index": torch.arange(n) * 3 + 100,
    }


class Recorder:
    """A run that records the values which it chooses for settings, by group and name."""

    def __init__(self, *overrides: str) -> None:
        self.overrides = list(overrides)
        self.recorded: dict[tuple[str, str], Any] = {}

    def record(self, group: str, name: str, value: Any) -> None:
        self.recorded[group, name] = value


@pytest.fixture(scope="session")
def recorder() -> type[Recorder]:
    """``recorder("model.lr=1e-3")``: a run with this override, whose ``recorded`` contains the chosen settings."""
    return Recorder


@pytest.fixture(scope="session")
def face_batch() -> Callable[[int], dict[str, torch.Tensor]]:
    """``face_batch(n)``: raw faces with two labels each and an index that differs from the position."""
    return _face_batch


@pytest.fixture(scope="session")
def faces_loader() -> Callable[..., DataLoader]:
    """``faces_loader(n, attributes, order, labels)``: a loader that yields ``face_batch`` in batches of three."""

    def build(n: int = 8, attributes: int = 1, order: list[int] | None = None, labels: bool = True) -> DataLoader:
        columns = _face_batch(n)
        columns["label"] = columns["label"][:, :attributes]
        if not labels:
            del columns["label"]
        rows = [{key: value[row] for key, value in columns.items()} for row in order or range(n)]
        return DataLoader(rows, batch_size=3)

    return build
