"""``task=benchmark`` measures the sections that are selected, and writes tables, a figure and a page."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from celeba_lab.benchmarks import worker
from celeba_lab.benchmarks.repeats import NotMeasuredError
from celeba_lab.benchmarks.workplace import Workplace
from celeba_lab.tasks.benchmark import _forwarded_overrides

TINY = ["task.images=60", "task.steps=4", "task.repeats=2", "task.seconds=0.01", "task.image_size=32"]
TINY += ["task.inference_images=40", "task.growth=[40]", "task.epochs=1", "task.workers=1"]
TINY += ["task.backbone=shufflenet_v2_x0_5", "task.initial_weights=null"]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call the measured functions in this process, and let no worker process start."""

    def work(place: Workplace, name: str, **arguments) -> dict:
        if name == "read_faces_torchvision":
            raise NotMeasuredError("It is missing.")
        return worker.call(name, {**arguments, "workers": 0})

    monkeypatch.setattr(Workplace, "work", work)


def test_the_selected_sections_are_measured_and_reported(
    command: Callable, tiny_celeba: Path, tmp_path: Path, in_process: None, blank_figures: None, read_summary: Callable
) -> None:
    (tmp_path / "scratch").mkdir()
    before = sorted(tiny_celeba.rglob("*"))
    data = ["data=celeba", f"data.root={tiny_celeba}", "task.scratch=scratch"]
    code, out, err = command("experiment=benchmark", *data, *TINY, "task.sections=[input]", "hydra.run.dir=run")
    assert code == 0, err
    assert list((tmp_path / "scratch").iterdir()) == []
    assert sorted(tiny_celeba.rglob("*")) == before, "the data folder should stay as it is"
    assert "torchvision was not measured. It is missing." in out
    table = pd.read_csv(tmp_path / "run/tables/benchmark.csv").set_index(["measurement", "candidate"])
    assert set(table["section"]) == {"input"}
    assert table.loc[("0_workers", "packed"), "repeats"] == 2
    assert table.loc[("0_workers", "packed"), "times_reference"] > 0
    assert table.loc[("0_workers", "torchvision"), "note"] == "It is missing."
    summary = read_summary(tmp_path / "run")
    assert summary["metrics"]["input/0_workers/packed"] > 0
    assert "input/0_workers/torchvision" not in summary["metrics"]
    assert {"processor", "cores", "torch"} <= summary["details"]["machine"].keys()
    assert "<!-- begin input -->" in (tmp_path / "run/tables/benchmark.md").read_text()
    page = (tmp_path / "run/report.html").read_text()
    assert "Faces per second that reach the training loop" in page
    assert "processor" in page
    assert (tmp_path / "run/figures/benchmark.png").is_file()


def test_overrides_of_the_trainer_and_the_loaders_are_forwarded() -> None:
    given = ["experiment=benchmark", "data=celeba", "data.root=faces", "data.limit=9", "data.batch_size=64"]
    run = SimpleNamespace(overrides=[*given, "trainer=gpu", "trainer.precision=32-true", "task.images=99"])
    run.data_overrides = [text for text in run.overrides if text.startswith("data")]
    assert _forwarded_overrides(run) == ["trainer=gpu", "trainer.precision=32-true", "data.batch_size=64"]


def test_unknown_sections_are_refused(command: Callable, tmp_path: Path) -> None:
    code, _, err = command("experiment=benchmark", "task.sections=[smlie]")
    assert code == 1
    assert "task.sections=smlie must be one of input, packing, smile" in err
    assert "Did you mean 'smile'?" in err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ("task.repeats=0", "task.repeats=0 must be at least 1"),
        ("task.growth=[10]", "task.growth=10 must be at least 40"),
    ],
)
def test_sizes_out_of_range_are_refused(command: Callable, setting: str, rule: str) -> None:
    code, _, err = command("experiment=benchmark", setting)
    assert code == 1
    assert rule in err


def test_a_folder_for_temporary_files_must_exist(command: Callable, tiny_celeba: Path) -> None:
    code, _, err = command("experiment=benchmark", "data=celeba", f"data.root={tiny_celeba}", "task.scratch=missing")
    assert code == 1
    assert "task.scratch=missing is not a folder" in err


def test_a_benchmark_without_any_result_fails_with_a_reason(
    command: Callable, tiny_celeba: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(place: Workplace, *overrides: str) -> None:
        raise NotMeasuredError("The command failed with exit code 1: no space left.")

    monkeypatch.setattr(Workplace, "command", fail)
    data = ["data=celeba", f"data.root={tiny_celeba}"]
    code, _, err = command("experiment=benchmark", *data, *TINY, "task.sections=[packing]")
    assert code == 1
    assert "Nothing could be measured. The command failed with exit code 1: no space left." in err


@pytest.mark.slow
def test_whole_commands_are_measured(
    command: Callable, tiny_celeba: Path, tmp_path: Path, read_summary: Callable
) -> None:
    data = ["data=celeba", f"data.root={tiny_celeba}", "trainer=cpu", "data.batch_size=8"]
    sections = "task.sections=[packing,smile,inference]"
    code, out, err = command("experiment=benchmark", *data, *TINY, "task.repeats=1", sections, "hydra.run.dir=run")
    assert code == 0, err
    assert "was not measured" not in out
    metrics = read_summary(tmp_path / "run")["metrics"]
    expected = {"packing/pack/celeba_lab", "smile/step/celeba_lab", "smile/step/bare", "smile/epoch/reference"}
    expected |= {"inference/mirrored/predict", "inference/mirrored/evaluate", "inference/mirrored/bare"}
    assert expected <= metrics.keys()
    assert all(value > 0 for value in metrics.values())
    assert json.loads((tmp_path / "run/summary.json").read_text())["task"] == "benchmark"
