"""W&B receives everything, and nothing that the user has not asked for. Nothing is sent in these tests."""

import json
import socket
import sys
from pathlib import Path

import pandas as pd
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from celeba_lab.engine.loggers import WandbLogger
from celeba_lab.errors import SettingError, UserError
from celeba_lab.runs.job import Job
from celeba_lab.runs.logger_ids import read_id, write_id
from celeba_lab.runs.loggers import MOST_ROWS

wandb = pytest.importorskip("wandb")


def test_everything_is_stored_offline_and_a_resumed_run_goes_on(tmp_path: Path, png: bytes, read_wandb) -> None:
    folder = tmp_path / "sweep" / "0_lr-0.1"
    folder.mkdir(parents=True)
    Job(number=0, varied={"model.lr": "0.1"}, state="running").write(folder)
    logger = WandbLogger(str(folder), offline=True, tags=["smile"])
    logger.log_metrics({"val/accuracy": 0.5}, step=3)
    logger.send_figure("roc", png, 3)
    logger.send_table("scores", pd.DataFrame({"attribute": ["Smiling", "Male"], "auroc": [0.75, None]}))
    logger.send_table("predictions", pd.DataFrame({"row": range(MOST_ROWS + 1)}))  # has too many rows
    logger.send_text("configuration", "seed: 1", 0)
    logger.send_results({"lr": 0.1, "attributes": ["Smiling"]}, {"test/accuracy": 0.25}, 3, {"lr"})
    logger.close(is_finished=True)
    resumed = WandbLogger(str(folder), offline=True)
    resumed.log_metrics({"val/accuracy": 0.75}, step=6)
    resumed.close(is_finished=False)
    run, later = read_wandb(folder)

    named = (run.run.run_id, run.run.display_name, run.run.run_group, list(run.run.tags), run.run.project)
    assert named == (later.run.run_id, "0_lr-0.1", "sweep", ["smile"], "celeba_lab")
    assert run.history[0]["val/accuracy"] == 0.5
    assert (later.history[0]["val/accuracy"], later.history[0]["trainer/global_step"]) == (0.75, 6)
    assert {key: run.config[key] for key in ("lr", "attributes")} == {"lr": 0.1, "attributes": ["Smiling"]}
    assert run.summary["best/test/accuracy"] == 0.25
    [figure] = run.folder.glob("media/images/figures/roc*.png")
    with Image.open(figure) as image:
        assert image.getpixel((1, 1)) == (255, 0, 0)
    [table] = run.folder.glob("media/table/tables/*.json")
    content = json.loads(table.read_text())
    assert content["columns"] == ["attribute", "auroc"]
    assert content["data"] == [["Smiling", 0.75], ["Male", None]]
    assert (run.folder / "configuration.md").read_text() == "seed: 1"
    assert (run.exit_code, later.exit_code) == (0, 1)

    assert run.run.host != socket.gethostname()
    assert not run.kinds & {"environment", "stats", "output", "output_raw"}
    assert not run.run.HasField("git")
    assert not [path.name for path in run.folder.iterdir() if path.name not in ("configuration.md", "media")]
    assert not [path for path in folder.rglob("*") if path.is_symlink()]


@pytest.fixture
def logged_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def login() -> None:
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr("wandb.login", login)


@pytest.mark.usefixtures("logged_out")
def test_a_run_online_needs_a_login(tmp_path: Path) -> None:
    sentence = r"offline=false needs an account of W&B \(No API key configured\)\. To store the run without sending it"
    with pytest.raises(SettingError, match=sentence):
        WandbLogger(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_checkpoints_cannot_be_sent_offline(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="log_model=true cannot be combined with offline=true"):
        WandbLogger(str(tmp_path), offline=True, log_model=True)


def test_an_error_of_the_service_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise wandb.errors.CommError("permission\ndenied")

    monkeypatch.setattr("wandb.init", refuse)
    logger = WandbLogger(str(tmp_path), offline=True)
    with pytest.raises(UserError, match=r"^W&B could not be used \(permission denied\)\. Check the connection"):
        logger.log_metrics({"val/loss": 1.0}, 1)


@pytest.mark.parametrize("method", ["log_metrics", "log_hyperparams", "_scan_and_log_checkpoints"])
def test_an_error_of_the_service_during_training_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: object) -> None:
        raise wandb.errors.CommError("connection lost")

    monkeypatch.setattr(f"lightning.pytorch.loggers.WandbLogger.{method}", fail)
    logger = WandbLogger(str(tmp_path), offline=True)
    calls = {
        "log_metrics": lambda: logger.log_metrics({"val/loss": 1.0}, 1),
        "log_hyperparams": lambda: logger.log_hyperparams({"lr": 0.1}),
        "_scan_and_log_checkpoints": lambda: logger._scan_and_log_checkpoints(ModelCheckpoint()),
    }
    with pytest.raises(UserError, match=r"^W&B could not be used \(connection lost\)\. Check the connection"):
        calls[method]()


def test_a_withdrawn_run_keeps_the_ids_of_other_services(tmp_path: Path) -> None:
    write_id(tmp_path, "mlflow", "earlier")
    WandbLogger(str(tmp_path), offline=True).withdraw()
    assert read_id(tmp_path, "mlflow") == "earlier"


def test_the_command_that_installs_wandb_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"Install them with: pip install 'celeba-lab\[wandb\]'"):
        WandbLogger(str(tmp_path), offline=True)
