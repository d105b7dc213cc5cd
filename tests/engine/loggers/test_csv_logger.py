"""The table of metrics contains every row once, whenever a run is stopped."""

import pandas as pd
import torch

from celeba_lab.engine.callbacks import EventPosition, LastCheckpoint
from celeba_lab.engine.loggers import CSVLogger
from celeba_lab.runs.events import EVENTS_KEY


def fit(toy, numbers, trainer, folder, epochs, resumed=False):
    last = folder / "last.ckpt"
    logger = CSVLogger(str(folder), flush_logs_every_n_steps=2)
    if resumed:
        logger.keep_rows(torch.load(last, weights_only=True)[EVENTS_KEY]["rows"])
    built = trainer(EventPosition(), LastCheckpoint(folder), max_epochs=epochs, logger=logger, log_every_n_steps=1)
    torch.manual_seed(1)
    built.fit(toy(), numbers(3), ckpt_path=last if resumed else None, weights_only=True if resumed else None)
    logger.close(is_finished=True)


def test_a_resumed_run_writes_the_same_rows(toy, numbers, trainer, tmp_path):
    fit(toy, numbers, trainer, tmp_path / "whole", 3)
    fit(toy, numbers, trainer, tmp_path / "parts", 2)
    with (tmp_path / "parts" / "metrics.csv").open("a") as file:
        file.write("9,9,9\n9")  # is written after the checkpoint by a process that is killed
    fit(toy, numbers, trainer, tmp_path / "parts", 3, resumed=True)
    whole, parts = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "parts"))
    assert whole["epoch"].tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(parts, whole)


def test_the_table_is_complete_if_no_epoch_is_left(toy, numbers, trainer, tmp_path):
    fit(toy, numbers, trainer, tmp_path, 2)
    before = (tmp_path / "metrics.csv").read_bytes()
    fit(toy, numbers, trainer, tmp_path, 2, resumed=True)
    assert (tmp_path / "metrics.csv").read_bytes() == before


def test_new_columns_keep_earlier_rows(tmp_path):
    logger = CSVLogger(str(tmp_path), flush_logs_every_n_steps=1)
    logger.log_metrics({"b": -0.5}, step=1)
    logger.log_metrics({"a": 0.25}, step=2)
    logger.keep_rows(0)
    logger.close(is_finished=True)
    assert (tmp_path / "metrics.csv").read_text().split() == ["a,b,step", ",-0.5,1", "0.25,,2"]
    again = CSVLogger(str(tmp_path))
    again.keep_rows(0)
    again.log_metrics({"c": 1.0}, step=1)
    again.close(is_finished=True)
    assert (tmp_path / "metrics.csv").read_text().split() == ["c,step", "1.0,1"]
