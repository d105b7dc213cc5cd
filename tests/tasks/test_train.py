"""``task=train``: its output, its files, and what happens when it is interrupted and resumed."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from celeba_lab.files import config_directory
from celeba_lab.models.classifier.metrics import metric_names
from celeba_lab.models.classifier.module import AttributeClassifier

# The benchmark runs other commands and is tested on its own.
EXPERIMENTS = sorted({path.stem for path in config_directory().glob("experiment/*.yaml")} - {"benchmark"})
# A report without the parts that take most of the time of a small run
BRIEF = ["task.report.tune=null", "task.report.estimator=null", "task.report.mistakes=0", "task.report.page=false"]
LARGE = ("attributes",)  # Draws 40 panels in each of its figures.
FIGURES = ["accuracy", "confusion", "mistakes", "precision_recall", "roc", "scores"]


def test_the_first_line_names_the_data(trained, tiny_celeba: Path) -> None:
    assert trained.printed.splitlines()[0].startswith("data: celeba in ")
    assert str(tiny_celeba) in trained.printed.replace("\n", "")


def test_the_terminal_shows_settings_progress_and_results(trained) -> None:
    text = trained.printed
    assert re.search(r"^changed: experiment=smile .*all settings: outputs/smile/.*config.yaml", text, re.MULTILINE)
    assert "recipe: default: Four epochs" in text
    assert "images: 32 train + 8 validation + 8 test at 32 x 32 pixels" in text
    assert "model: mobilenet_v2, 32 x 32 pixels, 1 attribute, 2.2 million parameters" in text
    assert "epoch  train loss  accuracy  validation loss  accuracy     time" in text
    assert re.search(r"^ +2/2( +\d\.\d{4}){4} +\d:\d\d$", text, re.MULTILINE)
    assert re.search(r"accuracy of the majority class\s*│\s*│\s*0\.5000\s*│\s*0\.5000", text)
    assert "python -m celeba_lab task=evaluate checkpoint=outputs/smile/" in text
    assert "tensorboard --logdir outputs/smile" in text
    assert re.search(r"report: outputs/smile/.*/report.html", text)


def test_the_run_folder_is_complete(trained) -> None:
    names = {str(path.relative_to(trained.folder)) for path in trained.folder.rglob("*") if path.is_file()}
    expected = {
        ".hydra/config.yaml", ".hydra/overrides.yaml", "config.yaml", "summary.json", "celeba_lab.log",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt", "tables/history.csv", "figures/learning_curves.png",
        "report.html",
    }  # fmt: skip
    for split in ("val", "test"):
        expected |= {f"tables/{table}_{split}.csv" for table in ("attributes", "predictions", "mistakes")}
        expected |= {f"figures/{figure}_{split}.png" for figure in FIGURES if figure != "mistakes"}
    # Settings chosen on the validation split are evaluated only on the test split.
    expected |= {f"tables/{table}_test.csv" for table in ("thresholds", "calibration", "pixels", "groups", "drift")}
    assert expected <= names
    assert "tables/thresholds_val.csv" not in names
    assert any(name.startswith("events.out.") for name in names)
    assert not [name for name in names if Path(name).name.startswith(".") and not name.startswith(".hydra")]


def test_the_summary_contains_the_documented_fields(trained, tiny_celeba: Path) -> None:
    summary = trained.summary
    assert summary["experiment"] == "smile"
    assert summary["task"] == "train"
    data = dict(summary["data"])
    assert len(data.pop("fingerprint")) == 16
    assert data == {"name": "celeba", "root": str(tiny_celeba), "images": {"train": 32, "val": 8, "test": 8}}
    for name in ("train/loss", "val/loss", "val/accuracy", "test/accuracy", "test/auroc", "val/balanced_accuracy"):
        assert name in summary["metrics"]
    assert {"fit", "training", "validation", "val", "test", "report"} <= set(summary["seconds"])
    assert summary["checkpoint"].endswith("checkpoints/best.ckpt")
    assert summary["versions"]["torch"] == version("torch")
    assert summary["device"]
    assert summary["initial_weights"] == "random weights (model.weights=null)"


def test_the_reported_metrics_are_those_of_the_best_checkpoint(trained) -> None:
    history = pd.read_csv(trained.folder / "tables" / "history.csv").set_index("epoch")
    best = trained.summary["best_epoch"]
    assert best == history["val/accuracy"].idxmax()
    assert torch.load(trained.checkpoint, weights_only=True)["epoch"] + 1 == best
    for metric in ("loss", "accuracy"):
        assert trained.summary["metrics"][f"val/{metric}"] == pytest.approx(
            history.loc[best, f"val/{metric}"], abs=1e-4
        )
        assert trained.summary["metrics"][f"train/{metric}"] == pytest.approx(history.loc[best, f"train/{metric}"])


def test_the_names_of_the_logged_metrics_are_known(trained) -> None:
    columns = list(pd.read_csv(trained.folder / "tables" / "history.csv"))
    logged = {name for name in columns if name.startswith(("train/", "val/"))} - {"train/images_per_second"}
    known = {f"train/{name}" for name in metric_names(["Smiling"], ranking=False)}
    assert logged == known | {f"val/{name}" for name in metric_names(["Smiling"])}


def test_the_prediction_table_reproduces_the_reported_accuracy(trained) -> None:
    table = pd.read_csv(trained.folder / "tables" / "predictions_test.csv")
    assert table.columns[0] == "image_id"
    accuracy = ((table["probability/Smiling"] >= 0.5) == table["label/Smiling"]).mean()
    assert accuracy == pytest.approx(trained.summary["metrics"]["test/accuracy"])


def test_tensorboard_contains_scalars_images_text_and_hyperparameters(trained) -> None:
    events = EventAccumulator(str(trained.folder), size_guidance={"images": 0, "tensors": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()
    assert {"~train/loss", "val/loss", "val/accuracy", "~~lr-AdamW/pg1", "~~hparams/test/accuracy"} <= set(
        tags["scalars"]
    )
    assert {f"~~figures/{name}_test" for name in ("confusion", "roc", "precision_recall", "scores")} <= set(
        tags["images"]
    )
    assert {"~~figures/learning_curves", "~~faces_loaded_then_augmented"} <= set(tags["images"])
    assert {"configuration/text_summary", "test/Smiling"} <= set(tags["tensors"])
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert b"^val/accuracy$" in events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]
    assert len(events.Scalars("val/loss")) == 2


def test_the_checkpoint_can_be_loaded_without_other_files(trained) -> None:
    content = torch.load(trained.checkpoint, weights_only=True)
    assert "optimizer_states" in content
    model = AttributeClassifier.load_from_checkpoint(trained.checkpoint, weights_only=True).eval()
    assert model.probabilities(torch.zeros(1, 3, 109, 89, dtype=torch.uint8)).shape == (1, 1)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_metrics_in_another_process(
    trained, tiny_celeba: Path, tmp_path: Path, run_process, small, read_summary
) -> None:
    arguments = [
        *small, *BRIEF, f"data.root={tiny_celeba}", "seed=3", "data.num_workers=2",
    ]  # fmt: skip
    result = run_process(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "INFO" not in result.stdout + result.stderr, "Lightning's messages belong in the log file"
    [summary] = tmp_path.glob("outputs/smile/*/summary.json")
    metrics = read_summary(summary.parent)["metrics"]
    assert {"train/loss", "val/loss", "test/auroc"} <= set(metrics)
    assert metrics == {name: trained.summary["metrics"][name] for name in metrics}


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize(
    "experiment", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in EXPERIMENTS]
)
def test_every_experiment_runs_with_the_smoke_trainer(
    experiment: str, trained, tiny_celeba: Path, tmp_path: Path, run_command
) -> None:
    arguments = [f"experiment={experiment}", "trainer=smoke", f"data.root={tiny_celeba}", "data.batch_size=4"]
    if experiment == "embeddings":
        arguments.append(f"checkpoint={trained.checkpoint}")
    result = run_command(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.glob(f"outputs/{experiment}/*/summary.json"))


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.slow
def test_several_attributes_can_be_trained_at_once(
    tiny_celeba: Path, tmp_path: Path, run_command, small, read_summary
) -> None:
    result = run_command(
        *small, *BRIEF, f"data.root={tiny_celeba}", "model.attributes=[Smiling,Male,Young]", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    [summary] = tmp_path.glob("outputs/smile/*/summary.json")
    metrics = read_summary(summary.parent)["metrics"]
    single = [metrics[f"test/accuracy/{name}"] for name in ("Smiling", "Male", "Young")]
    assert metrics["test/accuracy"] == pytest.approx(sum(single) / 3)


@pytest.mark.usefixtures("blank_figures")
def test_fast_dev_run_works(tiny_celeba: Path, tmp_path: Path, run_command, small) -> None:
    result = run_command(*small, f"data.root={tiny_celeba}", "trainer.fast_dev_run=true", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.slow
def test_a_run_that_reaches_max_time_is_still_evaluated(
    tiny_celeba: Path, tmp_path: Path, run_command, small, read_summary
) -> None:
    limits = ["trainer.max_epochs=100000", "trainer.max_time='00:00:00:02'"]
    result = run_command(*small, *BRIEF, *limits, f"data.root={tiny_celeba}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [path] = tmp_path.glob("outputs/smile/*/summary.json")
    summary = read_summary(path.parent)
    assert summary["seconds"]["training"] > 0
    assert "test/accuracy" in summary["metrics"]


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_a_sweep_has_a_folder_for_each_run(tiny_celeba: Path, tmp_path: Path, run_command, small) -> None:
    arguments = [*small, f"data.root={tiny_celeba}", "trainer.max_epochs=1", "model.lr=1e-3,1e-4"]
    result = run_command("-m", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    runs = sorted(tmp_path.glob("outputs/smile/sweep_*/*/summary.json"))
    assert [path.parent.name[0] for path in runs] == ["0", "1"]
    assert [path.parent.name for path in runs] == ["0_lr-0.001", "1_lr-0.0001"]


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_bad_images_are_omitted_and_listed(write_celeba, tmp_path: Path, run_command, small, read_summary) -> None:
    root = write_celeba(tmp_path / "celeba")
    (root / "img_align_celeba" / "img_align_celeba" / "000002.jpg").write_bytes(b"no image")
    result = run_command(*small, f"data.root={root}", "data.num_workers=2", cwd=tmp_path)
    assert result.returncode == 1
    assert "000002.jpg" in result.stderr
    assert "Traceback" not in result.stderr
    arguments = [*small, *BRIEF, f"data.root={root}", "data.on_bad_image=skip", "data.max_bad_fraction=0.1"]
    result = run_command(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [table] = tmp_path.glob("outputs/smile/*/tables/bad_images.csv")
    assert pd.read_csv(table)["image_id"].tolist() == ["000002.jpg"]
    summary = read_summary(table.parents[1])
    assert summary["data"]["images"] == {"train": 31, "val": 8, "test": 8}


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("cause", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_prints_the_command_that_resumes_it(
    cause: signal.Signals, tiny_celeba: Path, tmp_path: Path, run_command, small
) -> None:
    arguments = [*small, *BRIEF, f"data.root={tiny_celeba}", "trainer.max_epochs=500"]
    process = subprocess.Popen(
        [sys.executable, "-m", "celeba_lab", *arguments], cwd=tmp_path, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A non-interactive shell starts background processes with SIGINT ignored, and child processes inherit this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        _wait_for(lambda: list(tmp_path.glob("outputs/smile/*/checkpoints/best.ckpt")))
        process.send_signal(cause)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 128 + cause, err
    assert "Traceback" not in err
    assert f"stopped by {cause.name}" in err
    assert "its state was saved" in out
    [command] = re.findall(r"To resume: (python -m celeba_lab .*)", err)
    folder = next(tmp_path.glob("outputs/smile/*"))
    best = (folder / "checkpoints" / "best.ckpt").stat().st_mtime_ns
    done = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"]
    assert (folder / "checkpoints" / "best.ckpt").stat().st_mtime_ns == best

    if cause == signal.SIGTERM:
        return  # Both signals lead to the same checkpoint, so it is enough to resume one of the two runs.
    result = run_command(*shlex.split(command)[3:], f"trainer.max_epochs={done + 3}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("outputs/smile/*"))) == 1, "the resumed run must use the same folder"
    history = pd.read_csv(folder / "tables" / "history.csv")
    assert history["epoch"].tolist() == list(range(1, done + 4))
    assert history["val/loss"].notna().all()


def _wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.1)


def test_a_finished_run_is_left_alone(trained, tmp_path: Path, run_command) -> None:
    home = shutil.copytree(trained.folder, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    for arguments in ([], ["print_config=full", "data.num_workers=0"]):
        result = run_command("resume=run", *arguments, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert "this run is finished, so nothing is left to do" in result.stdout
    for refused in ("trainer.max_epochs=1", "model.lr=1"):
        assert run_command("resume=run", refused, cwd=tmp_path).returncode == 1
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()} == before


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_a_run_without_a_report_gets_one(trained, tmp_path: Path, run_command) -> None:
    """A refused change leaves the folder as it is, and an accepted change is stored in the folder."""
    run = shutil.copytree(trained.folder, tmp_path / "run")
    (run / "summary.json").unlink()
    (run / "tables" / ".old.csv.12345678.part").touch()
    stored = (run / ".hydra" / "overrides.yaml").read_text()

    refused = run_command("resume=run", "model.lr=0.5", cwd=tmp_path)
    assert refused.returncode == 1
    assert "model.lr=0.5 cannot be changed when a run is resumed (the run uses 0.002)." in refused.stderr
    assert (run / ".hydra" / "overrides.yaml").read_text() == stored
    assert not (run / "summary.json").exists()

    result = run_command("resume=run", "data.num_workers=0", "seed=3", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "resuming: run/checkpoints/last.ckpt, saved after step" in result.stdout
    settings = OmegaConf.load(run / "config.yaml")
    assert (settings.seed, settings.data.num_workers, settings.resume) == (3, 0, None)
    assert "data.num_workers=0" in (run / ".hydra" / "overrides.yaml").read_text()
    assert not list(run.rglob("*.part"))
    metrics, expected = (json.loads((f / "summary.json").read_text())["metrics"] for f in (run, trained.folder))
    assert metrics == expected
    assert (run / "tables" / "predictions_test.csv").read_bytes() == (
        trained.folder / "tables" / "predictions_test.csv"
    ).read_bytes()


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.slow
def test_a_finished_run_can_be_resumed_with_more_epochs(trained, tmp_path: Path, run_command) -> None:
    """The folder has been moved, and the one-cycle schedule now spans four epochs instead of two."""
    home = shutil.copytree(trained.folder, tmp_path / "outputs" / "moved")
    result = run_command("resume=outputs/moved", "trainer.max_epochs=4", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert pd.read_csv(home / "tables" / "history.csv")["epoch"].tolist() == [1, 2, 3, 4]
    assert json.loads((home / "summary.json").read_text())["checkpoint"] == "outputs/moved/checkpoints/best.ckpt"


@pytest.mark.slow
def test_two_processes_evaluate_every_image_once(
    trained, tiny_celeba: Path, tmp_path: Path, run_process, small, read_summary
) -> None:
    arguments = [*small, f"data.root={tiny_celeba}", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    arguments += ["trainer.max_epochs=1", "model.freeze=0", "data.limit=7"]
    result = run_process(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [summary] = tmp_path.glob("outputs/smile/*/summary.json")
    table = pd.read_csv(summary.parent / "tables" / "predictions_test.csv")
    assert len(table) == table["image_id"].nunique() == 7
    accuracy = ((table["probability/Smiling"] >= 0.5) == table["label/Smiling"]).mean()
    assert read_summary(summary.parent)["metrics"]["test/accuracy"] == pytest.approx(accuracy)


@pytest.mark.usefixtures("blank_figures")
def test_training_beats_the_majority_class(write_celeba, tmp_path: Path, run_command, small, read_summary) -> None:
    """The mouth of a smiling face is bright. With 24 faces, the standard error is 10 percentage points."""
    arguments = [*small, *BRIEF, "model.backbone=squeezenet1_1", "model.freeze=0", "model.lr=1e-3"]
    root = write_celeba(tmp_path / "celeba", n=144)
    result = run_command(*arguments, "trainer.max_epochs=5", f"data.root={root}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [path] = tmp_path.glob("outputs/smile/*/summary.json")
    summary = read_summary(path.parent)
    assert summary["metrics"]["test/accuracy"] > summary["majority_accuracy"]["test"] + 0.25


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_training_on_real_faces_beats_the_majority_class(
    shared: Path, tmp_path: Path, run_command, read_summary
) -> None:
    weights = shared / "weights" / "mobilenet_v2_imagenet.pth"
    if not weights.exists() or not (shared / "celeba-8k").is_dir():
        pytest.skip(f"no faces or weights in {shared}")
    arguments = [
        "experiment=smile", "trainer=cpu", f"data.root={shared / 'celeba-8k'}", f"model.weights={weights}",
        "trainer.max_epochs=1", "data.limit=600", "model.image_size=64",
    ]  # fmt: skip
    result = run_command(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [path] = tmp_path.glob("outputs/smile/*/summary.json")
    summary = read_summary(path.parent)
    # With 600 images, the standard error is 2 percentage points. The required gain is five times that.
    assert summary["metrics"]["test/accuracy"] > summary["majority_accuracy"]["test"] + 0.10


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("trainer.accelerator=cuda", "trainer: "),
        ("model.backbone=unheard", "model.backbone=unheard is neither"),
        ("model.optimizer=unheard", "model.optimizer=unheard is not an optimizer"),
        ("model.weights=IMAGENET9", "model.weights=IMAGENET9 is neither a file nor the name of torchvision weights"),
        (
            "callbacks.best.monitor=val/acuracy",
            "callbacks.best.monitor=val/acuracy is not a metric",
        ),
        ("trainer.strategy=unheard", "trainer: "),
        ("trainer.precision=bf17", "trainer"),
        ("trainer.precision=64-true", "trainer.precision=64-true is not supported for training"),
        ("trainer.precision=16-true", "trainer.precision=16-true is not precise enough"),
    ],
)
def test_a_device_or_name_that_does_not_exist_is_reported_before_the_data_are_read(
    override: str, sentence: str, tmp_path: Path, command, small, monkeypatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    code, _, err = command(*small, f"data.root={tmp_path / 'nowhere'}", override)
    assert code == 1
    assert sentence in " ".join(err.split())
    assert "nowhere" not in err


def test_invalid_model_settings_are_reported_before_the_weights_are_downloaded(
    tiny_celeba: Path, command, small, monkeypatch
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr("celeba_lab.engine.classifier.fetch_weights", lambda *names: fetched.append(names))
    code, _, err = command(*small, f"data.root={tiny_celeba}", "model.weights=auto", "model.loss.name=bcee")
    assert code == 1
    assert "model.loss.name=bcee" in err
    assert not fetched


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
