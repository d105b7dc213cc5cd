"""W&B, MLflow and a CSV file contain what a run has measured, also if the run was resumed."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image


@pytest.mark.slow
def test_a_run_is_stored_by_all_loggers_and_resumed_in_the_same_place(
    small: list[str], run_command, tiny_celeba: Path, tmp_path: Path, read_summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    loggers = ["logger=[wandb,mlflow,csv]", "logger.wandb.offline=true", "hydra.run.dir=run"]
    begun = run_command(*small, f"data.root={tiny_celeba}", *loggers, cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    assert "  send to W&B: wandb sync run/wandb/offline-run-*" in begun.stdout
    assert "  MLflow: mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db" in begun.stdout
    assert "tensorboard" not in begun.stdout.partition("run folder:")[2]
    folder, before = tmp_path / "run", read_summary(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    client = mlflow.MlflowClient("sqlite:///outputs/mlflow.db")
    [stored] = client.search_runs([client.get_experiment_by_name("smile").experiment_id])
    assert stored.info.status == "FINISHED"
    assert stored.data.metrics["best/test/accuracy"] == pytest.approx(before["metrics"]["test/accuracy"])
    assert stored.data.params["max_epochs"] == "2"
    assert stored.data.params["backbone"]
    figures = {Path(item.path).name for item in client.list_artifacts(stored.info.run_id, "figures")}
    assert figures == {path.name for path in (folder / "figures").glob("*.png")}
    tables = {Path(item.path).name for item in client.list_artifacts(stored.info.run_id, "tables")}
    assert tables == {path.name for path in (folder / "tables").glob("*.csv")}

    resumed = run_command("resume=run", "trainer.max_epochs=3", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    summary = read_summary(folder)
    history = pd.read_csv(folder / "tables" / "history.csv")
    for metric in ("val/accuracy", "train/loss"):
        found = client.get_metric_history(stored.info.run_id, metric)
        assert np.allclose([point.value for point in found], history[metric])
        rows = pd.read_csv(folder / "metrics.csv")[metric].dropna()
        assert np.allclose(rows, history[metric])
    assert client.get_run(stored.info.run_id).data.tags["changed.max_epochs"] == "3"

    wandb.teardown()  # Another process writes the files.
    first, second = sorted(folder.glob("wandb/offline-run-*"))
    identity = json.loads((folder / "loggers.json").read_text())["ids"]
    assert identity["mlflow"] == stored.info.run_id
    assert first.name.endswith(identity["wandb"])
    assert second.name.endswith(identity["wandb"])
    for name in ("learning_curves", "confusion_test"):
        [figure] = second.glob(f"files/media/images/figures/{name}_*.png")
        with Image.open(figure) as sent, Image.open(folder / "figures" / f"{name}.png") as written:
            assert np.array_equal(np.asarray(sent.convert("RGB")), np.asarray(written.convert("RGB")))
    [table] = second.glob("files/media/table/tables/attributes_test_*.json")
    [row] = json.loads(table.read_text())["data"]
    assert summary["metrics"]["test/accuracy"] in row
    text = (second / "files" / "configuration.md").read_text()
    assert "max_epochs: 3" in text
    assert str(Path.home()) not in text.replace(str(tmp_path), "")


@pytest.mark.slow
def test_the_jobs_of_a_sweep_are_separate_runs(
    small: list[str], run_command, tiny_celeba: Path, tmp_path: Path
) -> None:
    pytest.importorskip("wandb")
    mlflow = pytest.importorskip("mlflow")
    arguments = ["logger=[wandb,mlflow]", "logger.wandb.offline=true", "trainer.max_epochs=1", "model.lr=1e-3,3e-3"]
    uri = f"sqlite:///{tmp_path}/runs.db"
    arguments += [f"logger.mlflow.tracking_uri={uri}", "hydra.sweep.dir=sweep"]
    result = run_command("-m", *small, f"data.root={tiny_celeba}", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("smile").experiment_id], "tags.sweep = 'sweep'")
    assert sorted(run.info.run_name for run in runs) == ["0_lr-0.001", "1_lr-0.003"]
    assert {run.data.params["lr"] for run in runs} == {"0.001", "0.003"}
    assert len(list(tmp_path.glob("sweep/*/wandb/offline-run-*"))) == 2
