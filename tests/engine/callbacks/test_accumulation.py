"""Accumulated gradients give the same update as a larger batch."""

import pytest
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler as LightningScheduler
from torch import nn
from torch.utils.data import DataLoader

from celeba_lab.engine.callbacks import GradientAccumulationScheduler
from celeba_lab.errors import SettingError, UserError
from celeba_lab.models.optimization import count_steps


def without_batch_statistics(toy):
    model = toy()
    model.network = nn.Linear(4, 1)
    return model


def test_an_update_equals_that_of_a_larger_batch(toy, trainer) -> None:
    rows = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
    one, other = without_batch_statistics(toy), without_batch_statistics(toy)
    other.load_state_dict(one.state_dict())
    trainer(GradientAccumulationScheduler({"0": 3})).fit(one, DataLoader(rows, batch_size=4))
    trainer().fit(other, DataLoader(rows, batch_size=12))
    assert (len(one.after_step), len(other.after_step)) == (6, 2)
    torch.testing.assert_close(one.network.weight, other.network.weight)


@pytest.mark.parametrize(
    ("scheduling", "limit", "steps"),
    [({0: 2}, -1, 12), ({"0": 1, "2": 5}, -1, 12), ({"2": 2}, -1, 16), ({"2": 2}, 4, 4)],
)
def test_the_steps_of_a_run_are_counted(toy, numbers, trainer, scheduling, limit, steps) -> None:
    counted = []

    class Counting(toy):
        def configure_optimizers(self):
            counted.append(count_steps(self.trainer))
            return super().configure_optimizers()

    fit = trainer(GradientAccumulationScheduler(scheduling), max_epochs=4, max_steps=limit)
    fit.fit(Counting(), numbers(5))
    assert counted == [steps]
    assert fit.global_step == steps


def test_a_run_that_is_resumed_within_an_epoch_goes_on_to_accumulate(trainer) -> None:
    fit, scheduler = trainer(), GradientAccumulationScheduler({"0": 4})
    scheduler.on_train_start(fit, None)  # type: ignore[arg-type]
    assert fit.accumulate_grad_batches == 4
    assert isinstance(scheduler, LightningScheduler)


def test_the_trainer_must_not_accumulate_as_well(toy, numbers, trainer) -> None:
    fit = trainer(GradientAccumulationScheduler({"0": 4}), accumulate_grad_batches=2)
    with pytest.raises(UserError, match=r"^trainer\.accumulate_grad_batches=2 cannot be combined"):
        fit.fit(toy(), numbers(2))


@pytest.mark.parametrize(
    ("scheduling", "sentence"),
    [
        ({}, "scheduling={} must contain at least one epoch."),
        ({"x": 2}, "scheduling={x:2} contains x, which is not an epoch."),
        ({"0": 0}, "scheduling.0=0 must be an integer that is at least 1."),
        ({"0": True}, "scheduling.0=true must be an integer that is at least 1."),
    ],
)
def test_bad_schedules_are_rejected(scheduling: dict, sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        GradientAccumulationScheduler(scheduling)
    assert str(caught.value) == sentence
