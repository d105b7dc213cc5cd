"""Runs whose losses or weights become infinite or NaN, and the last checkpoint before that."""

import math
import types

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from celeba_lab.engine.callbacks import ExponentialMovingAverage, LastCheckpoint, TerminateOnNaN
from celeba_lab.engine.callbacks.divergence import non_finite
from celeba_lab.errors import DivergenceError, SettingError
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN

SMALL = "shufflenet_v2_x0_5"


class Break(Callback):
    """Make the weights NaN after a batch of the second epoch, and optionally raise an error."""

    def __init__(self, batch: int = 0, error: BaseException | None = None) -> None:
        self.batch, self.error = batch, error

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, self.batch):
            with torch.no_grad():
                next(pl_module.parameters()).fill_(math.nan)
            if self.error is not None:
                raise self.error


def content(path):
    return torch.load(path, weights_only=True)


def is_finite(checkpoint: dict) -> bool:
    states = [checkpoint["state_dict"], checkpoint.get("current_model_state", {})]
    return not any(non_finite(state) for state in states)


@pytest.fixture
def fit(tmp_path, trainer, faces_loader):
    """``fit(*callbacks)`` trains for three epochs of three batches and returns the error and the checkpoint."""

    def run(*callbacks: Callback, error: type[BaseException] = DivergenceError, validate: bool = True, **options):
        saving = LastCheckpoint(tmp_path, "last", save_on_exception=True, enable_version_counter=False)
        model = AttributeClassifier(["a"], SMALL, image_size=32, schedule="constant")
        with pytest.raises(error) as caught:
            trainer(*callbacks, saving, max_epochs=3, **options).fit(
                model, faces_loader(9), faces_loader() if validate else None
            )
        return caught.value, content(tmp_path / "last.ckpt")

    return run


@pytest.mark.parametrize(
    ("average", "batch", "validate", "what"),
    [
        (False, 0, True, "loss is"),
        (True, 0, True, "loss is"),
        (False, 2, False, "weights are"),  # no loss was computed with the last step's weights
        (False, 2, True, "validation loss is"),
        (True, 2, True, "weights are"),  # the averaged weights are still finite
    ],
)
def test_the_checkpoint_of_the_last_finite_epoch_is_kept(fit, average, batch, validate, what, capsys):
    callbacks = [ExponentialMovingAverage()] if average else []
    error, kept = fit(*callbacks, TerminateOnNaN(), Break(batch), validate=validate)
    advice = "Lower lr, or set gradient_clip_val=1."
    assert str(error) == f"Training diverged in epoch 2, step 6: the {what} NaN or infinite. {advice}"
    assert (kept["epoch"], kept["global_step"]) == (0, 3)
    assert is_finite(kept)
    assert "last.ckpt was not overwritten." in capsys.readouterr().out


def test_losses_are_checked_every_few_steps(fit):
    error, _ = fit(TerminateOnNaN(check_every_n_steps=2), Break(0))
    assert "epoch 2, step 5: the loss is NaN or infinite" in str(error)


@pytest.mark.parametrize("stop", [InterruptedError(), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_other_exceptions_do_not_save_nonfinite_weights(fit, stop, capsys):
    # Lightning turns Ctrl-C into SystemExit.
    raised = SystemExit if isinstance(stop, KeyboardInterrupt) else InterruptedError
    _, kept = fit(TerminateOnNaN(), Break(0, stop), error=raised)
    assert (kept["epoch"], kept["global_step"]) == (0, 3)
    assert is_finite(kept)
    assert "was not overwritten" in capsys.readouterr().out


def test_other_exceptions_save_finite_weights(fit):
    class Stop(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step == 5:
                raise InterruptedError

    _, kept = fit(TerminateOnNaN(), Stop(), error=InterruptedError)
    assert kept["global_step"] == 5
    assert is_finite(kept)


def test_checkpoints_saved_every_few_steps_are_not_overwritten(tmp_path, fit):
    often = ModelCheckpoint(tmp_path, "often", every_n_train_steps=1, enable_version_counter=False)
    fit(TerminateOnNaN(), Break(1), often)
    assert content(tmp_path / "often.ckpt")["global_step"] == 4
    assert is_finite(content(tmp_path / "often.ckpt"))


def test_infinite_buffers_are_not_a_divergence(tmp_path, toy, numbers, trainer, save_in):
    model = toy()
    model.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    trainer(TerminateOnNaN(), save_in(tmp_path)).fit(model, numbers())
    assert content(tmp_path / "last.ckpt")["global_step"] == 3


def test_nonfinite_weights_of_any_module_are_detected(tmp_path, toy, numbers, trainer, save_in):
    sentence = r"^Training diverged in epoch 2, step 6: the weights are NaN or infinite. Lower the learning rate.$"
    with pytest.raises(DivergenceError, match=sentence):
        trainer(TerminateOnNaN(), Break(2), save_in(tmp_path), max_epochs=2).fit(toy(), numbers())
    assert content(tmp_path / "last.ckpt")["global_step"] == 3


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_nonfinite_gan_loss_stops_the_run(value, precision):
    model = GAN(image_size=16, latent_size=8, width=4)
    model._steps = {"discriminator": 1, "generator": 1}
    model._sums = {"discriminator_loss": torch.tensor(1.0), "generator_loss": torch.tensor(value)}
    strategy = types.SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)
    model._trainer = types.SimpleNamespace(
        is_last_batch=True, strategy=strategy, precision=precision, current_epoch=2, global_step=7
    )
    with pytest.raises(DivergenceError) as stop:
        TerminateOnNaN().on_train_batch_end(model._trainer, model, None, None, 0)
    advice = "" if precision == "32-true" else ", or train in float32 (precision=32-true)"
    assert str(stop.value) == (
        "Training diverged in epoch 3, step 7: the generator loss is NaN or infinite."
        f" Lower lr or discriminator_lr{advice}."
    )


def test_all_processes_stop_when_one_diverges():
    model = GAN(image_size=16, latent_size=8, width=4)
    model._steps, model._sums = {"discriminator": 1, "generator": 1}, {"generator_loss": torch.tensor(1.0)}
    strategy = types.SimpleNamespace(reduce_boolean_decision=lambda decision, all: True)
    model._trainer = types.SimpleNamespace(
        is_last_batch=True, strategy=strategy, precision="32-true", current_epoch=0, global_step=7
    )
    with pytest.raises(DivergenceError, match="the loss in another process is NaN"):
        TerminateOnNaN().on_train_batch_end(model._trainer, model, None, None, 0)


def test_checks_must_be_at_least_one_step_apart():
    with pytest.raises(SettingError, match=r"^check_every_n_steps=0 must be at least 1"):
        TerminateOnNaN(check_every_n_steps=0)


# -- guards ----------------------------------------------------------------------------------------------------------


def test_guard_lightning_saves_diverged_weights_on_an_exception(tmp_path, toy, numbers, trainer, save_in):
    # Once this fails, LastCheckpoint is unnecessary.
    saving = save_in(tmp_path, save_on_exception=True)
    with pytest.raises(InterruptedError):
        trainer(Break(0, InterruptedError()), saving, max_epochs=2).fit(toy(), numbers())
    assert not is_finite(content(tmp_path / "last.ckpt"))
