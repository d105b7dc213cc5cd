"""Metrics of every epoch, including epochs of interrupted and resumed runs."""

import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from celeba_lab.engine.callbacks import EpochLog
from celeba_lab.engine.callbacks.history import _TIME_HEADING, MetricLines
from celeba_lab.errors import UserError


class Stop(Callback):
    """Raise an error at the end of a batch or at the start of an epoch."""

    def __init__(self, epoch: int, batch: int | None = None) -> None:
        self.epoch, self.batch = epoch, batch

    def on_train_epoch_start(self, trainer, pl_module):
        if (trainer.current_epoch, None) == (self.epoch, self.batch):
            raise InterruptedError

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            raise InterruptedError


class Expected(Callback):
    """Record each epoch's metrics at the start of the next epoch, when all of them are available."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, float]] = {}

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch:
            self.rows[trainer.current_epoch] = {key: value.item() for key, value in trainer.callback_metrics.items()}

    def on_train_end(self, trainer, pl_module):
        self.on_train_epoch_start(trainer, pl_module)


def test_rows_contain_training_and_validation_metrics_of_the_same_epoch(capsys, toy, numbers, trainer):
    log, expected = EpochLog(), Expected()
    trainer(log, expected, max_epochs=3).fit(toy(), numbers(), numbers())
    assert log.rows == expected.rows
    assert list(log.rows) == [1, 2, 3]
    last_logged = [0.5, 1.5, 2.5]
    assert [row["train/accuracy"] for row in log.rows.values()] == last_logged
    assert all(set(row) == {"train/loss", "train/accuracy", "val/loss"} for row in log.rows.values())
    heading, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1/3", "2/3", "3/3"]
    end = heading.index("validation loss") + len("validation loss")
    assert lines[1][:end].endswith(f" {log.rows[2]['val/loss']:.4f}"), "each number should be aligned with its heading"


def test_rows_survive_a_resumed_run(tmp_path, capsys, toy, numbers, trainer, save_in):
    uninterrupted = EpochLog()
    trainer(uninterrupted, max_epochs=3).fit(toy(), numbers(), numbers())
    torch.manual_seed(0)
    trainer(EpochLog(), save_in(tmp_path), max_epochs=1).fit(toy(), numbers(), numbers())
    capsys.readouterr()
    log = EpochLog()
    trainer(log, save_in(tmp_path), max_epochs=3).fit(
        toy(), numbers(), numbers(), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert list(log.rows) == [1, 2, 3]
    assert all(set(row) == set(uninterrupted.rows[1]) for row in log.rows.values())
    assert log.rows[1] == pytest.approx(uninterrupted.rows[1])
    assert log.rows[3] == pytest.approx(uninterrupted.rows[3])
    heading, *lines = capsys.readouterr().out.splitlines()
    assert "train loss" in heading
    assert [line.split()[0] for line in lines] == ["2/3", "3/3"]


@pytest.mark.parametrize(
    "stop", [Stop(1, 0), Stop(1, 2), Stop(1), Stop(2)], ids=["first batch", "last", "start", "third"]
)
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_interrupted_epoch_does_not_repeat_the_previous_row(tmp_path, stop, before, toy, numbers, trainer, save_in):
    uninterrupted = EpochLog()
    trainer(uninterrupted, max_epochs=3).fit(toy(), numbers(), numbers())
    torch.manual_seed(0)
    log, saving = EpochLog(), save_in(tmp_path, save_on_exception=True)
    with pytest.raises(InterruptedError):
        trainer(*((stop, log) if before else (log, stop)), saving, max_epochs=3).fit(toy(), numbers(), numbers())
    log = EpochLog()
    trainer(log, save_in(tmp_path), max_epochs=3).fit(
        toy(), numbers(), numbers(), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert sorted(log.rows) == [1, 2, 3] or (stop.batch == 2 and sorted(log.rows) == [1, 3])
    assert log.rows[1] == pytest.approx(uninterrupted.rows[1])
    for epoch, row in log.rows.items():
        assert row.get("train/accuracy", epoch - 0.5) == epoch - 0.5
    if stop.batch is None:  # a run interrupted between two epochs has the same rows
        assert all(log.rows[epoch] == pytest.approx(row) for epoch, row in uninterrupted.rows.items())


def test_epochs_without_validation_have_no_validation_metrics(toy, numbers, trainer):
    log = EpochLog()
    trainer(log, max_epochs=4, check_val_every_n_epoch=2).fit(toy(), numbers(), numbers())
    assert ["val/loss" in row for row in log.rows.values()] == [False, True, False, True]
    assert all("train/loss" in row for row in log.rows.values())


def test_the_sanity_check_is_not_recorded_as_an_epoch(toy, numbers, trainer):
    log = EpochLog()
    trainer(log, max_epochs=1, num_sanity_val_steps=2).fit(toy(), numbers(), numbers())
    assert list(log.rows) == [1]
    log = EpochLog()
    trainer(log).validate(toy(), numbers(), verbose=False)
    assert log.rows == {}


def test_the_state_has_plain_types(tmp_path, toy, numbers, trainer, save_in):
    trainer(EpochLog(), save_in(tmp_path), max_epochs=1).fit(toy(), numbers(), numbers())
    [state] = [
        state
        for key, state in torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"].items()
        if key == "EpochLog"
    ]
    assert set(state["rows"]) == {1}
    assert all(type(value) is float for value in state["rows"][1].values())


def test_the_table_is_written_after_each_epoch(tmp_path, toy, numbers, trainer):
    path = tmp_path / "tables" / "history.csv"
    log = EpochLog(path=str(path))
    with pytest.raises(InterruptedError):
        trainer(log, Stop(2, 1), max_epochs=4).fit(toy(), numbers(), numbers())
    pd.testing.assert_frame_equal(pd.read_csv(path), log.table())
    assert log.table()["epoch"].tolist() == [1, 2]


def test_names_of_metrics_are_no_formulas_in_the_table(tmp_path, toy, numbers, trainer):
    path = tmp_path / "tables" / "history.csv"
    log = EpochLog(path=str(path))
    log.rows = {1: {"=cmd|x": 0.5}}
    trainer(log, max_epochs=2).fit(toy(), numbers(), numbers())
    assert path.read_text().startswith("epoch,'=cmd|x,")


# -- guards ----------------------------------------------------------------------------------------------------------


def test_guard_lightning_skips_validated_batches(tmp_path, toy, numbers, trainer, save_in, fit_until_stopped):
    class Counting(toy):
        def validation_step(self, batch, batch_idx):
            counted.append(self.current_epoch)
            super().validation_step(batch, batch_idx)

    fit_until_stopped(tmp_path, EpochLog(), (1, 1))
    counted: list[int] = []
    trainer(save_in(tmp_path), max_epochs=3).fit(
        Counting(), numbers(4), numbers(2), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    assert counted.count(1) == 1, "the workaround is no longer needed: AttributeClassifier.on_load_checkpoint"


def test_guard_lightning_keeps_metrics_of_older_epochs(toy, numbers, trainer):
    class Look(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            seen.append("val/loss" in trainer.callback_metrics)

    seen: list[bool] = []
    trainer(Look(), max_epochs=4, check_val_every_n_epoch=2).fit(toy(), numbers(), numbers())
    assert seen[3], "the workaround is no longer needed: EpochLog._validated"


CLASSIFIER = ["train/loss", "train/accuracy", "val/loss", "val/accuracy", "train/images_per_second"]
GAN = ["train/generator_loss", "train/discriminator_loss", "train/D(x)", "train/D(G(z))", "train/images_per_second"]


@pytest.mark.parametrize("metrics", [CLASSIFIER, GAN])
def test_epoch_rows_are_aligned_and_fit_80_columns(metrics):
    lines = MetricLines("  epoch", metrics)
    row = lines.row("123/250", dict.fromkeys(metrics, 12.3456))
    assert len(lines.heading()) == len(row)
    assert len(lines.heading() + _TIME_HEADING) <= 80


def test_a_missing_metric_leaves_its_column_empty():
    lines = MetricLines("epoch", ["train/loss", "val/loss", "val/accuracy"])
    assert lines.row("1/4", {"train/loss": 0.5, "val/accuracy": 0.75}).split() == ["1/4", "0.5000", "0.7500"]
    assert lines.row("1/4", {"val/accuracy": 0.75}).index("0.7500") + 6 == len(lines.heading())
    assert "undefined" in lines.row("1/4", {"val/loss": float("nan")})


@pytest.mark.parametrize(
    "row",
    [
        {"a\nb": 0.5},
        {"\x1b[2J": 0.5},
        {"": 0.5},
        {"a" * 999: 0.5},
        {3: 0.5},
        {"val/loss": "=cmd"},
        {"x": None},
    ],
)
def test_rows_of_a_checkpoint_that_are_not_metrics_are_rejected(row: dict) -> None:
    """They would be written to a table."""
    with pytest.raises(ValueError, match="is not a metric of an epoch"):
        EpochLog().load_state_dict({"rows": {1: {"val/accuracy/5_o_Clock_Shadow": 0.5, "train/D(G(z))": 1}, 2: row}})


def test_metrics_of_other_callbacks_can_have_any_printable_name(tmp_path) -> None:
    row = {"val/top-1 [%]": 0.5, "val/f1,macro": 0.25, "=cmd": 1.0}
    log = EpochLog(path=str(tmp_path / "history.csv"))
    log.load_state_dict({"rows": {1: row}})
    assert log.rows == {1: row}


def test_the_folder_of_the_table_is_created_or_refused_before_training(tmp_path, toy, numbers, trainer):
    trainer(EpochLog(path=str(tmp_path / "a" / "b" / "history.csv"))).fit(toy(), numbers(2))
    assert (tmp_path / "a" / "b" / "history.csv").is_file()
    model = toy()
    with pytest.raises(UserError, match=r"No files can be written to the folder /proc/x \("):
        trainer(EpochLog(path="/proc/x/history.csv")).fit(model, numbers(2))
    assert model.after_step == []


@pytest.mark.parametrize("rows", [5, {"x": {}}, {1: {"val/loss": "low"}}, {1: 3}])
def test_invalid_rows_in_a_checkpoint_are_rejected(rows: object) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        EpochLog().load_state_dict({"rows": rows})
