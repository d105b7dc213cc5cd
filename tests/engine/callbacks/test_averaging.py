"""Moving average of the weights, tested with a network small enough to compute the average by hand."""

import copy

import pytest
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, WeightAveraging
from torch.optim.swa_utils import get_ema_avg_fn

from celeba_lab.engine.callbacks import ExponentialMovingAverage, StochasticWeightAveraging
from celeba_lab.errors import SettingError, UserError
from celeba_lab.models.classifier.module import AttributeClassifier

State = dict[str, torch.Tensor]


def averaged(states: list[State], decay: float) -> State:
    """Return the average computed by the formula: the decay after n updates is min(decay, (1 + n) / (10 + n))."""
    average = dict(states[0])
    for n, state in enumerate(states[1:], start=1):
        past = min(decay, (1 + n) / (10 + n))
        for key, value in state.items():
            average[key] = past * average[key] + (1 - past) * value if value.is_floating_point() else value
    return average


def test_the_average_of_three_steps_equals_values_computed_by_hand(toy, numbers, trainer):
    model = toy()
    trainer(ExponentialMovingAverage(decay=0.99)).fit(model, numbers(3))
    first, second, third = (state["network.0.weight"] for state in model.after_step)
    average = 2 / 11 * first + 9 / 11 * second
    average = 3 / 12 * average + 9 / 12 * third
    torch.testing.assert_close(model.network[0].weight.detach(), average)
    assert not torch.allclose(average, third), "the model should end with the averaged weights"


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.99])
def test_the_average_of_many_steps_follows_its_formula(decay, toy, numbers, trainer, state_of, assert_same):
    model = toy()
    trainer(ExponentialMovingAverage(decay)).fit(model, numbers(20))
    assert_same(state_of(model), averaged(model.after_step, decay))


def test_integer_buffers_are_copied_not_averaged(toy, numbers, trainer):
    model = toy()
    trainer(ExponentialMovingAverage()).fit(model, numbers(7))
    assert model.network[1].num_batches_tracked.item() == 7
    assert model.network[1].num_batches_tracked.dtype == torch.int64


def test_the_average_is_updated_after_optimizer_steps_not_batches(toy, numbers, trainer, state_of, assert_same):
    model = toy()
    trainer(ExponentialMovingAverage(), accumulate_grad_batches=3).fit(model, numbers(6))
    assert_same(state_of(model), averaged([model.after_step[2], model.after_step[5]], 0.99))


def test_validation_and_checkpoints_use_the_average(tmp_path, toy, numbers, trainer, save_in, assert_same):
    model = toy()
    callbacks = ExponentialMovingAverage(), save_in(tmp_path, "best", monitor="val/loss")
    fit = trainer(*callbacks, max_epochs=2)
    fit.fit(model, numbers(4), numbers(2))
    for epoch in (1, 2):
        assert_same(model.in_validation[epoch - 1], averaged(model.after_step[: 4 * epoch], 0.99))
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    steps = best["global_step"]
    assert_same(best["state_dict"], averaged(model.after_step[:steps], 0.99))
    assert_same(best["current_model_state"], model.after_step[steps - 1])


