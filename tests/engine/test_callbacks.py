"""What happens beside training, watched through Lightning's Trainer on a network small enough to compute by hand."""

import copy
import io
import time
from collections.abc import Mapping
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.optim.swa_utils import get_ema_avg_fn
from torch.utils.data import DataLoader

from celeba_lab.engine.callbacks import (
    EpochLog,
    ExponentialMovingAverage,
    Stopwatch,
    TrainingImageGrid,
    tensorboard_writer,
)
from celeba_lab.engine.measure import CollectPredictions
from celeba_lab.models.classifier.module import AttributeClassifier

State = dict[str, torch.Tensor]


class Toy(L.LightningModule):
    """A network with batch normalisation, whose step count is an integer buffer; notes its weights as it goes.

    Attributes:
        after_step: the state after every optimizer step.
        in_validation: the state with which each epoch's validation began.
        logged: the metrics of each epoch, as they were when they were logged.
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
        self.after_step.append(state_of(self))

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        if batch_idx == 0:
            self.in_validation.append(state_of(self))
        if (self.current_epoch, batch_idx) == self.stop_at:
            raise InterruptedError("stopped")
        self.log("val/loss", self.network(batch).square().mean())

    def on_train_epoch_end(self) -> None:
        value = torch.tensor(self.current_epoch + 0.5)
        self.log("train/accuracy", value)
        self.logged[self.current_epoch + 1] = {"train/accuracy": value.item()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.3)


def state_of(module: nn.Module) -> State:
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


def numbers(batches: int = 3) -> DataLoader:
    generator = torch.Generator().manual_seed(1)
    return DataLoader(torch.randn(5 * batches, 4, generator=generator), batch_size=5)


def trainer(*callbacks: Callback, **options) -> L.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    saving = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    options = {"accelerator": "cpu", "max_epochs": 1, "enable_checkpointing": saving, **quiet, **options}
    return L.Trainer(callbacks=list(callbacks), **options)


def save_in(folder: Path, name: str = "last", **options) -> ModelCheckpoint:
    return ModelCheckpoint(folder, filename=name, enable_version_counter=False, **options)


def assert_same(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, msg=key)


def averaged(states: list[State], decay: float) -> State:
    """The formula of the docstring: after n averages, the past weighs min(decay, (1 + n) / (10 + n))."""
    average = dict(states[0])
    for n, state in enumerate(states[1:], start=1):
        past = min(decay, (1 + n) / (10 + n))
        for key, value in state.items():
            average[key] = past * average[key] + (1 - past) * value if value.is_floating_point() else value
    return average


# -- ExponentialMovingAverage ----------------------------------------------------------------------------------------


def test_average_of_three_steps_by_hand():
    model = Toy()
    trainer(ExponentialMovingAverage(decay=0.99)).fit(model, numbers(3))
    first, second, third = (state["network.0.weight"] for state in model.after_step)
    average = 2 / 11 * first + 9 / 11 * second
    average = 3 / 12 * average + 9 / 12 * third
    torch.testing.assert_close(model.network[0].weight.detach(), average)
    assert not torch.allclose(average, third), "the model ends with the average, not with the last step"


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.99])
def test_average_of_many_steps(decay):
    model = Toy()
    trainer(ExponentialMovingAverage(decay)).fit(model, numbers(20))
    assert_same(state_of(model), averaged(model.after_step, decay))


def test_average_keeps_integers():
    model = Toy()
    trainer(ExponentialMovingAverage()).fit(model, numbers(7))
    assert model.network[1].num_batches_tracked.item() == 7
    assert model.network[1].num_batches_tracked.dtype == torch.int64


def test_average_counts_optimizer_steps_not_batches():
    model = Toy()
    trainer(ExponentialMovingAverage(), accumulate_grad_batches=3).fit(model, numbers(6))
    assert_same(state_of(model), averaged([model.after_step[2], model.after_step[5]], 0.99))


def test_validation_and_checkpoints_use_the_average(tmp_path):
    model = Toy()
    callbacks = ExponentialMovingAverage(), save_in(tmp_path, "best", monitor="val/loss")
    fit = trainer(*callbacks, max_epochs=2)
    fit.fit(model, numbers(4), numbers(2))
    for epoch in (1, 2):
        assert_same(model.in_validation[epoch - 1], averaged(model.after_step[: 4 * epoch], 0.99))
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    steps = best["global_step"]
    assert_same(best["state_dict"], averaged(model.after_step[:steps], 0.99))
    assert_same(best["current_model_state"], model.after_step[steps - 1])


def test_training_goes_on_from_the_raw_weights():
    averaging, plain = Toy(), Toy()
    plain.load_state_dict(averaging.state_dict())
    trainer(ExponentialMovingAverage(), max_epochs=3).fit(averaging, numbers(2), numbers(1))
    trainer(max_epochs=3).fit(plain, numbers(2), numbers(1))
    for one, other in zip(averaging.after_step, plain.after_step, strict=True):
        assert_same(one, other)


def fit_until_stopped(folder: Path, callback: Callback, stop_at: tuple[int, int]) -> Toy:
    """Fit with a checkpoint after every epoch and on exceptions, until a validation batch raises."""
    torch.manual_seed(0)
    model = Toy(stop_at)
    with pytest.raises(InterruptedError):
        trainer(callback, save_in(folder, save_on_exception=True), max_epochs=3).fit(model, numbers(4), numbers(2))
    return model


@pytest.mark.parametrize("stop_at", [(0, 0), (1, 1)])
def test_stopped_in_validation_the_checkpoint_does_not_confuse_the_models(tmp_path, stop_at):
    model = fit_until_stopped(tmp_path, ExponentialMovingAverage(), stop_at)
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert last["global_step"] == len(model.after_step) == 4 * (stop_at[0] + 1)
    assert_same(last["state_dict"], averaged(model.after_step, 0.99))
    assert_same(last["current_model_state"], model.after_step[-1])


@pytest.mark.parametrize("stop_at", [(0, 0), (1, 1), (2, 1)])
def test_stopped_in_validation_and_continued_equals_uninterrupted(tmp_path, stop_at):
    fit_until_stopped(tmp_path, ExponentialMovingAverage(), stop_at)
    resumed = Toy()
    callbacks = ExponentialMovingAverage(), save_in(tmp_path)
    trainer(*callbacks, max_epochs=3).fit(
        resumed, numbers(4), numbers(2), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    torch.manual_seed(0)
    whole = Toy()
    trainer(ExponentialMovingAverage(), max_epochs=3).fit(whole, numbers(4), numbers(2))
    assert_same(state_of(resumed), state_of(whole))


def test_stopped_in_training_the_models_are_left_alone(tmp_path):
    class Stop(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.global_step == 6:
                raise InterruptedError

    model = Toy()
    callbacks = ExponentialMovingAverage(), Stop(), save_in(tmp_path, save_on_exception=True)
    with pytest.raises(InterruptedError):
        trainer(*callbacks, max_epochs=3).fit(model, numbers(4), numbers(2))
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    # The callbacks see a step before the module, which could not note the sixth any more.
    assert_same(last["state_dict"], averaged([*model.after_step, state_of(model)], 0.99))
    assert_same(last["current_model_state"], state_of(model))


def test_frozen_layers_and_the_average(tmp_path):
    model = AttributeClassifier(["a"], "shufflenet_v2_x0_5", image_size=32, freeze=0.5, lr=1e-2)
    before = copy.deepcopy(model.backbone.layers()[0].state_dict())
    trainer(ExponentialMovingAverage(), save_in(tmp_path)).fit(model, faces_loader(), faces_loader())
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    for key, value in before.items():
        assert torch.equal(stored[f"backbone.network.conv1.0.{key}"], value), "not even rounded"


# -- EpochLog --------------------------------------------------------------------------------------------------------


class Stop(Callback):
    """Raise at the end of a batch or at the start of an epoch."""

    def __init__(self, epoch: int, batch: int | None = None) -> None:
        self.epoch, self.batch = epoch, batch

    def on_train_epoch_start(self, trainer, pl_module):
        if (trainer.current_epoch, None) == (self.epoch, self.batch):
            raise InterruptedError

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            raise InterruptedError


class Expected(Callback):
    """The metrics of each epoch, taken where all of them are known: after everyone's ``on_train_epoch_end``."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, float]] = {}

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch:
            self.rows[trainer.current_epoch] = {key: value.item() for key, value in trainer.callback_metrics.items()}

    def on_train_end(self, trainer, pl_module):
        self.on_train_epoch_start(trainer, pl_module)


