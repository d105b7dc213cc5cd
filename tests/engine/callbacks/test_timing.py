"""Time spent in training and in validation."""

import time

import pytest

from celeba_lab.engine.callbacks import Stopwatch


def test_training_and_validation_are_timed_separately(toy, numbers, trainer):
    class Slow(toy):
        def training_step(self, batch, batch_idx):
            time.sleep(0.02)
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch, batch_idx):
            time.sleep(0.05)
            return super().validation_step(batch, batch_idx)

    watch = Stopwatch()
    start = time.perf_counter()
    fit = trainer(watch, max_epochs=2, num_sanity_val_steps=3)
    fit.fit(Slow(), numbers(4), numbers(3))
    wall = time.perf_counter() - start
    assert watch.validation >= 2 * 3 * 0.05
    assert watch.training >= 2 * 4 * 0.02
    assert watch.training + watch.validation <= wall - 3 * 0.05, "the sanity check should not be counted"
    validation = watch.validation
    fit.validate(Slow(), numbers(3), verbose=False)
    assert watch.validation == validation


def test_invalid_times_in_a_checkpoint_are_rejected() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        Stopwatch().load_state_dict({"elapsed": "long", "validation": 0.0})
