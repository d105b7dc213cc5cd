"""Runs of a search report their score after each epoch, and are stopped if they are unpromising."""

from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback

from celeba_lab.engine.callbacks import Pruning
from celeba_lab.engine.callbacks.distances import DistanceSchedule
from celeba_lab.errors import SettingError
from celeba_lab.runs.search import Pruned


class Trial:
    """A trial that is unpromising from an epoch on. It records the reports like a storage."""

    def __init__(self, unpromising_from: int, score: str = "val/loss") -> None:
        self.unpromising_from = unpromising_from
        self.search = SimpleNamespace(score=score)
        self.reported: dict[int, float] = {}

    def report(self, step: int, score: float) -> None:
        assert step not in self.reported
        self.reported[step] = score

    def should_prune(self) -> bool:
        return max(self.reported, default=0) >= self.unpromising_from


def pruning_with(*arguments: Any, **named: Any) -> Pruning:
    return Pruning(Trial(*arguments, **named))  # type: ignore[arg-type]


def test_a_unpromising_run_stops_at_the_end_of_its_epoch(toy, numbers, trainer) -> None:
    pruning = pruning_with(2)
    fitted = trainer(pruning, max_epochs=5)
    model = toy()
    fitted.fit(model, numbers(), numbers())
    assert fitted.current_epoch == 2
    assert list(pruning.trial.reported) == [1, 2]
    with pytest.raises(Pruned, match="pruned after epoch 2 of 5") as caught:
        pruning.check_pruned()
    assert caught.value.score == pruning.trial.reported[2] == pytest.approx(float(fitted.callback_metrics["val/loss"]))


@pytest.mark.parametrize(
    "settings", [{"max_epochs": 3}, {"max_epochs": 4, "min_epochs": 4}, {"max_epochs": 4, "min_steps": 1000}]
)
def test_a_run_that_must_go_on_or_is_at_its_end_is_not_pruned(toy, numbers, trainer, settings) -> None:
    pruning = pruning_with(3)
    trainer(pruning, **settings).fit(toy(), numbers(), numbers())
    assert list(pruning.trial.reported) == list(range(1, settings["max_epochs"] + 1))
    pruning.check_pruned()


def test_only_epochs_with_a_validation_are_reported(toy, numbers, trainer) -> None:
    pruning = pruning_with(9)
    trainer(pruning, max_epochs=4, check_val_every_n_epoch=2).fit(toy(), numbers(), numbers())
    assert list(pruning.trial.reported) == [2, 4]


def test_a_resumed_run_reports_no_step_twice_and_is_pruned_at_once(toy, numbers, trainer, save_in, tmp_path) -> None:
    pruning = pruning_with(9)
    trainer(pruning, save_in(tmp_path), max_epochs=2).fit(toy(), numbers(), numbers())
    [path] = tmp_path.glob("*.ckpt")
    pruning.trial.unpromising_from = 2  # The earlier process was killed before it was stopped.
    resumed = Pruning(pruning.trial)
    fitted = trainer(resumed, max_epochs=5)
    model = toy()
    fitted.fit(model, numbers(), numbers(), ckpt_path=path, weights_only=True)
    assert list(pruning.trial.reported) == [1, 2]
    assert not model.after_step, "no step was trained"
    with pytest.raises(Pruned, match="pruned after epoch 2 of 5"):
        resumed.check_pruned()


def test_a_score_that_validation_does_not_log_is_explained(toy, numbers, trainer) -> None:
    pruning = pruning_with(1, score="val/los")
    with pytest.raises(
        SettingError,
        match=r"score=val/los is not a metric that validation logs, .* Did you mean 'val/loss'",
    ):
        trainer(pruning, max_epochs=2).fit(toy(), numbers(), numbers())


class Measure(DistanceSchedule):
    """Measures made-up distances in every second epoch."""

    def __init__(self) -> None:
        self.rows = []

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % 2 == 0:
            self.rows += [{"epoch": epoch, "kid_x1000": 10.0 * epoch, "fid": 1.0}, {"epoch": epoch, "kid_x1000": 0.0}]

    state_dict = Callback.state_dict


def test_distances_of_a_gan_are_reported_when_they_are_measured(toy, numbers, trainer) -> None:
    pruning = pruning_with(4, score="heldout/kid")
    fitted = trainer(Measure(), pruning, max_epochs=9)
    fitted.fit(toy(), numbers())
    assert pruning.trial.reported == {2: 20.0, 4: 40.0}
    assert fitted.current_epoch == 4


def test_distances_need_a_feature_extractor(toy, numbers, trainer) -> None:
    with pytest.raises(SettingError, match="score=heldout/kid is not measured, because there is no feature extractor"):
        trainer(pruning_with(1, score="heldout/kid"), max_epochs=1).fit(toy(), numbers())
