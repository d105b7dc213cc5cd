"""``task=evaluate`` with a trained checkpoint."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from scipy.special import logit

QUIET = ["trainer=cpu", "~callbacks.progress_bar"]


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("split", ["val", "test", pytest.param("train", marks=pytest.mark.slow)])
def test_evaluation_gives_the_metrics_that_training_reported(
    trained, tiny_celeba: Path, tmp_path: Path, split: str, run_command, read_summary
) -> None:
    arguments = ["task=evaluate", f"checkpoint={trained.checkpoint}", f"task.split={split}"]
    result = run_command(*QUIET, *arguments, f"data.root={tiny_celeba}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    [path] = tmp_path.glob("outputs/evaluate/*/summary.json")
    summary = read_summary(path.parent)
    assert summary["task"] == "evaluate"
    assert all(name.startswith(f"{split}/") for name in summary["metrics"])
    if split != "train":
        reported = trained.summary["metrics"]
        repeated = summary["metrics"].keys() & reported.keys()
        assert repeated >= {f"{split}/{name}" for name in ("loss", "accuracy", "balanced_accuracy", "auroc")}
        for name in repeated:
            assert summary["metrics"][name] == pytest.approx(reported[name], abs=1e-5), name
    assert (path.parent / "figures" / f"roc_{split}.png").exists()
    page = (path.parent / "report.html").read_text()
    assert str(trained.checkpoint) in page
    assert (path.parent / "tables" / f"thresholds_{split}.csv").exists() == (split != "val")


@pytest.mark.usefixtures("blank_figures")
def test_a_checkpoint_works_outside_its_run_folder(trained, tiny_celeba: Path, tmp_path: Path, run_command) -> None:
    """The checkpoint needs neither its run folder nor a weights file, and its image size overrides the setting."""
    moved = shutil.copy(trained.checkpoint, tmp_path / "my model.ckpt")
    arguments = ["task=evaluate", f"checkpoint='{moved}'", "model.image_size=224", f"data.root={tiny_celeba}"]
    result = run_command(*QUIET, *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "at 32 x 32 pixels" in result.stdout


def test_the_error_for_an_empty_split_names_it(trained, write_celeba, tmp_path: Path, run_command) -> None:
    root = write_celeba(tmp_path / "celeba", partition=[0] * 40 + [1] * 8)
    arguments = ["task=evaluate", f"checkpoint={trained.checkpoint}", f"data.root={root}"]
    result = run_command(*QUIET, *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert "The test split of" in result.stderr
    assert "is empty" in result.stderr


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.slow
def test_an_ensemble_averages_the_logits_of_its_checkpoints(
    trained, tiny_celeba: Path, tmp_path: Path, run_command, read_summary
) -> None:
    content = torch.load(trained.checkpoint, weights_only=True)
    content["state_dict"]["head.bias"] += 2.0  # The second model's logits are those of the first plus 2.
    torch.save(content, tmp_path / "other.ckpt")
    arguments = ["task=evaluate", f"checkpoint={trained.checkpoint}", f"data.root={tiny_celeba}"]
    tables = []
    for ensemble in ([], [str(tmp_path / "other.ckpt")]):
        folder = tmp_path / f"run{len(ensemble)}"
        settings = [f"task.ensemble=[{','.join(ensemble)}]", f"hydra.run.dir={folder}", "task.report.page=false"]
        result = run_command(*QUIET, *arguments, *settings, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        tables.append(pd.read_csv(folder / "tables" / "predictions_test.csv"))
        assert read_summary(folder)["details"]["ensemble"] == ensemble
    alone, averaged = (logit(table.filter(like="prob").to_numpy()) for table in tables)
    assert averaged == pytest.approx(alone + 1.0, abs=1e-3)


def test_an_ensemble_of_different_networks_is_rejected(trained, tiny_celeba: Path, tmp_path: Path, run_command) -> None:
    content = torch.load(trained.checkpoint, weights_only=True)
    content["hyper_parameters"]["image_size"] = 64
    torch.save(content, tmp_path / "other.ckpt")
    arguments = ["task=evaluate", f"checkpoint={trained.checkpoint}", f"task.ensemble=[{tmp_path / 'other.ckpt'}]"]
    result = run_command(*QUIET, *arguments, f"data.root={tiny_celeba}", cwd=tmp_path)
    assert result.returncode == 1
    assert "Cannot average checkpoints with different values of image_size: 32 and 64." in result.stderr
