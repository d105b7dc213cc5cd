"""Files and logs of a run are complete and can be read by other programs."""

import io
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from celeba_lab.engine.loggers import TensorBoardLogger
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.folder import PAGE, RunFolder
from celeba_lab.runs.job import Job
from celeba_lab.runs.run import Run
from celeba_lab.runs.summary import Summary


@pytest.fixture
def logged(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, [TensorBoardLogger(str(tmp_path))])


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0})
    accumulator.Reload()
    return accumulator


def shown_in_hparams(folder: Path) -> Any:
    """Return the columns of the HParams dashboard, as TensorBoard itself reads them."""
    content = events(folder).SummaryMetadata("_hparams_/experiment").plugin_data.content
    return metadata.parse_experiment_plugin_data(content)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def small_figure() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1], [1, 0])
    return figure


# -- tables and figures ----------------------------------------------------------------------------------------------


def test_a_table_can_be_read_back(tmp_path):
    frame = pd.DataFrame({"attribute": ["Smiling", "5_o_Clock_Shadow"], "auroc": [0.9871234, np.nan], "images": [3, 4]})
    path = RunFolder(tmp_path).table("attributes_val", frame)
    assert path == tmp_path / "tables/attributes_val.csv"
    assert path.read_text().splitlines()[2] == "5_o_Clock_Shadow,,4"
    pd.testing.assert_frame_equal(pd.read_csv(path), frame)


def test_names_of_columns_are_no_formulas(tmp_path):
    """The names of runs are columns of a comparison."""
    path = RunFolder(tmp_path).matrix("settings", np.eye(1), ["=row"], ["=HYPERLINK(1)"], corner="-setting")
    assert path.read_text().splitlines() == ["'-setting,'=HYPERLINK(1)", "'=row,1.0"]


def test_a_figure_is_saved_as_png_with_150_dots_per_inch(tmp_path, monkeypatch, figure_dpi):
    monkeypatch.setattr("celeba_lab.runs.drawing._DPI", figure_dpi)
    path = RunFolder(tmp_path).figure("roc_val", small_figure())
    assert path == tmp_path / "figures/roc_val.png"
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == (300, 150)


def test_a_figure_is_also_logged_to_tensorboard(logged):
    logged.figure("roc_val", small_figure(), step=7)
    logged.loggers.close(is_finished=True)
    [image] = events(logged.path).Images("~~figures/roc_val")
    assert image.step == 7
    with Image.open(io.BytesIO(image.encoded_image_string)) as shown:
        assert np.asarray(shown.convert("L")).std() > 0


def test_hyperparameters_are_logged_with_their_metrics(logged):
    hyperparameters = {
        "lr": 1e-3,
        "weights": None,
        "attributes": ["Smiling"],
        "augment": {"flip": 0.5},
        "compile": False,
    }
    logged.log_hyperparameters(hyperparameters, {"val/accuracy": 0.9, "val/auroc": math.nan}, step=5)
    logged.loggers.close(is_finished=True)
    found = events(logged.path)
    assert [(event.step, round(event.value, 3)) for event in found.Scalars("~~hparams/val/accuracy")] == [(5, 0.9)]
    assert "~~hparams/val/auroc" not in found.Tags()["scalars"]
    start = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"weights" in start
    assert b"none" in start


def test_the_settings_that_a_sweep_varies_come_first(logged):
    Job(number=0, varied={"data.limit": "64", "model.lr": "0.1"}, state="running").write(logged.path)
    logged.log_hyperparameters({"backbone": "x", "lr": 0.1}, {"train/loss": 0.1, "test/loss": 0.2, "val/accuracy": 0.9})
    logged.loggers.close(is_finished=True)
    experiment = shown_in_hparams(logged.path)
    assert [(info.name, info.differs) for info in experiment.hparam_infos] == [
        ("limit", True), ("lr", True), ("backbone", False),
    ]  # fmt: skip
    assert [info.display_name for info in experiment.metric_infos] == ["val/accuracy", "test/loss", "train/loss"]


def test_the_settings_on_the_command_line_come_first(tmp_path):
    run = Run(tmp_path, "train", SETTINGS, ["model.lr=0.1", "+data=x"], loggers=tensorboard_of(tmp_path))
    run.finish({"val/accuracy": 0.9}, hyperparameters={"backbone": "x", "lr": 0.1})
    infos = shown_in_hparams(tmp_path).hparam_infos
    assert [(info.name, info.differs) for info in infos] == [("lr", True), ("backbone", False)]


