"""Comparison of several runs: their order, the baseline, and the tables computed from known predictions."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from celeba_lab.errors import UserError
from celeba_lab.reports.comparison import (
    best_first,
    check_metric,
    choose_baseline,
    describe,
    paired_tables,
    run_table,
    setting_table,
    show_settings,
)
from celeba_lab.runs.answers import CorrectAnswers
from celeba_lab.runs.finished import read_runs


def test_the_best_run_is_chosen_by_its_validation_metric(tmp_path: Path, run_writer) -> None:
    perfect = run_writer.labels.astype(np.float32)
    folders = [
        run_writer.write(tmp_path / "lucky", 1, probabilities=perfect, val_accuracy=0.8),
        run_writer.write(tmp_path / "good", 2, val_accuracy=0.95),
        run_writer.write(tmp_path / "unknown", 3, val_accuracy=None),
    ]
    runs, _ = read_runs(folders, "test")
    assert [run.name for run in best_first(runs, "accuracy")] == ["good", "lucky", "unknown"]
    assert [run.name for run in best_first(runs, "loss")] == ["good", "lucky", "unknown"]
    assert choose_baseline(runs, "accuracy").name == "good"
    for run in runs:
        run.metrics.pop("val/accuracy", None)
    assert choose_baseline(runs, "accuracy").name == "lucky"


def test_the_baseline_can_be_given_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_writer) -> None:
    folders = [run_writer.write(tmp_path / name) for name in ("x/a", "y/a", "y/c")]
    runs, _ = read_runs(folders, "test")
    monkeypatch.chdir(tmp_path)
    for named, expected in (("x/a", 0), ("c", 2), (str(folders[1]), 1), ("y/../y/a", 1)):
        assert choose_baseline(runs, "accuracy", named) is runs[expected]
    with pytest.raises(UserError, match=r"^baseline=a matches 2 runs\. Choose one of x/a, y/a"):
        choose_baseline(runs, "accuracy", "a")
    with pytest.raises(UserError, match=r"is not a run or setting in this comparison\. .* Did you mean 'y/a'\?"):
        choose_baseline(runs, "accuracy", "y/aa")


def test_a_misspelt_metric_is_rejected(tmp_path: Path, run_writer) -> None:
    runs = run_writer.pair(tmp_path)
    check_metric(runs, "test", "f1")
    with pytest.raises(
        UserError,
        match=r"is not a test metric of a, for which these metrics are available: accuracy, loss, f1\."
        r" Did you mean 'accuracy'\?",
    ):
        check_metric(runs, "test", "acuracy")


def test_the_table_has_one_row_per_run(tmp_path: Path, run_writer) -> None:
    seconds = {"fit": 30.0, "training": 20.0}
    runs = run_writer.pair(tmp_path, val_accuracy=None, best_epoch=None, seconds=seconds, git="abc", device="cpu")
    table = run_table(runs, "test").set_index("run")
    assert list(table.index) == ["a", "b"]
    assert table.loc["a", "test/accuracy"] == runs[0].metrics["test/accuracy"]
    assert not [name for name in table if name.count("/") > 1]
    assert np.isnan(table.loc["b", "val/accuracy"])
    assert table["best_epoch"].tolist() == [2, pd.NA]
    assert table["seed"].tolist() == [1, 2]
    assert table.loc["b", ["training_seconds", "commit", "device"]].tolist() == [20.0, "abc", "cpu"]
    assert table["test_images"].tolist() == [60, 60]
    assert table.loc["b", "folder"] == str(tmp_path / "b")


def test_only_differing_settings_are_listed(tmp_path: Path, run_writer) -> None:
    settings = {"model": {"lr": 1e-4, "weights": None, "compile": True}, "data": {"partitions": ["train", "val"]}}
    table = setting_table(run_writer.pair(tmp_path, seed=1, settings=settings)).set_index("setting")
    assert table["a"].to_dict() == {"model.lr": "0.001", **dict.fromkeys(list(table.index)[1:], "")}
    assert table["b"].to_dict() == {
        "model.lr": "0.0001",
        "model.weights": "null",
        "model.compile": "true",
        "data.partitions": "[train,val]",
    }


def answers_of(right: dict[str, list[list[int]]]) -> CorrectAnswers:
    """Return the answers of several runs, given which attributes of each image each run predicts correctly."""
    arrays = {name: np.array(rows, dtype=bool) for name, rows in right.items()}
    n, k = next(iter(arrays.values())).shape
    ids = np.array([f"{row}.jpg" for row in range(n)], dtype=object)
    return CorrectAnswers(ids, ["Smiling", "Male", "Young"][:k], [], np.zeros((n, k), dtype=np.uint8), arrays)


def test_every_run_is_compared_with_the_baseline() -> None:
    better = [[1, 1]] * 30 + [[1, 0]] * 10
    base = [[1, 1]] * 20 + [[0, 1]] * 10 + [[0, 1]] * 1 + [[0, 0]] * 9
    paired, details = paired_tables(answers_of({"up": better, "base": base, "same": base}), "base", 2000, 1)
    assert paired["run"].tolist() == ["up", "same"]
    assert set(paired["baseline"]) == {"base"}
    up, same = paired.iloc[0], paired.iloc[1]
    assert (up["accuracy"], up["baseline_accuracy"]) == (70 / 80, 51 / 80)
    assert up["difference"] == pytest.approx(19 / 80)
    assert (up["images_apart"], up["images"], up["attributes"]) == (
        19,
        40,
        2,
    )  # On the remaining image, each run predicts one attribute correctly.
    assert 0 < up["low"] < up["difference"] < up["high"]
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)
    assert up["p_adjusted"] == pytest.approx(2 * up["p"])
    assert (up["attributes_better"], up["attributes_worse"]) == (1, 0)
    counts = details.set_index(["run", "attribute"])[["only_run_right", "only_baseline_right"]]
    assert counts.loc[("up", "Smiling")].tolist() == [20, 0]
    assert counts.loc[("up", "Male")].tolist() == [0, 1]
    smiling = details.iloc[0]
    assert smiling["p"] == pytest.approx(2 / 2**20)
    assert smiling["p_adjusted"] == pytest.approx(2 * smiling["p"])
    assert details[details["run"] == "same"]["p"].tolist() == [1, 1]


def test_the_test_of_a_run_does_not_depend_on_the_other_runs() -> None:
    rng = np.random.default_rng(0)
    base, one, other = (rng.integers(0, 2, (50, 2)).tolist() for _ in range(3))
    alone, _ = paired_tables(answers_of({"base": base, "one": one}), "base", 500, 1)
    among, _ = paired_tables(answers_of({"other": other, "base": base, "one": one}), "base", 500, 1)
    columns = ["difference", "low", "high", "p"]
    assert alone.loc[0, columns].tolist() == among.set_index("run").loc["one", columns].tolist()


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            {"difference": 0.012, "low": 0.003, "high": 0.021, "p": 0.01},
            "a is better than b by 0.0120 (95% interval 0.0030 to 0.0210), p = 0.01",
        ),
        (
            {"difference": -0.012, "low": -0.021, "high": -0.003, "p": 0.0004},
            "a is worse than b by 0.0120 (95% interval 0.0030 to 0.0210), p < 0.001",
        ),
        (
            {"difference": -0.001, "low": -0.008, "high": 0.006, "p": 0.81},
            "a and b do not differ significantly on 800 images (-0.0010, 95% interval -0.0080 to +0.0060, p = 0.81)",
        ),
        (
            {"difference": 0.012, "low": 0.003, "high": 0.021, "p": 0.03, "p_adjusted": 0.09},
            "a is better than b by 0.0120 (95% interval 0.0030 to 0.0210), p = 0.03, but p = 0.09 after Holm's"
            " adjustment for multiple comparisons (n = 1)",
        ),
        (
            {"difference": 0.00625, "low": 0.00125, "high": 0.0125, "p": 0.01, "images_apart": 5},
            "a is better than b by 0.0063 (95% interval 0.0013 to 0.0125), p = 0.01; only 5 images distinguish them,"
            " too few for a reliable result",
        ),
        (
            {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "images_apart": 0},
            "a and b predict the same number of attributes correctly in each of the 800 images",
        ),
    ],
)
def test_the_result_of_a_test_is_described_in_words(row: dict[str, float], sentence: str) -> None:
    whole = {"run": "a", "baseline": "b", "images": 800, "images_apart": 100, "p_adjusted": row["p"]} | row
    assert list(describe(pd.DataFrame([whole]))) == [sentence]


def test_only_some_of_many_settings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The settings of a stranger's run could be so many that printing them takes minutes."""
    settings = pd.DataFrame({"setting": [f"key{k}" for k in range(1203)], "a": "1", "b": "2"})
    show_settings(settings)
    printed = capsys.readouterr().out
    assert "key199" in printed
    assert "key200" not in printed
    assert printed.endswith("1,003 more settings differ; see tables/settings.csv\n")
