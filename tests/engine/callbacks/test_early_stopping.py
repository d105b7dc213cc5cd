"""Training stops early, also if the run is resumed after it has stopped."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from celeba_lab.engine.callbacks import EarlyStopping
from celeba_lab.errors import SettingError


def stopping(**changes) -> EarlyStopping:
    """Return a callback that stops after the third epoch, because no loss falls by so much."""
    return EarlyStopping("val/loss", **({"mode": "min", "min_delta": 1e6, "patience": 2} | changes))


def test_training_stops_when_the_metric_no_longer_improves(toy, numbers, trainer) -> None:
    callback = stopping()
    fit = trainer(callback, max_epochs=9)
    fit.fit(toy(), numbers(2), numbers(1))
    assert fit.current_epoch == 3
    facts = callback.describe()
    assert (facts["monitor"], facts["epoch"]) == ("val/loss", 3)
    assert str(facts["reason"]).startswith("val/loss has not improved on ")
    assert str(facts["reason"]).endswith(" in 2 validations")


def test_a_run_that_has_stopped_early_does_not_go_on_when_it_is_resumed(
    tmp_path: Path, toy, numbers, trainer, save_in
) -> None:
    trainer(stopping(), save_in(tmp_path), max_epochs=9).fit(toy(), numbers(2), numbers(1))
    model, callback = toy(), stopping()
    fit = trainer(callback, save_in(tmp_path), max_epochs=9)
    fit.fit(model, numbers(2), numbers(1), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert (model.after_step, callback.describe()["epoch"]) == ([], 3)


def test_training_stops_at_a_threshold(toy, numbers, trainer) -> None:
    callback = stopping(stopping_threshold=1e6)
    fit = trainer(callback, max_epochs=9)
    fit.fit(toy(), numbers(2), numbers(1))
    assert (fit.current_epoch, callback.describe()["reason"]) == (1, "val/loss has reached 1000000.0")


def test_measurements_are_counted_instead_of_epochs(toy, numbers, trainer) -> None:
    callback = EarlyStopping("heldout/kid", patience=2)
    fit = trainer(callback, max_epochs=4)
    fit.fit(toy(), numbers(1))
    assert fit.current_epoch == 4, "an epoch without a measurement must not count"
    for value, stopped in ((3.0, False), (4.0, False), (3.5, True)):
        measured = SimpleNamespace(
            callback_metrics={"heldout/kid": torch.tensor(value)},
            fast_dev_run=False,
            should_stop=False,
            current_epoch=9,
            strategy=fit.strategy,
        )
        callback.count_measurement(measured)  # type: ignore[arg-type]
        assert measured.should_stop is stopped
    assert callback.describe()["reason"] == "heldout/kid has not improved on 3.0000 in 2 measurements"


@pytest.mark.parametrize("change", [{"mode": "highest"}, {"patience": 0}, {"min_delta": -1}])
def test_bad_settings_are_rejected(change: dict) -> None:
    with pytest.raises(SettingError, match=f"^{next(iter(change))}="):
        stopping(**change)