def test_without_a_logger_only_files_are_written(tmp_path):
    run = RunFolder(tmp_path)
    assert run.writer is None
    run.log_hyperparameters({"lr": 1e-3}, {"val/loss": 0.1}, step=1)
    run.figure("roc_val", small_figure())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["roc_val.png"]


def test_the_seconds_of_a_repeated_phase_are_added(tmp_path, monkeypatch):
    monkeypatch.setattr("celeba_lab.runs.folder.perf_counter", iter([0, 2, 10, 13.5, 20, 21]).__next__)
    run = RunFolder(tmp_path)
    for _ in range(2):
        with run.timed("val"):
            pass
    with pytest.raises(ZeroDivisionError), run.timed("failed"):
        _ = 1 / 0
    assert run.seconds == {"val": 5.5, "failed": 1}


# -- a complete run --------------------------------------------------------------------------------------------------

SETTINGS = {
    "name": "smile",
    "seed": 3,
    "data": {"name": "celeba"},
    "task": {"split": "val", "report": {"bins": 15}},
    "logger": None,
}


def run_in(folder: Path, **changes: Any) -> Run:
    return Run(folder, "evaluate", SETTINGS | changes)


def tensorboard_of(folder: Path) -> DictConfig:
    node = {"_target_": "celeba_lab.engine.loggers.TensorBoardLogger", "save_dir": str(folder)}
    return OmegaConf.create({"tensorboard": node})


