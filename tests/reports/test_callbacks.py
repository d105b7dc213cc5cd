"""Whole runs with callbacks that are combined, a profiler and debug presets."""

from pathlib import Path

import pandas as pd
import pytest

SMALL = [
    "experiment=smile",
    "trainer=cpu",
    "trainer.log_every_n_steps=1",
    "~callbacks.progress_bar",
    "model.weights=null",
    "model.image_size=32",
    "data.batch_size=8",
]
PIECES = [
    "callbacks=[default,batch_size_finder,lr_finder,early_stopping,throughput]",
    "callbacks.batch_size_finder.init_val=2",
    "callbacks.batch_size_finder.max_val=4",
    "callbacks.lr_finder.num_training_steps=16",
    "callbacks.lr_finder.early_stop_threshold=null",
    "callbacks.early_stopping.min_delta=1",
    "callbacks.early_stopping.patience=1",
    "callbacks.throughput.window_size=2",
    "profiler=simple",
    "task.report.page=false",
    "task.report.estimator=null",
]


@pytest.mark.slow
def test_a_run_records_what_its_callbacks_have_decided(
    tiny_celeba: Path, tmp_path: Path, run_command, read_summary, blank_figures
) -> None:
    run = ["hydra.run.dir=run", f"data.root={tiny_celeba}", "trainer.max_epochs=4"]
    result = run_command(*SMALL, *PIECES, *run, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    details = read_summary(tmp_path / "run")["details"]
    assert details["batch_size_finder"] == {"batch_size": 4}
    assert details["early_stopping"]["epoch"] == 2
    assert details["throughput"].keys() == {"train_images_per_second"}, "one batch of validation is no window"
    table = pd.read_csv(tmp_path / "run" / "tables" / "lr_finder.csv")
    assert (len(table), details["lr_finder"]["lr"] in set(table["lr"])) == (16, True)
    assert (tmp_path / "run" / "figures" / "lr_finder.png").is_file()
    assert "batch size: 4 instead of 8" in result.stdout
    assert "training was stopped after epoch 2: val/accuracy has not improved on" in result.stdout
    assert "profile: run/profile/fit-simple.txt" in result.stdout
    assert "run_training_batch" in (tmp_path / "run" / "profile" / "fit-simple.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["smile", "gan"])
def test_one_batch_runs_through_to_the_end(
    experiment: str, tiny_celeba: Path, tmp_path: Path, run_command, read_summary, blank_figures
) -> None:
    model = {"smile": ["model.image_size=32", "model.weights=null"], "gan": ["model.width=4", "task.distances=null"]}
    data = ["data=celeba", f"data.root={tiny_celeba}", "data.batch_size=8", "trainer=cpu"]
    result = run_command(f"experiment={experiment}", "debug=one_batch", *model[experiment], *data, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [summary] = tmp_path.glob(f"outputs/debug/{experiment}/*/summary.json")
    assert read_summary(summary.parent)["details"]["debug"] == "one_batch"


@pytest.mark.slow
def test_overfitting_says_whether_the_loss_has_fallen(
    tiny_celeba: Path, tmp_path: Path, run_command, read_summary, blank_figures
) -> None:
    data = ["data=celeba", f"data.root={tiny_celeba}", "data.batch_size=8", "trainer=cpu", "hydra.run.dir=run"]
    model = ["model.image_size=32", "model.weights=null", "task.report.page=false", "task.report.estimator=null"]
    result = run_command("experiment=smile", "debug=overfit", *model, *data, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    facts = read_summary(tmp_path / "run")["details"]["overfit"]
    assert "overfit: the training loss has fallen from" in result.stdout
    assert facts["reached"] is (facts["last_loss"] < 0.05)
    assert facts["last_loss"] < facts["first_loss"]
