"""``task=compare`` on artificial runs, and on a trained run and a modified copy of it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from celeba_lab.console import console

Command = Callable[..., tuple[int, str, str]]
RUNS = "task.runs='runs/*'"


@pytest.fixture
def read_result(tmp_path: Path, read_summary) -> Callable[[], tuple[Path, dict[str, Any]]]:
    """``read_result()`` returns the folder of the only comparison and its summary."""

    def read() -> tuple[Path, dict[str, Any]]:
        [summary] = tmp_path.glob("outputs/compare/*/summary.json")
        return summary.parent, read_summary(summary.parent)

    return read


@pytest.fixture
def runs(tmp_path: Path, run_writer) -> Path:
    """Three finished runs: the best on validation, an equally good one, and one that misclassifies 30 of 60 faces."""
    folder = tmp_path / "runs"
    run_writer.write(folder / "best", 1, val_accuracy=0.95)
    run_writer.write(folder / "equal", 1, val_accuracy=0.94, settings={"model": {"lr": 3e-4}})
    run_writer.write(folder / "bad", 2, probabilities=run_writer.probabilities(2, wrong=30), val_accuracy=0.9)
    return folder


def test_three_runs_are_compared(
    command: Command, runs: Path, tmp_path: Path, run_writer, read_result, work_shown: dict[str, str]
) -> None:
    code, out, err = command("task=compare", RUNS)
    assert code == 0, err
    assert work_shown == {
        "finding the runs": "",
        "reading the runs": "3/3 runs",
        "reading the predictions": "3/3 runs",
        "comparing the runs": "3/3 runs",
        "writing the report": "",
    }
    folder, summary = read_result()
    tables = {path.stem: pd.read_csv(path) for path in (folder / "tables").glob("*.csv")}
    assert set(tables) == {"runs", "settings", "paired", "mcnemar", "seeds", "seed_differences"}
    assert tables["runs"]["run"].tolist() == ["bad", "best", "equal"]
    assert tables["settings"]["setting"].tolist() == ["seed", "model.lr"]
    assert tables["settings"]["equal"].tolist() == [1, 3e-4]

    paired = tables["paired"].set_index("run")
    assert list(paired.index) == ["bad", "equal"]
    assert set(paired["baseline"]) == {"best"}
    assert paired.loc["bad", "difference"] == pytest.approx(0.5 - 50 / 60)
    assert paired.loc["bad", "high"] < 0
    assert paired.loc["equal", ["difference", "low", "high", "p"]].tolist() == [0, 0, 0, 1]
    right, base = (
        (run_writer.probabilities(seed, wrong) >= 0.5) == run_writer.labels for seed, wrong in ((2, 30), (1, 10))
    )
    details = tables["mcnemar"][tables["mcnemar"]["run"] == "bad"].set_index("attribute")
    assert list(details.index) == list(run_writer.names)
    assert details["only_run_right"].tolist() == (right & ~base).sum(axis=0).tolist()
    assert details["only_baseline_right"].tolist() == (base & ~right).sum(axis=0).tolist()

    assert summary["task"] == "compare"
    assert summary["data"]["name"] == "celeba"
    assert (summary["details"]["baseline"], summary["details"]["attributes"]) == ("best", list(run_writer.names))
    assert summary["details"]["runs"]["bad"] == str(Path("runs") / "bad")
    assert summary["metrics"] == {
        "runs": 3.0,
        "test/accuracy/best": pytest.approx(50 / 60),
        "test/accuracy/baseline": pytest.approx(50 / 60),
        "better": 0.0,
        "worse": 1.0,
        "settings": 2.0,
        "settings/better": 0.0,
        "settings/worse": 0.0,
    }
    pictures = {path.stem for path in (folder / "figures").glob("*.png")}
    assert pictures == {"curves", "differences"}  # A single seed has no difference over seeds.
    events = EventAccumulator(str(folder)).Reload()
    assert {tag.removeprefix("~~figures/") for tag in events.Tags()["images"]} == pictures

    words = " ".join(out.split())
    assert "data: celeba, 60 test images, 3 attributes" in words
    assert "SYNTHETIC" not in words
    assert "baseline: best (best validation accuracy)" in words
    assert re.search(r"bad is worse than best by 0\.3333 \(95% interval 0\.\d+ to 0\.\d+\), p < 0\.001", words)
    assert "equal and best predict the same number of attributes correctly in each of the 60 images" in words
    assert "not across seeds" in words


def test_a_trained_run_is_compared_with_a_copy_with_two_changed_predictions(
    trained, tmp_path: Path, run_command, read_summary, read_result
) -> None:
    """The tables of a real run can be read, and the comparison finds the two faces with changed predictions."""
    for name in ("first", "second"):
        shutil.copytree(trained.folder, tmp_path / "runs" / name, ignore=shutil.ignore_patterns("*.ckpt"))
    altered = tmp_path / "runs" / "second"
    path = altered / "tables" / "predictions_test.csv"
    table = pd.read_csv(path)
    column = table["probability/Smiling"]
    before = (column >= 0.5) == table["label/Smiling"]
    column = column.where(~table.index.isin([0, 3]), 0.999 - column)
    table.assign(**{"probability/Smiling": column}).to_csv(path, index=False)
    after = (column >= 0.5) == table["label/Smiling"]
    assert (before != after).sum() == 2
    summary = read_summary(altered)
    summary["metrics"]["test/accuracy"] = float(after.mean())
    (altered / "summary.json").write_text(json.dumps(summary))

    found = run_command("task=compare", "task.runs=runs", "task.baseline=first", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    folder, _ = read_result()
    [row] = pd.read_csv(folder / "tables" / "mcnemar.csv").to_dict("records")
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    assert (row["only_run_right"], row["only_baseline_right"]) == (gained, lost)
    assert row["p"] == binomtest(gained, 2).pvalue
    [paired] = pd.read_csv(folder / "tables" / "paired.csv").to_dict("records")
    assert paired["difference"] == pytest.approx((gained - lost) / 8)
    assert len(pd.read_csv(folder / "tables" / "settings.csv")) == 0
    assert "all runs have the same settings" in found.stdout
    assert "baseline: first (set in the configuration)" in found.stdout
    table = pd.read_csv(folder / "tables" / "runs.csv")
    assert set(table["seed"]) == {3}
    assert table["test/auroc"].tolist() == [trained.summary["metrics"]["test/auroc"]] * 2


@pytest.mark.usefixtures("blank_figures")
def test_the_intervals_depend_on_the_seed(command: Command, runs: Path, tmp_path: Path) -> None:
    lows = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        code, _, err = command("task=compare", RUNS, f"seed={seed}", f"hydra.run.dir={name}")
        assert code == 0, err
        lows.append(pd.read_csv(tmp_path / name / "tables" / "paired.csv")["low"].iloc[0])
    assert lows[0] == lows[1] != lows[2]


def test_runs_that_cannot_be_compared_are_omitted_and_named(
    command: Command, runs: Path, tmp_path: Path, run_writer, read_result
) -> None:
    (runs / "stopped").mkdir()
    (runs / "stopped" / "config.yaml").write_text("{}")
    run_writer.write(runs / "validated", split="val")
    code, out, err = command("task=compare", RUNS)
    assert code == 0, err
    assert "Left out (unfinished, no summary.json): runs/stopped." in out
    assert "Left out (no predictions for the test split): runs/validated." in out
    _, summary = read_result()
    assert set(summary["details"]["runs"]) == {"bad", "best", "equal"}


@pytest.mark.usefixtures("blank_figures")
def test_a_comparison_does_not_include_its_own_folder(command: Command, runs: Path, tmp_path: Path) -> None:
    runs.rename(tmp_path / "outputs")
    code, out, err = command("task=compare", "task.runs=outputs", "hydra.run.dir=outputs/first")
    assert code == 0, err
    assert "Left out" not in out
    code, out, err = command("task=compare", "task.runs=outputs", "hydra.run.dir=outputs/second")
    assert code == 0, err
    assert re.search(r"^Left out \(no predictions for the test split\): outputs/first\.$", out, flags=re.MULTILINE)
    assert "unfinished" not in out


def test_runs_of_task_evaluate_have_no_learning_curves(
    command: Command, runs: Path, tmp_path: Path, read_result
) -> None:
    for folder in runs.iterdir():
        (folder / "tables" / "history.csv").unlink()
    code, _, err = command("task=compare", RUNS)
    assert code == 0, err
    folder, _ = read_result()
    assert [path.name for path in (folder / "figures").glob("*.png")] == ["differences.png"]


def test_only_the_best_of_many_runs_have_learning_curves(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_writer
) -> None:
    from celeba_lab import figures

    shown = {}

    def spy(histories, **options):
        shown.update(names=list(histories), note=options["note"])
        return original(histories, **options)

    original = figures.run_curves
    monkeypatch.setattr(figures, "run_curves", spy)
    order = np.random.default_rng(0).permutation(14)
    for k in range(14):
        run_writer.write(tmp_path / "runs" / f"run{k}", k, val_accuracy=0.5 + order[k] / 100)
    code, _, err = command("task=compare", RUNS)
    assert code == 0, err
    assert shown["names"] == [f"run{k}" for k in np.argsort(-order)][:12]
    assert shown["note"] == "The 12 runs with the highest validation accuracy, out of 14 runs"


def test_drawn_faces_are_reported_as_synthetic(command: Command, tmp_path: Path, run_writer) -> None:
    for k in range(2):
        run_writer.write(tmp_path / "runs" / str(k), k, data={"name": "synthetic"})
    code, out, err = command("task=compare", RUNS)
    assert code == 0, err
    assert (
        "data: synthetic, 60 test images, 3 attributes: SYNTHETIC faces, so the numbers do not apply to CelebA"
        in " ".join(out.split())
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], r"task\.runs has no value\. Set it with task\.runs=\.\.\."),
        (["task.runs='rnus/*'"], r"task\.runs=rnus/\* matches nothing\. .* Did you mean 'runs'\?"),
        ([RUNS, "task.split=tset"], r"task\.split=tset must be one of train, val, test\. Did you mean 'test'\?"),
        (
            [RUNS, "task.metric=acuracy"],
            r"task\.metric=acuracy is not a test metric of bad, for which .* Did you mean 'accuracy'\?",
        ),
        (
            [RUNS, "task.baseline=bset"],
            r"task\.baseline=bset is not a run or setting in this comparison\. Choose one of .* Did you mean 'best'\?",
        ),
        ([RUNS, "task.resamples=10"], r"task\.resamples=10 must be at least 100\."),
        (
            ["task.runs=[runs/best,runs/best]"],
            r"task\.runs=.* must match at least two finished runs with predictions for the test split, but matches"
            r" only best\.",
        ),
        (
            [RUNS, "task.split=val"],
            r"must match at least two finished runs with predictions for the validation split, but matches none\."
            r" Left out \(no predictions for the validation split\): runs/bad, runs/best, runs/equal\.",
        ),
    ],
)
def test_a_mistake_gives_a_one_sentence_error(
    command: Command, runs: Path, arguments: list[str], sentence: str
) -> None:
    code, _, err = command("task=compare", *arguments)
    assert code == 1
    assert re.fullmatch(f"celeba_lab: error: .*{sentence}\n", err), err


def test_runs_on_different_data_are_rejected(command: Command, runs: Path, run_writer) -> None:
    run_writer.write(runs / "drawn", data={"name": "synthetic"})
    code, _, err = command("task=compare", RUNS)
    assert code == 1
    assert "bad and drawn used different data: data.name is celeba in the first run and synthetic in the second" in err


def test_runs_on_different_images_are_rejected(command: Command, runs: Path, tmp_path: Path) -> None:
    path = runs / "best" / "tables" / "predictions_test.csv"
    path.write_text(path.read_text().replace("000005.jpg", "000099.jpg"))
    code, _, err = command("task=compare", RUNS)
    assert code == 1
    assert "bad and best used different images of the test split" in err
    assert not list(tmp_path.glob("outputs/compare/*/summary.json"))


@pytest.fixture
def seeds(tmp_path: Path, run_writer) -> Path:
    """Six finished runs: two learning rates with three seeds each, of which the second rate makes more mistakes."""
    for lr, wrong in ((0.1, 6), (0.2, 24)):
        for seed in (1, 2, 3):
            folder = tmp_path / "runs" / f"lr{lr}_seed{seed}"
            settings = {"model": {"lr": lr}, "data": {"seed": seed}, "callbacks": {"log": {"path": f"{folder}/a.csv"}}}
            probabilities = run_writer.probabilities(10 * seed + wrong, wrong)
            value = 0.8 - wrong / 100 + seed / 1000
            run_writer.write(folder, seed, probabilities=probabilities, val_accuracy=value, settings=settings)
    return tmp_path / "runs"


@pytest.mark.usefixtures("seeds", "blank_figures")
@pytest.mark.parametrize("width", [80, pytest.param(120, marks=pytest.mark.slow)])
def test_settings_are_compared_over_seeds(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_result, width: int
) -> None:
    monkeypatch.setattr(console, "_width", width)
    code, out, err = command("task=compare", RUNS)
    assert code == 0, err
    assert all(len(line) <= width for line in out.splitlines() if line[0] in "┏┃│└")
    heading = next(line for line in out.splitlines() if "setting " in line)
    assert re.split(r"[\s┃]+", heading)[1:5] == ["setting", "test/accuracy", "seeds", "val/accuracy"]
    words = " ".join(out.split())
    assert re.search(r"│ lr=0\.1 │ 0\.9000 ± 0\.0000 │ 3 │", words)
    assert re.search(
        r"lr=0\.2 is worse than lr=0\.1 in test/accuracy by 0\.3000 \(95% interval 0\.\d+ to 0\.\d+ over 3 seeds each"
        r" and 60 images\), p = 0\.0\d+",
        words,
    )
    folder, summary = read_result()
    assert pd.read_csv(folder / "tables" / "settings.csv")["setting"].tolist() == ["seed", "model.lr"]
    assert "**0.9000 ± 0.0000 (3)**" in (folder / "tables" / "seeds.md").read_text()
    assert (folder / "tables" / "seeds.tex").is_file()
    names = ["settings", "settings/better", "settings/worse", "runs"]
    assert [summary["metrics"][name] for name in names] == [2, 0, 1, 6]
    page = (folder / "report.html").read_text()
    assert "Settings over seeds" in page
    assert "0.9000 ± 0.0000 (3)" in page


@pytest.mark.usefixtures("seeds", "blank_figures")
@pytest.mark.parametrize(
    ("named", "run", "setting"),
    [
        ('"lr=0.2"', "lr0.2_seed3", "lr=0.2"),
        ("lr0.2_seed1", "lr0.2_seed1", "lr=0.2"),
        pytest.param("runs/lr0.1_seed2", "lr0.1_seed2", "lr=0.1", marks=pytest.mark.slow),
    ],
)
def test_the_baseline_can_be_a_setting_or_a_run(
    command: Command, read_result, named: str, run: str, setting: str
) -> None:
    code, _, err = command("task=compare", RUNS, f"task.baseline={named}")
    assert code == 0, err
    folder, summary = read_result()
    assert summary["details"]["baseline"] == run
    assert set(pd.read_csv(folder / "tables" / "seed_differences.csv")["baseline"]) == {setting}


@pytest.mark.usefixtures("seeds")
def test_a_misspelt_setting_is_explained(command: Command) -> None:
    code, _, err = command("task=compare", RUNS, 'task.baseline="lr=0.3"')
    assert code == 1
    assert re.search(r"is not a run or setting in this comparison\. Choose one of .*, lr=0\.1, lr=0\.2\.", err)


@pytest.mark.usefixtures("blank_figures")
def test_seeds_of_one_setting_and_repeated_seeds_are_explained(command: Command, seeds: Path, tmp_path: Path) -> None:
    shutil.copytree(seeds / "lr0.1_seed1", seeds / "lr0.1_seed1_again")
    code, out, err = command("task=compare", "task.runs='runs/lr0.1*'")
    assert code == 0, err
    words = " ".join(out.split())
    assert "All 3 runs have the same settings, so there are no settings to compare." in words
    assert "because they have the settings and the seed of another run: lr0.1_seed1_again." in words
    assert not list(tmp_path.glob("outputs/compare/*/tables/seed_differences.csv"))


@pytest.mark.usefixtures("blank_figures")
def test_runs_with_one_seed_each_have_no_comparison_over_seeds(command: Command, seeds: Path, read_result) -> None:
    code, out, err = command("task=compare", "task.runs='runs/*_seed1'")
    assert code == 0, err
    assert "settings over seeds" not in out
    assert "only one seed" not in out
    assert "To compare settings, train each of them with several seeds." in " ".join(out.split())
    folder, summary = read_result()
    assert not (folder / "tables" / "seeds.csv").exists()
    assert "settings" not in summary["metrics"]


@pytest.mark.usefixtures("blank_figures")
def test_a_metric_that_is_undefined_for_some_runs_has_no_mean(command: Command, seeds: Path) -> None:
    code, out, err = command("task=compare", RUNS, "task.metric=f1")
    assert code == 0, err
    assert "test/f1 is undefined for a run, so the mean is undefined: lr=0.1, lr=0.2." in " ".join(out.split())
    for folder in seeds.glob("lr0.2*"):
        summary = json.loads((folder / "summary.json").read_text())
        del summary["metrics"]["test/f1"]
        (folder / "summary.json").write_text(json.dumps(summary))
    code, _, err = command("task=compare", RUNS, "task.metric=f1")
    assert code == 1
    assert "task.metric=f1 is not a test metric of lr0.2_seed1" in err