def test_a_run_records_its_settings(
    command: Callable[..., tuple[int, str, str]], tiny_celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Run] = []
    monkeypatch.setattr("celeba_lab.tasks.cooccurrence.sample_labels", lambda run, *_: opened.append(run) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        command("experiment=cooccurrence", "seed=7", "data=celeba", f"data.root={tiny_celeba}", "task.fraction=0.5")
    [run] = opened
    assert (run.experiment, run.task, run.seed) == ("cooccurrence", "cooccurrence", 7)
    assert run.data_overrides == ["data=celeba", f"data.root={tiny_celeba}"]
    assert run.settings["task"]["fraction"] == 0.5
    assert run.settings["logger"]["tensorboard"]["save_dir"] == str(run.path), "interpolations must be resolved"
    assert run.path.parent == tmp_path / "outputs" / "cooccurrence"
    assert not list(run.path.rglob("events.out.*")), "no event file may exist before the first event"


def test_paths_that_are_not_utf8_are_refused(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    code, _, err = command("experiment=cooccurrence", "data=synthetic", f"data.root='{folder}'")
    assert code == 1
    assert err.endswith(f"The name of {tmp_path}/\\udcff is not UTF-8 text. Rename the file or folder.\n")


def test_a_finished_run_writes_a_summary_and_prints_its_folder(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    run = run_in(tmp_path / "run")
    run.figure("roc", small_figure())
    with run.timed("val"):
        pass
    metrics = {"val/accuracy": 0.9, "val/auroc": math.nan}
    returned = run.finish(
        metrics,
        data={"name": "celeba", "root": "faces", "images": {"val": 8}},
        checkpoint=tmp_path / "best.ckpt",
        details={"ensemble": []},
        next_commands=[("predict", "python -m celeba_lab task=predict [a]")],
    )
    assert returned["val/accuracy"] == 0.9
    summary = Summary.read(run.path)
    assert (summary.experiment, summary.task, summary.seed) == ("smile", "evaluate", 3)
    assert summary.checkpoint == "best.ckpt", "the path must be relative to the working directory"
    assert summary.device == device_name(torch.device("cpu"))
    assert set(summary.seconds) == {"val"}
    assert summary.versions["torch"] == torch.__version__.partition("+")[0]
    assert summary.details["ensemble"] == []
    assert summary.details["threads"]["cores"] >= 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "run folder: run",
        "  figure: run/figures/roc.png",
        "  predict: python -m celeba_lab task=predict [a]",
    ]


def test_control_characters_in_the_names_of_folders_are_escaped(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "a\x1b[31mb"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "c\x1b[0m.png").touch()
    run_in(folder).show([("next", "x\x1b[2J")])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert all(name in printed for name in (r"a\x1b[31mb", r"c\x1b[0m.png", r"x\x1b[2J"))


def test_the_report_page_is_printed_instead_of_the_figures(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    run = run_in(tmp_path)
    run.figure("roc", small_figure())
    (tmp_path / PAGE).touch()
    run.show()
    assert capsys.readouterr().out.splitlines() == ["run folder: .", f"  report: {PAGE}"]


def test_an_unknown_summary_field_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="chekpoint"):
        run_in(tmp_path).finish({"val/accuracy": 0.9}, chekpoint="best.ckpt")
    assert names_in(tmp_path) == []


def test_hparams_contains_the_settings_of_the_task_and_the_overall_metrics(tmp_path: Path) -> None:
    run = Run(tmp_path, "evaluate", SETTINGS, loggers=tensorboard_of(tmp_path))
    run.finish({"val/accuracy": 0.9, "val/accuracy/Smiling": 0.8})
    found = events(tmp_path)
    assert found.Tags()["scalars"] == ["~~hparams/val/accuracy"]
    start = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    for name in (b"seed", b"data", b"split", b"report.bins"):
        assert name in start
    [text] = found.Tensors("configuration/text_summary")
    assert b"name: smile" in text.tensor_proto.string_val[0]


def test_hparams_contains_the_hyperparameters_of_the_task(tmp_path: Path) -> None:
    run = Run(tmp_path, "train", SETTINGS, loggers=tensorboard_of(tmp_path))
    run.finish({"val/accuracy": 0.9, "val/accuracy/Smiling": 0.8}, hyperparameters={"lr": 1e-3}, step=12)
    found = events(tmp_path)
    assert found.Tags()["scalars"] == ["~~hparams/val/accuracy", "~~hparams/val/accuracy/Smiling"]
    assert found.Scalars("~~hparams/val/accuracy")[0].step == 12
    start = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"lr" in start
    assert b"split" not in start


def test_a_run_cannot_be_finished_twice(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.finish({"val/accuracy": 0.9})
    with pytest.raises(RuntimeError, match="has already been finished"):
        run.finish({"val/accuracy": 0.1})
    assert Summary.read(tmp_path).metrics == {"val/accuracy": 0.9}


def test_a_run_is_finished_although_a_logger_cannot_be_closed(tmp_path: Path, capsys, monkeypatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("the server\nis down")

    monkeypatch.setattr(TensorBoardLogger, "finalize", fail)
    loggers = tensorboard_of(tmp_path)
    loggers.csv = {"_target_": "celeba_lab.engine.loggers.CSVLogger", "save_dir": str(tmp_path)}
    run = Run(tmp_path, "evaluate", SETTINGS, loggers=loggers)
    for logger in run.loggers:
        logger.log_metrics({"val/loss": 0.5}, step=1)
    assert run.finish({"val/accuracy": 0.9}) == {"val/accuracy": 0.9}
    assert Summary.read(tmp_path).metrics == {"val/accuracy": 0.9}
    assert (tmp_path / "metrics.csv").read_text().split() == ["step,val/loss", "1,0.5"], "the other logger is closed"
    sentence = (
        "TensorBoardLogger could not be closed (OSError: the server is down), so its last values may be lost, but the"
        " results in the run folder are complete."
    )
    assert capsys.readouterr().out.splitlines()[-1] == sentence


def test_a_run_without_data_can_be_finished(tmp_path: Path) -> None:
    Run(tmp_path, "compare", SETTINGS | {"data": None}, loggers=tensorboard_of(tmp_path)).finish({"runs": 2.0})
    assert Summary.read(tmp_path).data is None


@pytest.mark.parametrize(
    ("last", "path"),
    [
        (None, "checkpoints/last.ckpt"),
        ({"dirpath": None}, "checkpoints/last.ckpt"),
        ({"filename": "latest"}, "checkpoints/latest.ckpt"),
        ({"dirpath": "/scratch", "filename": "latest"}, "/scratch/latest.ckpt"),
    ],
)
def test_the_last_checkpoint_is_where_the_settings_say(tmp_path: Path, last: dict | None, path: str) -> None:
    assert run_in(tmp_path, callbacks={"last": last}).last_checkpoint == tmp_path / path
    assert run_in(tmp_path, callbacks=None).last_checkpoint == tmp_path / "checkpoints" / "last.ckpt"
