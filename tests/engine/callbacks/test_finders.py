"""What the finders find is used for the schedule and the loaders, and a resumed run does not search again."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from celeba_lab.engine.callbacks import BatchSizeFinder, LearningRateFinder
from celeba_lab.engine.callbacks.finders import suggest_rate
from celeba_lab.errors import SettingError, UserError

SEARCH = {"num_training_steps": 16, "min_lr": 1e-4, "early_stop_threshold": None}


class Numbers(L.LightningDataModule):
    """Forty rows of numbers, in batches whose size can be changed."""

    def __init__(self, batch_size: int = 2) -> None:
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.randn(40, 4, generator=torch.Generator().manual_seed(1)), batch_size=self.batch_size)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(torch.zeros(4, 4), batch_size=2)


@pytest.fixture
def scheduled(toy):
    """The class of a network with a one-cycle schedule, which records the peaks and lengths of its schedules."""

    class Scheduled(toy):
        def __init__(self, lr: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.built: list[tuple[float, int]] = []
            self.network.load_state_dict(toy_weights)

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])
            steps = int(self.trainer.estimated_stepping_batches)
            self.built.append((self.hparams["lr"], steps))
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hparams["lr"], total_steps=steps + 1)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    toy_weights = toy().network.state_dict()
    return Scheduled


def fit(trainer, model: Any, *callbacks: Callback, data: Numbers | None = None, path: Path | None = None, **options):
    used = trainer(*callbacks, max_epochs=2, **options)
    used.fit(model, datamodule=data or Numbers(), ckpt_path=path, weights_only=None if path is None else True)
    return used


def test_training_with_a_rate_that_was_found_equals_training_with_this_rate(
    tmp_path: Path, scheduled, trainer, assert_same, state_of
) -> None:
    finder, model = LearningRateFinder(**SEARCH), scheduled()
    fit(trainer, model, finder, default_root_dir=tmp_path)
    assert finder.lr is not None
    assert model.built[-1] == (finder.lr, 40)
    assert (len(finder.lrs), finder.lr in finder.lrs) == (16, True)
    expected = scheduled(lr=finder.lr)
    fit(trainer, expected)
    assert_same(state_of(model), state_of(expected))


def test_a_resumed_run_uses_the_rate_that_was_found(tmp_path: Path, scheduled, trainer, save_in, monkeypatch) -> None:
    finder = LearningRateFinder(**SEARCH)
    fit(trainer, scheduled(), finder, save_in(tmp_path), default_root_dir=tmp_path)
    monkeypatch.setattr(LearningRateFinder, "lr_find", lambda *_: pytest.fail("it searches again"))
    again, model = LearningRateFinder(**SEARCH), scheduled()
    fit(trainer, model, again, save_in(tmp_path), path=tmp_path / "last.ckpt")
    assert (again.lr, model.hparams["lr"], again.losses) == (finder.lr, finder.lr, finder.losses)


def test_too_few_steps_are_explained(tmp_path: Path, scheduled, trainer) -> None:
    finder = LearningRateFinder(**SEARCH)
    with pytest.raises(UserError, match="found no learning rate in 4 training steps, because there were too few steps"):
        fit(trainer, scheduled(), finder, data=Numbers(batch_size=20), default_root_dir=tmp_path)


def test_the_callbacks_are_restored_if_the_search_fails(tmp_path: Path, scheduled, trainer, monkeypatch) -> None:
    finder, model = LearningRateFinder(**SEARCH), scheduled()
    monkeypatch.setattr(type(model), "training_step", lambda *_: (_ for _ in ()).throw(ZeroDivisionError))
    used = trainer(finder, default_root_dir=tmp_path)
    with pytest.raises(ZeroDivisionError):
        used.fit(model, datamodule=Numbers())
    assert finder in used.callbacks


def test_the_rate_is_relative_to_its_logarithm() -> None:
    """With a noisy loss, the slope relative to the rate itself would be steepest at the lowest rates."""
    rates = [10 ** (-6 + 0.1 * k) for k in range(60)]
    losses = [0.7 + 0.001 * (-1) ** k - 0.3 / (1 + 10 ** (-(k - 40) / 4)) for k in range(60)]
    assert 10**-2.5 < suggest_rate(rates, losses) < 10**-1.5  # type: ignore[operator]
    assert suggest_rate(rates, [float(k) for k in range(60)]) is None
    assert suggest_rate(rates, [float("nan")] * 60) is None


@pytest.mark.parametrize(("largest", "found"), [(8, 8), pytest.param(1000, 40, marks=pytest.mark.slow)])
def test_training_with_a_batch_size_that_was_found_equals_training_with_this_size(
    tmp_path: Path, scheduled, trainer, assert_same, state_of, largest: int, found: int
) -> None:
    finder, model, data = BatchSizeFinder(init_val=2, max_val=largest), scheduled(), Numbers()
    fit(trainer, model, finder, data=data, default_root_dir=tmp_path)
    assert (finder.batch_size, data.batch_size, model.built[-1][1]) == (found, found, 2 * 40 // found)
    expected = scheduled()
    fit(trainer, expected, data=Numbers(found))
    assert_same(state_of(model), state_of(expected))


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_not_used(tmp_path: Path, scheduled, trainer, monkeypatch) -> None:
    step = scheduled.training_step

    def limited(self: Any, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        if len(batch) > 8:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(scheduled, "training_step", limited)
    finder = BatchSizeFinder(init_val=2)
    fit(trainer, scheduled(), finder, default_root_dir=tmp_path)
    assert finder.batch_size == 8


@pytest.mark.slow
def test_a_resumed_run_uses_the_batch_size_that_was_found(
    tmp_path: Path, scheduled, trainer, save_in, monkeypatch
) -> None:
    fit(trainer, scheduled(), BatchSizeFinder(init_val=2, max_val=8), save_in(tmp_path), default_root_dir=tmp_path)
    monkeypatch.setattr(BatchSizeFinder, "scale_batch_size", lambda *_: pytest.fail("it searches again"))
    again, model, data = BatchSizeFinder(init_val=2, max_val=8), scheduled(), Numbers()
    fit(trainer, model, again, save_in(tmp_path), data=data, path=tmp_path / "last.ckpt")
    assert (again.batch_size, data.batch_size, model.built) == (8, 8, [(0.1, 10)])


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: LearningRateFinder(min_lr=1, max_lr=0.5), "max_lr=0.5 must be above 1."),
        (lambda: LearningRateFinder(num_training_steps=5), "num_training_steps=5 must be at least 13."),
        (lambda: LearningRateFinder(mode="fast"), "mode=fast must be one of exponential, linear."),
        (lambda: BatchSizeFinder(init_val=8, max_val=4), "max_val=4 must be at least 8."),
        (lambda: BatchSizeFinder(mode="fast"), "mode=fast must be one of power, binsearch."),
    ],
)
def test_bad_settings_are_rejected(build, sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        build()
    assert str(caught.value).startswith(sentence)
