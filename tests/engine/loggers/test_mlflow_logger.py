"""MLflow's database contains everything."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from celeba_lab.engine.loggers import MLFlowLogger
from celeba_lab.errors import SettingError, UserError
from celeba_lab.runs.job import Job
from celeba_lab.runs.logger_ids import write_id
from celeba_lab.runs.loggers import MOST_ROWS

pytest.importorskip("mlflow")

from mlflow.exceptions import MlflowException
from requests import RequestException


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., MLFlowLogger]:
    """``build(**settings)``: a logger in the default database in the current folder, which is a temporary folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "sweep" / "run").mkdir(parents=True)
    return lambda **settings: MLFlowLogger("sweep/run", **settings)


def text_of(client: Any, run: Any, path: str) -> str:
    return Path(client.download_artifacts(run.info.run_id, path)).read_text()


def test_everything_is_stored_and_a_resumed_run_goes_on(build, tmp_path: Path, png: bytes) -> None:
    Job(number=0, varied={"model.lr": "0.1"}, state="running").write(Path("sweep/run"))
    logger = build(experiment_name="gan")
    logger.log_metrics({"train/D(G(z))": 0.5, "train/loss": 2.0}, step=3)
    logger.send_figure("roc", png, 3)
    logger.send_image("samples", png, 3)
    logger.send_table("scores", pd.DataFrame({"attribute": ["Smiling"], "auroc": [0.75]}))
    logger.send_table("predictions", pd.DataFrame({"row": range(MOST_ROWS + 1)}))  # has too many rows
    logger.send_text("configuration", "seed: 1", 0)
    logger.send_results({"lr": 0.1, "max_epochs": 1}, {"test/accuracy": 0.25}, 3, {"lr"})
    logger.close(is_finished=True)
    resumed = build(experiment_name="gan")
    resumed.log_metrics({"train/loss": 1.0}, step=6)
    resumed.send_results({"lr": 0.1, "max_epochs": 2}, {"test/accuracy": 0.5}, 6)
    resumed.close(is_finished=False)

    client = resumed.experiment
    experiment = client.get_experiment_by_name("gan")
    [run] = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status, run.data.tags["sweep"]) == ("run", "FAILED", "sweep")
    assert run.data.params == {"lr": "0.1", "max_epochs": "1"}
    # MLflow itself adds the name of the run.
    assert set(run.data.tags) == {"sweep", "changed.max_epochs", "mlflow.runName", "mlflow.loggedImages"}
    assert run.info.user_id == "unknown"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(3, 2.0), (6, 1.0)]
    assert run.data.metrics["train/D_G_z"] == 0.5
    assert run.data.metrics["best/test/accuracy"] == 0.5
    assert text_of(client, run, "tables/scores.csv") == "attribute,auroc\nSmiling,0.75\n"
    assert [item.path for item in client.list_artifacts(run.info.run_id, "tables")] == ["tables/scores.csv"]
    assert text_of(client, run, "configuration.md") == "seed: 1"
    with Image.open(client.download_artifacts(run.info.run_id, "figures/roc.png")) as image:
        assert image.getpixel((1, 1)) == (255, 0, 0)
    assert any("samples+step+3" in item.path for item in client.list_artifacts(run.info.run_id, "images"))
    assert sorted(path.name for path in Path("outputs").iterdir()) == [
        "mlflow.db",
        "mlflow.db.lock",
        "mlflow_artifacts",
    ]
    assert json.loads(Path("sweep/run/loggers.json").read_text())["ids"] == {"mlflow": run.info.run_id}
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"

    write_id(Path("sweep/refused"), "wandb", "earlier")
    new = MLFlowLogger("sweep/refused", experiment_name="gan")
    new.log_metrics({"train/loss": 1.0}, step=1)
    new.withdraw()
    assert len(client.search_runs([experiment.experiment_id])) == 1
    assert json.loads(Path("sweep/refused/loggers.json").read_text())["ids"] == {"wandb": "earlier"}


@pytest.mark.parametrize("error", [MlflowException, RequestException])
def test_checkpoints_that_the_server_refuses_are_explained(build, monkeypatch: pytest.MonkeyPatch, error) -> None:
    def refuse(*_: object) -> None:
        raise error("server\nis down")

    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger._scan_and_log_checkpoints", refuse)
    logger = build(log_model=True)
    logger._initialized, logger._checkpoint_callback = True, ModelCheckpoint()
    with pytest.raises(UserError, match=r"^MLflow could not store the run \(server is down\)\.$"):
        logger.finalize()


@pytest.mark.parametrize("uri", ["htp://server", "file:./mlruns", "postgresql://server/runs"])
def test_an_address_that_cannot_be_used_is_explained(build, uri: str) -> None:
    with pytest.raises(SettingError, match=r"^tracking_uri=\S+ cannot be used \(.+\)\. Give the address of a server"):
        build(tracking_uri=uri)


def test_a_server_that_does_not_answer_is_explained(build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(SettingError, match=r"^tracking_uri=http://127\.0\.0\.1:9 cannot be used \(API request to"):
        build()


def test_the_command_that_installs_mlflow_is_given(build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match=r"Install them with: pip install 'celeba-lab\[mlflow\]'"):
        build()
