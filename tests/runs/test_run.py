"""What a run leaves behind: whole files or none, readable by other programs."""

import io
import json
import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from celeba_lab.runs.run import RunFolder


@pytest.fixture
def logged(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, TensorBoardLogger(tmp_path, name="", version="", default_hp_metric=False))


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0})
    accumulator.Reload()
    return accumulator


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def small_figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1], [1, 0])
    return figure


# -- tables and figures ----------------------------------------------------------------------------------------------


def test_a_table_is_read_back(tmp_path):
    frame = pd.DataFrame({"attribute": ["Smiling", "5_o_Clock_Shadow"], "auroc": [0.9871234, np.nan], "images": [3, 4]})
    path = RunFolder(tmp_path).table("attributes_val", frame)
    assert path == tmp_path / "tables/attributes_val.csv"
    assert path.read_text().splitlines()[2] == "5_o_Clock_Shadow,,4"
    pd.testing.assert_frame_equal(pd.read_csv(path), frame)


def test_a_figure_is_a_png_of_150_dots_per_inch(tmp_path):
    path = RunFolder(tmp_path).figure("roc_val", small_figure())
    assert path == tmp_path / "figures/roc_val.png"
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == (300, 150)


def test_a_figure_goes_to_tensorboard_too(logged):
    logged.figure("roc_val", small_figure(), step=7)
    logged.logger.finalize("success")
    [image] = events(logged.path).Images("figures/roc_val")
    assert image.step == 7
    with Image.open(io.BytesIO(image.encoded_image_string)) as shown:
        assert np.asarray(shown.convert("L")).std() > 0


def test_hyperparameters_stand_beside_their_metrics(logged):
    hyperparameters = {
        "lr": 1e-3,
        "weights": None,
        "attributes": ["Smiling"],
        "augment": {"flip": 0.5},
        "compile": False,
    }
    logged.log_hyperparameters(hyperparameters, {"val/accuracy": 0.9, "val/auroc": math.nan}, step=5)
    logged.logger.finalize("success")
    found = events(logged.path)
    assert [(event.step, round(event.value, 3)) for event in found.Scalars("best/val/accuracy")] == [(5, 0.9)]
    assert "best/val/auroc" not in found.Tags()["scalars"]
    start = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"weights" in start
    assert b"none" in start


def test_without_a_logger_only_files_are_written(tmp_path):
    run = RunFolder(tmp_path)
    assert run.writer is None
    run.log_hyperparameters({"lr": 1e-3}, {"val/loss": 0.1}, step=1)
    run.figure("roc_val", small_figure())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["roc_val.png"]


# -- summary.json ----------------------------------------------------------------------------------------------------


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_the_summary_is_valid_json(tmp_path):
    run = RunFolder(tmp_path)
    with run.timed("fit"):
        pass
    path = run.summary(
        experiment="smile",
        metrics={"val/auroc": math.nan, "val/loss": math.inf, "val/accuracy": 0.9},
        data={"images": {"train": 6400}, "name": "CelebA – Gesichter"},
        listed=[1.0, math.nan, (2, -math.inf)],
        nothing=None,
    )
    assert path == tmp_path / "summary.json"
    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    assert found["metrics"] == {"val/auroc": None, "val/loss": None, "val/accuracy": 0.9}
    assert found["data"] == {"images": {"train": 6400}, "name": "CelebA – Gesichter"}
    assert found["listed"] == [1.0, None, [2, None]]
    assert found["nothing"] is None
    assert found["experiment"] == "smile"
    assert set(found["seconds"]) == {"fit"}
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert "git" in found


def test_a_summary_that_cannot_be_written_leaves_none(tmp_path):
    with pytest.raises(TypeError):
        RunFolder(tmp_path).summary(model=object())
    assert names_in(tmp_path) == []


def test_seconds_add_up(tmp_path):
    run = RunFolder(tmp_path)
    for _ in range(2):
        with run.timed("val"):
            time.sleep(0.02)
    with pytest.raises(ZeroDivisionError), run.timed("failed"):
        _ = 1 / 0
    assert 0.04 <= run.seconds["val"] < 2
    assert "failed" in run.seconds