def test_training_continues_from_the_raw_weights(toy, numbers, trainer, assert_same):
    averaging, plain = toy(), toy()
    plain.load_state_dict(averaging.state_dict())
    trainer(ExponentialMovingAverage(), max_epochs=3).fit(averaging, numbers(2), numbers(1))
    trainer(max_epochs=3).fit(plain, numbers(2), numbers(1))
    for one, other in zip(averaging.after_step, plain.after_step, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("stop_at", [(0, 0), (1, 1)])
def test_a_checkpoint_saved_in_validation_keeps_both_sets_of_weights(tmp_path, stop_at, fit_until_stopped, assert_same):
    model = fit_until_stopped(tmp_path, ExponentialMovingAverage(), stop_at)
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert last["global_step"] == len(model.after_step) == 4 * (stop_at[0] + 1)
    assert_same(last["state_dict"], averaged(model.after_step, 0.99))
    assert_same(last["current_model_state"], model.after_step[-1])


@pytest.mark.parametrize("stop_at", [(0, 0), (1, 1), (2, 1)])
def test_a_run_resumed_in_validation_equals_an_uninterrupted_run(
    tmp_path, stop_at, toy, numbers, trainer, save_in, fit_until_stopped, state_of, assert_same
):
    fit_until_stopped(tmp_path, ExponentialMovingAverage(), stop_at)
    resumed = toy()
    callbacks = ExponentialMovingAverage(), save_in(tmp_path)
    trainer(*callbacks, max_epochs=3).fit(
        resumed, numbers(4), numbers(2), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    torch.manual_seed(0)
    whole = toy()
    trainer(ExponentialMovingAverage(), max_epochs=3).fit(whole, numbers(4), numbers(2))
    assert_same(state_of(resumed), state_of(whole))


def test_a_checkpoint_saved_in_training_keeps_both_sets_of_weights(
    tmp_path, toy, numbers, trainer, save_in, state_of, assert_same
):
    class Stop(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step == 6:
                raise InterruptedError

    model = toy()
    callbacks = ExponentialMovingAverage(), Stop(), save_in(tmp_path, save_on_exception=True)
    with pytest.raises(InterruptedError):
        trainer(*callbacks, max_epochs=3).fit(model, numbers(4), numbers(2))
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    # Callback hooks run before module hooks, so the model did not record the sixth step.
    assert_same(last["state_dict"], averaged([*model.after_step, state_of(model)], 0.99))
    assert_same(last["current_model_state"], state_of(model))


def test_frozen_layers_are_supported_by_the_average(tmp_path, trainer, save_in, faces_loader):
    model = AttributeClassifier(["a"], "shufflenet_v2_x0_5", image_size=32, freeze=0.5, lr=1e-2)
    before = copy.deepcopy(model.backbone.layers()[0].state_dict())
    trainer(ExponentialMovingAverage(), save_in(tmp_path)).fit(model, faces_loader(), faces_loader())
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    for key, value in before.items():
        assert torch.equal(stored[f"backbone.network.conv1.0.{key}"], value), "frozen weights should be identical"


@pytest.mark.parametrize("decay", [-0.1, 1.5])
def test_a_decay_out_of_range_is_rejected(decay):
    with pytest.raises(SettingError, match=f"^decay={decay} must be between 0 and 1"):
        ExponentialMovingAverage(decay)


# -- guards ----------------------------------------------------------------------------------------------------------


def test_guard_lightning_averages_integers(toy, numbers, trainer):
    model = toy()
    trainer(EMAWeightAveraging(decay=0.5)).fit(model, numbers(7))
    tracked = model.network[1].num_batches_tracked.item()
    assert tracked != 7, "the workaround is no longer needed: EMAWeightAveraging keeps integer buffers"


def test_guard_lightning_swaps_the_weights_when_stopped_in_validation(tmp_path, fit_until_stopped):
    ema = get_ema_avg_fn(0.5)
    averaging = WeightAveraging(avg_fn=lambda a, c, n: ema(a, c, n) if c.is_floating_point() else c)
    model = fit_until_stopped(tmp_path, averaging, (1, 1))
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    raw = model.after_step[-1]
    confused = all(torch.equal(stored[key], value) for key, value in raw.items())
    assert confused, "the workaround is no longer needed: ExponentialMovingAverage.on_exception and _swap_models"


def test_swa_averages_the_ends_of_the_last_epochs(tmp_path, toy, numbers, trainer, save_in, state_of, assert_same):
    model = toy()
    average = StochasticWeightAveraging(swa_epoch_start=2)
    trainer(average, save_in(tmp_path, "last"), max_epochs=4).fit(model, numbers(3), numbers(1))
    ends = model.after_step[2::3]
    both = {
        key: (ends[2][key] + ends[3][key]) / 2 if value.is_floating_point() else ends[3][key]
        for key, value in ends[3].items()
    }
    for found, expected in zip(model.in_validation, [*ends[:3], both], strict=True):
        assert_same(found, expected)
    assert_same(state_of(model), both)
    assert average.averaged_epochs == 2
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert_same(last["state_dict"], both)
    assert_same(last["current_model_state"], ends[3])


@pytest.mark.parametrize("start", [1, 0.4])
def test_swa_keeps_a_constant_learning_rate(toy, numbers, trainer, start):
    rates = []

    class Recording(Callback):
        def on_train_batch_start(self, trainer, *_):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    trainer(StochasticWeightAveraging(start, swa_lr=0.02), Recording(), max_epochs=3).fit(toy(), numbers(2))
    assert rates == [0.3] * 2 + [0.02] * 4


def test_swa_must_begin_within_the_run(toy, numbers, trainer):
    with pytest.raises(UserError, match="swa_epoch_start=3 is not reached in 3 epochs"):
        trainer(StochasticWeightAveraging(3), max_epochs=3).fit(toy(), numbers(2))
    with pytest.raises(UserError, match="needs a limited number of epochs"):
        trainer(StochasticWeightAveraging(0.5), max_epochs=-1, max_steps=3).fit(toy(), numbers(2))
    with pytest.raises(SettingError, match="must be an integer or a fraction"):
        StochasticWeightAveraging(1.5)
