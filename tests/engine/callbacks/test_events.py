"""TensorBoard contains every value once, whenever a run is stopped."""

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from celeba_lab.engine.callbacks import EventPosition, LastCheckpoint
from celeba_lab.runs.events import EVENTS_KEY, cut_events, measure_events


def values(folder):
    """Return all values by tag and step."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found.setdefault((value.tag, event.step), []).append(value.tensor.float_val[0])
    return found


@pytest.fixture
def fit(toy, numbers, trainer):
    """``fit(folder, epochs, resumed)`` trains a model that logs a metric at each step and each epoch."""

    class Logging(toy):
        def training_step(self, batch, batch_idx):
            self.log("train/step", float(self.global_step), on_step=True)
            return super().training_step(batch, batch_idx)

        def on_train_epoch_end(self):
            self.log("train/epoch", float(self.current_epoch))

    def run(folder, epochs, resumed=False):
        last = folder / "last.ckpt"
        if resumed:
            cut_events(folder, torch.load(last, weights_only=True)[EVENTS_KEY]["sizes"], measure_events(folder))
        logger = TensorBoardLogger(folder, name="", version="")
        callbacks = [EventPosition(), LastCheckpoint(folder)]
        fit = trainer(*callbacks, max_epochs=epochs, logger=logger, log_every_n_steps=1)
        torch.manual_seed(1)
        fit.fit(Logging(), numbers(3), ckpt_path=last if resumed else None, weights_only=True if resumed else None)
        logger.finalize("success")

    return run


def test_a_run_resumed_after_an_epoch_writes_the_same_values(tmp_path, fit):
    fit(tmp_path / "whole", 3)
    fit(tmp_path / "parts", 2)  # Its last metrics are written after the checkpoint.
    fit(tmp_path / "parts", 3, resumed=True)
    whole = values(tmp_path / "whole")
    assert whole[("train/epoch", 8)] == [2.0]
    assert {key: sorted(value) for key, value in values(tmp_path / "parts").items()} == whole


def test_metrics_are_complete_if_no_epoch_is_left(tmp_path, fit):
    fit(tmp_path, 2)
    before = values(tmp_path)
    fit(tmp_path, 2, resumed=True)
    assert values(tmp_path) == before


def test_events_after_the_checkpoint_are_removed(tmp_path, fit):
    fit(tmp_path, 1)
    sizes = measure_events(tmp_path)
    (tmp_path / "events.out.tfevents.9.later").write_bytes(b"later")
    cut_events(tmp_path, sizes, measure_events(tmp_path))
    assert measure_events(tmp_path) == sizes