def test_rows_hold_training_and_validation_of_the_same_epoch(capsys):
    log, expected = EpochLog(), Expected()
    trainer(log, expected, max_epochs=3).fit(Toy(), numbers(), numbers())
    assert log.rows == expected.rows
    assert list(log.rows) == [1, 2, 3]
    assert [row["train/accuracy"] for row in log.rows.values()] == [0.5, 1.5, 2.5]  # what the module logged last
    assert all(set(row) == {"train/loss", "train/accuracy", "val/loss"} for row in log.rows.values())
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    assert f"val/loss {log.rows[2]['val/loss']:.4f}" in lines[1]


def test_rows_survive_a_resumed_run(tmp_path, capsys):
    uninterrupted = EpochLog()
    trainer(uninterrupted, max_epochs=3).fit(Toy(), numbers(), numbers())
    torch.manual_seed(0)
    trainer(EpochLog(), save_in(tmp_path), max_epochs=1).fit(Toy(), numbers(), numbers())
    capsys.readouterr()
    log = EpochLog()
    trainer(log, save_in(tmp_path), max_epochs=3).fit(
        Toy(), numbers(), numbers(), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert list(log.rows) == [1, 2, 3]
    assert all(set(row) == set(uninterrupted.rows[1]) for row in log.rows.values())
    assert log.rows[1] == pytest.approx(uninterrupted.rows[1])
    assert log.rows[3] == pytest.approx(uninterrupted.rows[3])
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["2/3", "3/3"]


@pytest.mark.parametrize(
    "stop", [Stop(1, 0), Stop(1, 2), Stop(1), Stop(2)], ids=["first batch", "last", "start", "third"]
)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_stopped_epoch_does_not_get_the_row_of_the_one_before(tmp_path, stop, before):
    uninterrupted = EpochLog()
    trainer(uninterrupted, max_epochs=3).fit(Toy(), numbers(), numbers())
    torch.manual_seed(0)
    log, saving = EpochLog(), save_in(tmp_path, save_on_exception=True)
    with pytest.raises(InterruptedError):
        trainer(*((stop, log) if before else (log, stop)), saving, max_epochs=3).fit(Toy(), numbers(), numbers())
    log = EpochLog()
    trainer(log, save_in(tmp_path), max_epochs=3).fit(
        Toy(), numbers(), numbers(), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert sorted(log.rows) == [1, 2, 3] or (stop.batch == 2 and sorted(log.rows) == [1, 3])
    assert log.rows[1] == pytest.approx(uninterrupted.rows[1])
    for epoch, row in log.rows.items():
        assert row.get("train/accuracy", epoch - 0.5) == epoch - 0.5
    if stop.batch is None:  # stopped between epochs: nothing is missing, nothing differs
        assert all(log.rows[epoch] == pytest.approx(row) for epoch, row in uninterrupted.rows.items())


def test_an_epoch_without_validation_has_none_in_its_row():
    log = EpochLog()
    trainer(log, max_epochs=4, check_val_every_n_epoch=2).fit(Toy(), numbers(), numbers())
    assert ["val/loss" in row for row in log.rows.values()] == [False, True, False, True]
    assert all("train/loss" in row for row in log.rows.values())


def test_the_check_before_training_is_no_epoch():
    log = EpochLog()
    trainer(log, max_epochs=1, num_sanity_val_steps=2).fit(Toy(), numbers(), numbers())
    assert list(log.rows) == [1]
    log = EpochLog()
    trainer(log).validate(Toy(), numbers(), verbose=False)
    assert log.rows == {}


def test_state_is_plain(tmp_path):
    trainer(EpochLog(), save_in(tmp_path), max_epochs=1).fit(Toy(), numbers(), numbers())
    [state] = [
        state
        for key, state in torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"].items()
        if key == "EpochLog"
    ]
    assert set(state["rows"]) == {1}
    assert all(type(value) is float for value in state["rows"][1].values())


# -- Stopwatch -------------------------------------------------------------------------------------------------------


def test_seconds_of_training_and_of_validation():
    class Slow(Toy):
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
    assert watch.training + watch.validation <= wall - 3 * 0.05, "the check before training counts as neither"
    validation = watch.validation
    fit.validate(Slow(), numbers(3), verbose=False)
    assert watch.validation == validation


# -- CollectPredictions ----------------------------------------------------------------------------------------------


def face_batch(n: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.randint(0, 256, (n, 3, 4, 4), generator=generator).float()
    return {
        "image": F.interpolate(coarse, (36, 32), mode="bilinear").to(torch.uint8),
        "label": torch.randint(0, 2, (n, 2), generator=generator).to(torch.uint8),
        "index": torch.arange(n) * 3 + 100,
    }


def faces_loader(n: int = 8, attributes: int = 1, order: list[int] | None = None, labels: bool = True) -> DataLoader:
    columns = face_batch(n)
    columns["label"] = columns["label"][:, :attributes]
    if not labels:
        del columns["label"]
    rows = [{key: value[row] for key, value in columns.items()} for row in order or range(n)]
    return DataLoader(rows, batch_size=3)


@pytest.fixture(scope="module")
def classifier() -> AttributeClassifier:
    torch.manual_seed(0)
    model = AttributeClassifier(["a", "b"], "shufflenet_v2_x0_5", image_size=32)
    with torch.no_grad():
        for _ in range(20):
            model.train().features(face_batch(8)["image"])
    return model.eval()


ORDER = [5, 2, 7, 0, 1, 6, 3, 4]


@pytest.mark.parametrize("verb", ["validate", "test"])
@pytest.mark.parametrize("order", [ORDER, [*ORDER, 5, 2]], ids=["shuffled", "padded as distributed samplers do"])
def test_collected_predictions_are_a_manual_pass_in_order(classifier, verb, order):
    collected = CollectPredictions()
    getattr(trainer(collected), verb)(classifier, faces_loader(8, 2, order), verbose=False)
    expected = face_batch(8)
    assert collected.index.tolist() == expected["index"].tolist()
    assert collected.index.dtype == np.int64
    assert collected.label.tolist() == expected["label"].tolist()
    assert collected.label.dtype == np.uint8
    assert collected.probability.dtype == np.float32
    found = classifier.eval().probabilities(expected["image"]).numpy()
    assert len(np.unique(found)) == 16, "else the order would not show"
    np.testing.assert_allclose(collected.probability, found, rtol=1e-4, atol=1e-6)


def test_collected_from_images_without_labels(classifier):
    collected = CollectPredictions()
    trainer(collected).predict(classifier, faces_loader(8, order=ORDER, labels=False), return_predictions=False)
    assert collected.index.tolist() == face_batch(8)["index"].tolist()
    found = classifier.eval().probabilities(face_batch(8)["image"]).numpy()
    np.testing.assert_allclose(collected.probability, found, rtol=1e-4, atol=1e-6)
    assert collected.label.size == 0


def test_collected_anew_by_every_pass(classifier):
    collected = CollectPredictions()
    measuring = trainer(collected)
    measuring.validate(classifier, faces_loader(8, 2), verbose=False)
    measuring.validate(classifier, faces_loader(5, 2), verbose=False)
    assert len(collected.index) == len(collected.probability) == len(collected.label) == 5


def test_nothing_is_collected_while_fitting():
    collected = CollectPredictions()
    model = AttributeClassifier(["a"], "shufflenet_v2_x0_5", image_size=32)
    trainer(collected).fit(model, faces_loader(), faces_loader())
    assert collected.index.size == collected.probability.size == 0
    assert not collected._parts


# -- TrainingImageGrid -----------------------------------------------------------------------------------------------


def fit_with_grid(folder: Path | None, *callbacks: Callback) -> State:
    torch.manual_seed(0)
    augment = {"flip": 0.5, "shift": 0.1, "light": 0.2}
    model = AttributeClassifier(["a"], "shufflenet_v2_x0_5", image_size=32, lr=1e-2, augment=augment)
    logger = folder and TensorBoardLogger(folder, name="", version="", default_hp_metric=False)
    trainer(*callbacks, logger=logger or False, max_epochs=2, log_every_n_steps=1).fit(model, faces_loader())
    return state_of(model)


def test_the_grid_does_not_change_training(tmp_path):
    without, with_grid = fit_with_grid(None), fit_with_grid(tmp_path, TrainingImageGrid())
    for key, value in without.items():
        assert torch.equal(with_grid[key], value), key


def test_the_grid_shows_the_first_batch_as_loaded(tmp_path):
    fit_with_grid(tmp_path, TrainingImageGrid(max_images=2))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    [image] = events.Images("train/faces_loaded_then_augmented")
    assert image.step == 0
    grid = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB")).astype(int)
    first = face_batch(8)["image"][0].permute(1, 2, 0).numpy()
    assert abs(grid[2 : 2 + 36, 2 : 2 + 32] - first).max() <= 1
    assert grid.shape[:2] == (2 + 2 * (36 + 2), 2 + 2 * (32 + 2)), "two as loaded, and below them two as augmented"


def test_no_writer_without_tensorboard(tmp_path):
    assert tensorboard_writer(trainer()) is None
    logger = TensorBoardLogger(tmp_path, name="", version="")
    assert tensorboard_writer(trainer(logger=logger)) is logger.experiment


# -- guards ----------------------------------------------------------------------------------------------------------


def test_guard_lightning_averages_integers():
    model = Toy()
    trainer(EMAWeightAveraging(decay=0.5)).fit(model, numbers(7))
    tracked = model.network[1].num_batches_tracked.item()
    assert tracked != 7, "the workaround can go: EMAWeightAveraging keeps integer buffers"


def test_guard_lightning_confuses_the_models_when_stopped_in_validation(tmp_path):
    ema = get_ema_avg_fn(0.5)
    averaging = WeightAveraging(avg_fn=lambda a, c, n: ema(a, c, n) if c.is_floating_point() else c)
    model = fit_until_stopped(tmp_path, averaging, (1, 1))
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    raw = model.after_step[-1]
    confused = all(torch.equal(stored[key], value) for key, value in raw.items())
    assert confused, "the workaround can go: ExponentialMovingAverage.on_exception and _swap_models"


def test_guard_lightning_leaves_out_validated_batches(tmp_path):
    class Counting(Toy):
        def validation_step(self, batch, batch_idx):
            counted.append(self.current_epoch)
            super().validation_step(batch, batch_idx)

    fit_until_stopped(tmp_path, EpochLog(), (1, 1))
    counted: list[int] = []
    trainer(save_in(tmp_path), max_epochs=3).fit(
        Counting(), numbers(4), numbers(2), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert counted.count(1) == 1, "the workaround can go: AttributeClassifier.on_load_checkpoint"


def test_guard_lightning_keeps_metrics_of_older_epochs():
    class Look(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            seen.append("val/loss" in trainer.callback_metrics)

    seen: list[bool] = []
    trainer(Look(), max_epochs=4, check_val_every_n_epoch=2).fit(Toy(), numbers(), numbers())
    assert seen[3], "the workaround can go: EpochLog._validated"
