"""Finished runs read back: which folders are meant, what is refused, and the tables against arrays made here."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from celeba_lab.errors import UserError
from celeba_lab.reports.comparison import (
    best_first,
    check_metric,
    choose_baseline,
    describe,
    paired_tables,
    run_table,
    setting_table,
)
from celeba_lab.runs.answers import Answers, read_answers
from celeba_lab.runs.find import distinct_names, find_runs
from celeba_lab.runs.finished import FinishedRun, check_same_data, read_runs

LABELS = np.random.default_rng(0).integers(0, 2, (60, 3)).astype(np.uint8)
NAMES = ["Smiling", "Male", "Young"]
IDS = [f"{k + 1:06d}.jpg" for k in range(60)]


def probabilities(seed: int, wrong: int = 10, labels: np.ndarray = LABELS) -> np.ndarray:
    """Float32 (N, K): right about each attribute but for ``wrong`` images at random."""
    rng = np.random.default_rng(seed)
    said = labels.astype(bool)
    for k in range(said.shape[1]):
        rows = rng.permutation(len(said))[:wrong]
        said[rows, k] = ~said[rows, k]
    return np.where(said, 0.5 + 0.5 * rng.random(said.shape), 0.499 * rng.random(said.shape)).astype(np.float32)


def write_run(
    folder: Path,
    seed: int = 0,
    *,
    split: str = "test",
    names: Sequence[str] = NAMES,
    ids: Sequence[str] = IDS,
    labels: np.ndarray = LABELS,
    said: np.ndarray | None = None,
    val_accuracy: float | None = 0.9,
    settings: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    threshold: float = 0.5,
    **summary: Any,
) -> Path:
    """Write what ``task=train`` leaves, as far as a comparison reads it."""
    labels = labels[:, : len(names)]
    said = probabilities(seed, labels=labels) if said is None else said
    accuracy = ((said >= threshold) == labels).mean(axis=0).tolist()
    metrics = {f"{split}/accuracy": float(np.mean(accuracy)), f"{split}/loss": 0.25, f"{split}/f1": None}
    metrics |= {f"{split}/accuracy/{name}": value for name, value in zip(names, accuracy, strict=True)}
    if val_accuracy is not None:
        metrics |= {"val/accuracy": val_accuracy, "val/loss": 1 - val_accuracy}
    about = {"name": "celeba", "root": str(folder), "images": {"train": 40, "val": 20, split: len(ids)}} | (data or {})
    (folder / "tables").mkdir(parents=True)
    content = {"task": "train", "data": about, "metrics": metrics, "seed": seed, "best_epoch": 2, **summary}
    (folder / "summary.json").write_text(json.dumps(content))
    cfg = OmegaConf.create({"seed": seed, "model": {"lr": 1e-3, "threshold": threshold}})
    cfg.merge_with({"logger": {"save_dir": str(folder)}}, settings or {})
    OmegaConf.save(cfg, folder / "config.yaml")
    columns: dict[str, Any] = {"image_id": list(ids)}
    for k, name in enumerate(names):
        columns |= {f"label/{name}": labels[:, k], f"probability/{name}": said[:, k]}
    pd.DataFrame(columns).to_csv(folder / "tables" / f"predictions_{split}.csv", index=False)
    history = {"epoch": [1, 2], "val/loss": [0.5, 0.4], "val/accuracy": [0.8, 0.9], "train/loss": [0.6, 0.3]}
    pd.DataFrame(history).to_csv(folder / "tables" / "history.csv", index=False)
    return folder


def two_runs(tmp_path: Path, **second: Any) -> list[FinishedRun]:
    write_run(tmp_path / "a", 1)
    write_run(tmp_path / "b", **({"seed": 2} | second))
    return read_runs([tmp_path / "a", tmp_path / "b"], "test")[0]


# ----------------------------------------------------------------------------------------------------- finding the runs


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Two single runs, a sweep of three, an unfinished one in either, and what is no run."""
    smile = tmp_path / "outputs" / "smile"
    for name in ("2026-01-01", "2026-01-02", "sweep_1/2_lr-2", "sweep_1/10_lr-[3]", "sweep_1/1_lr-1"):
        (smile / name / "tables").mkdir(parents=True)
        (smile / name / "summary.json").write_text("{}")
        (smile / name / "config.yaml").write_text("{}")
    (smile / "2026-01-03" / ".hydra").mkdir(parents=True)
    (smile / "sweep_1" / "3_lr-4").mkdir()
    (smile / "sweep_1" / "3_lr-4" / "config.yaml").write_text("{}")
    (smile / "sweep_1" / "multirun.yaml").write_text("{}")
    (smile / "notes").mkdir()
    return tmp_path / "outputs"


SINGLE = ["2026-01-01", "2026-01-02"]
SWEPT = ["1_lr-1", "2_lr-2", "10_lr-[3]"]  # in natural order


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("smile/*", SINGLE + SWEPT),
        ("smile", SINGLE + SWEPT),
        ("", SINGLE + SWEPT),
        ("smile/sweep_1", SWEPT),
        ("smile/sweep_*", SWEPT),
        ("smile/sweep_1/*", SWEPT),
        ("smile/2026-*/summary.json", SINGLE),
        ("smile/**", SINGLE + SWEPT),
        ("smile/sweep_1/10_lr-[3]", ["10_lr-[3]"]),  # a folder's own name is no glob
    ],
)
def test_a_pattern_means_runs_or_folders_of_runs(outputs: Path, pattern: str, expected: list[str]) -> None:
    finished, _ = find_runs(str(outputs / pattern))
    assert [folder.name for folder in finished] == expected


def test_unfinished_runs_are_found_too(outputs: Path) -> None:
    _, unfinished = find_runs([str(outputs / "smile")])
    assert [folder.name for folder in unfinished] == ["2026-01-03", "3_lr-4"]


def test_each_run_counts_once_and_the_comparison_itself_never(outputs: Path) -> None:
    patterns = [str(outputs / "smile" / "2026-01-0[12]"), str(outputs / "smile" / ".." / "smile" / "*")]
    finished, unfinished = find_runs(patterns, ignore=outputs / "smile" / "2026-01-03")
    assert [folder.name for folder in finished] == SINGLE + SWEPT
    assert [folder.name for folder in unfinished] == ["3_lr-4"]


def test_relative_patterns(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(outputs.parent)
    assert find_runs("outputs/smile/2026-01-01") == find_runs(str(outputs / "smile" / "2026-01-01"))
    with pytest.raises(UserError, match=f"nearest folder that exists, {outputs.parent}, holds outputs"):
        find_runs("output/smile/*")


def test_nothing_matched_names_the_nearest_folders(outputs: Path) -> None:
    with pytest.raises(UserError) as error:
        find_runs(str(outputs / "smlie" / "*"))
    assert str(error.value).endswith(f"The nearest folder that exists, {outputs}, holds smile. Did you mean 'smile'?")
    with pytest.raises(UserError, match=r"smile/notes, holds no folder\."):
        find_runs(str(outputs / "smile" / "notes" / "*"))


def test_names_are_the_shortest_distinct_ends() -> None:
    paths = ["/o/smile/a", "/o/male/a", "/o/male/b", "/p/male/b", "/o/smile/c"]
    assert distinct_names([Path(path) for path in paths]) == ["smile/a", "male/a", "o/male/b", "p/male/b", "c"]


# ----------------------------------------------------------------------------------------------------- reading the runs


def test_a_run_is_read_back(tmp_path: Path) -> None:
    run = FinishedRun.read(write_run(tmp_path / "a", 3, threshold=0.4), "a")
    assert run.metrics["val/accuracy"] == 0.9
    assert np.isnan(run.metrics["test/f1"])
    assert run.threshold == 0.4
    assert run.settings == {"seed": 3, "model.lr": 1e-3, "model.threshold": 0.4}  # without its own folder
    assert run.history is not None
    assert run.history["val/loss"].tolist() == [0.5, 0.4]


def test_runs_without_predictions_of_the_split_are_told_apart(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "x" / "a"), write_run(tmp_path / "y" / "a", split="val")
    runs, others = read_runs([a, b], "test")
    assert [run.folder for run in runs] == [a]
    assert [run.name for run in runs] == ["a"]  # distinct among those that are compared
    assert others == [b]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("summary.json", '{"metrics": ', "Expecting value"),
        ("summary.json", "[]", "it is no summary of a run"),
        ("summary.json", '{"data": {}}', "its metrics is None"),
        ("summary.json", '{"data": {}, "metrics": {"test/accuracy": "high"}}', "a metric is no number"),
        ("summary.json", '{"data": {}, "metrics": {}, "best_epoch": "third"}', "its best_epoch is 'third'"),
        ("config.yaml", "model: [", "while parsing"),
        ("config.yaml", None, "No such file"),
        ("tables/history.csv", "", "No columns"),
        ("tables/history.csv", "val/loss\n0.5\n", "it has no column epoch"),
        ("tables/history.csv", "epoch,val/loss\n1,low\n", "could not convert"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, file: str, content: str | None, reason: str) -> None:
    folder = write_run(tmp_path / "a")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(UserError) as error:
        FinishedRun.read(folder, "a")
    assert str(error.value).startswith(f"{folder / file} cannot be used: {reason}")
    assert str(error.value).endswith("Leave this run out of task.runs, or run it again.")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("000061.jpg,-1,0.5,1,0.5,0,0.5", "a label is neither 0 nor 1|out of bounds|cannot safely"),
        ("000061.jpg,2,0.5,1,0.5,0,0.5", "a label is neither 0 nor 1"),
        ("000061.jpg,1,1.5,1,0.5,0,0.5", "a probability is missing or not from 0 to 1"),
        ("000061.jpg,1,,1,0.5,0,0.5", "a probability is missing or not from 0 to 1"),
        ("000061.jpg,1,high,1,0.5,0,0.5", "could not convert"),
        ("000061.jpg,1,0.5,1", "Integer column has NA values"),
        ("000001.jpg,1,0.5,1,0.5,0,0.5", "an image_id is missing or there twice"),
        (",1,0.5,1,0.5,0,0.5", "an image_id is missing or there twice"),
    ],
)
def test_broken_predictions_are_named(tmp_path: Path, row: str, reason: str) -> None:
    runs = two_runs(tmp_path)
    path = runs[1].predictions("test")
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(UserError, match=f"^{re.escape(str(path))} cannot be used: .*({reason})"):
        read_answers(runs, "test")


def test_predictions_without_ids_or_images_are_refused(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    path = runs[1].predictions("test")
    header = path.read_text().splitlines()[0]
    path.write_text(header.replace("image_id", "image") + "\n")
    with pytest.raises(UserError, match="it has no column image_id"):
        read_answers(runs, "test")
    path.write_text(header + "\n")
    with pytest.raises(UserError, match="it holds no image"):
        read_answers(runs, "test")


# ------------------------------------------------------------------------------------------------------- the same data


def test_answers_are_right_where_they_are(tmp_path: Path) -> None:
    answers = read_answers(two_runs(tmp_path), "test")
    assert answers.attributes == NAMES
    assert answers.left_out == []
    assert answers.image_ids.tolist() == IDS
    np.testing.assert_array_equal(answers.labels, LABELS)
    for name, seed in (("a", 1), ("b", 2)):
        np.testing.assert_array_equal(answers.right[name], (probabilities(seed) >= 0.5) == LABELS)
        assert answers.right[name].dtype == bool


def test_each_run_has_its_own_threshold(tmp_path: Path) -> None:
    said = np.random.default_rng(5).random((60, 3), dtype=np.float32)
    answers = read_answers(two_runs(tmp_path, said=said, threshold=0.35), "test")
    np.testing.assert_array_equal(answers.right["b"], (said >= np.float32(0.35)) == LABELS)


def test_a_threshold_that_does_not_give_the_reported_accuracy_is_refused(tmp_path: Path) -> None:
    said = np.random.default_rng(5).random((60, 3), dtype=np.float32)
    runs = two_runs(tmp_path, said=said, threshold=0.35, settings={"model": {"threshold": 0.5}})
    with pytest.raises(UserError, match=r"^b: test/accuracy/Smiling is .* at the threshold 0\.5\. If its checkpoint"):
        read_answers(runs, "test")


def test_one_attribute_is_checked_by_the_accuracy_of_all(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    del runs[0].summary["metrics"]["test/accuracy/Smiling"]
    runs[0].summary["metrics"]["test/accuracy"] += 1 / 60
    with pytest.raises(UserError, match=r"^a: test/accuracy is "):
        read_answers(runs, "test")


def test_the_order_of_the_images_does_not_matter(tmp_path: Path) -> None:
    order = np.random.default_rng(3).permutation(60)
    shuffled = {"ids": [IDS[k] for k in order], "labels": LABELS[order], "said": probabilities(2)[order]}
    answers = read_answers(two_runs(tmp_path, **shuffled), "test")
    np.testing.assert_array_equal(answers.right["b"], (probabilities(2) >= 0.5) == LABELS)


def test_only_common_attributes_are_compared(tmp_path: Path) -> None:
    names = ["Young", "Smiling", "Bald"]
    columns = [2, 0, 1]
    runs = two_runs(tmp_path, names=names, labels=LABELS[:, columns], said=probabilities(2)[:, columns])
    answers = read_answers(runs, "test")
    assert answers.attributes == ["Smiling", "Young"]
    assert answers.left_out == ["Male", "Bald"]
    np.testing.assert_array_equal(answers.right["b"], ((probabilities(2) >= 0.5) == LABELS)[:, [0, 2]])


def test_no_common_attribute_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no attribute in common: a has Smiling, Male, Young"):
        read_answers(two_runs(tmp_path, names=["Bald"]), "test")


def test_other_images_are_refused(tmp_path: Path) -> None:
    other = [*IDS[:-1], "999999.jpg"]
    with pytest.raises(UserError, match=r"^a and b are about different images .* a alone has 000060\.jpg\. Name runs"):
        read_answers(two_runs(tmp_path, ids=other), "test")


def test_more_images_are_refused(tmp_path: Path) -> None:
    more = {"ids": [*IDS, "x.jpg"], "labels": np.vstack([LABELS, LABELS[:1]])}
    with pytest.raises(UserError, match=r"60 and 61, of which b alone has x\.jpg"):
        read_answers(two_runs(tmp_path, **more), "test")


def test_other_labels_are_refused(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[7, 1] = 1 - labels[7, 1]
    one, other = LABELS[7, 1], labels[7, 1]
    sentence = f"Male of 000008.jpg is {one} in the one and {other} in the other, and 1 of 180 labels differ"
    with pytest.raises(UserError, match=sentence):
        read_answers(two_runs(tmp_path, labels=labels), "test")


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"name": "synthetic"}, "data.name is celeba in the one and synthetic in the other"),
        ({"images": {"train": 40, "val": 20, "test": 59}}, "data.images.test is 60 in the one and 59"),
    ],
)
def test_other_data_is_refused(tmp_path: Path, data: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match=f"^a and b are about different data: {key}"):
        check_same_data(two_runs(tmp_path, data=data), "test")


def test_faces_drawn_otherwise_are_other_data(tmp_path: Path) -> None:
    drawn = [{"name": "synthetic", "synthetic": {"n": 100, "seed": seed}} for seed in (1, 2)]
    folders = [write_run(tmp_path / str(k), data=data) for k, data in enumerate(drawn)]
    with pytest.raises(UserError, match=r"data\.synthetic\.seed is 1 in the one and 2 in the other"):
        check_same_data(read_runs(folders, "test")[0], "test")


def test_another_folder_and_more_images_to_train_on_are_the_same_data(tmp_path: Path) -> None:
    data = {"root": "/elsewhere", "images": {"train": 4000, "val": 20, "test": 60}}
    check_same_data(two_runs(tmp_path, data=data), "test")


# --------------------------------------------------------------------------------------------------------- side by side


def test_the_best_run_is_chosen_on_validation_not_on_test(tmp_path: Path) -> None:
    perfect = LABELS.astype(np.float32)
    folders = [
        write_run(tmp_path / "lucky", 1, said=perfect, val_accuracy=0.8),
        write_run(tmp_path / "good", 2, val_accuracy=0.95),
        write_run(tmp_path / "unknown", 3, val_accuracy=None),
    ]
    runs, _ = read_runs(folders, "test")
    assert [run.name for run in best_first(runs, "accuracy")] == ["good", "lucky", "unknown"]
    assert [run.name for run in best_first(runs, "loss")] == ["good", "lucky", "unknown"]
    assert choose_baseline(runs, "accuracy").name == "good"
    for run in runs:
        run.summary["metrics"].pop("val/accuracy", None)
    assert choose_baseline(runs, "accuracy").name == "lucky"


def test_a_baseline_by_name_or_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [write_run(tmp_path / name) for name in ("x/a", "y/a", "y/c")]
    runs, _ = read_runs(folders, "test")
    monkeypatch.chdir(tmp_path)
    for named, expected in (("x/a", 0), ("c", 2), (str(folders[1]), 1), ("y/../y/a", 1)):
        assert choose_baseline(runs, "accuracy", named) is runs[expected]
    with pytest.raises(UserError, match=r"task\.baseline=a means 2 runs; name one of x/a, y/a"):
        choose_baseline(runs, "accuracy", "a")
    with pytest.raises(UserError, match=r"is no run of this comparison; .* Did you mean 'y/a'\?"):
        choose_baseline(runs, "accuracy", "y/aa")


def test_a_misspelt_metric_is_refused(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    check_metric(runs, "test", "f1")
    with pytest.raises(UserError, match=r"a has no such metric .* accuracy, loss, f1\. Did you mean 'accuracy'\?"):
        check_metric(runs, "test", "acuracy")


def test_one_row_per_run(tmp_path: Path) -> None:
    seconds = {"fit": 30.0, "training": 20.0}
    runs = two_runs(tmp_path, val_accuracy=None, best_epoch=None, seconds=seconds, git="abc", device="cpu")
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


def test_only_settings_that_differ(tmp_path: Path) -> None:
    settings = {"model": {"lr": 1e-4, "weights": None, "compile": True}, "data": {"partitions": ["train", "val"]}}
    table = setting_table(two_runs(tmp_path, seed=1, settings=settings)).set_index("setting")
    assert table["a"].to_dict() == {"model.lr": "0.001", **dict.fromkeys(list(table.index)[1:], "")}
    assert table["b"].to_dict() == {
        "model.lr": "0.0001",
        "model.weights": "null",
        "model.compile": "true",
        "data.partitions": "['train', 'val']",
    }


def answers_of(right: dict[str, list[list[int]]]) -> Answers:
    arrays = {name: np.array(rows, dtype=bool) for name, rows in right.items()}
    n, k = next(iter(arrays.values())).shape
    ids = np.array([f"{row}.jpg" for row in range(n)], dtype=object)
    return Answers(ids, NAMES[:k], [], np.zeros((n, k), dtype=np.uint8), arrays)


def test_every_run_against_the_baseline() -> None:
    better = [[1, 1]] * 30 + [[1, 0]] * 10
    base = [[1, 1]] * 20 + [[0, 1]] * 10 + [[0, 1]] * 1 + [[0, 0]] * 9
    paired, details = paired_tables(answers_of({"up": better, "base": base, "same": base}), "base", 2000, 1)
    assert paired["run"].tolist() == ["up", "same"]
    assert set(paired["baseline"]) == {"base"}
    up, same = paired.iloc[0], paired.iloc[1]
    assert (up["accuracy"], up["baseline_accuracy"]) == (70 / 80, 51 / 80)
    assert up["difference"] == pytest.approx(19 / 80)
    assert (up["images_apart"], up["images"], up["attributes"]) == (19, 40, 2)  # one image is right once in either
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


def test_one_run_is_tested_alike_whatever_the_others() -> None:
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
            "a is better than b by 0.0120 (95 % 0.0030 to 0.0210), p = 0.01",
        ),
        (
            {"difference": -0.012, "low": -0.021, "high": -0.003, "p": 0.0004},
            "a is worse than b by 0.0120 (95 % 0.0030 to 0.0210), p < 0.001",
        ),
        (
            {"difference": -0.001, "low": -0.008, "high": 0.006, "p": 0.81},
            "a and b: no difference that 800 images can show (-0.0010, 95 % -0.0080 to +0.0060, p = 0.81)",
        ),
        (
            {"difference": 0.012, "low": 0.003, "high": 0.021, "p": 0.03, "p_adjusted": 0.09},
            "a is better than b by 0.0120 (95 % 0.0030 to 0.0210), p = 0.03, but p = 0.09 where all 1 comparisons are"
            " counted (Holm)",
        ),
        (
            {"difference": 0.00625, "low": 0.00125, "high": 0.0125, "p": 0.01, "images_apart": 5},
            "a is better than b by 0.0063 (95 % 0.0013 to 0.0125), p = 0.01; only 5 images tell them apart, too few to"
            " rely on",
        ),
        (
            {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "images_apart": 0},
            "a and b are right about the same things in all 800 images",
        ),
    ],
)
def test_a_test_in_words(row: dict[str, float], sentence: str) -> None:
    whole = {"run": "a", "baseline": "b", "images": 800, "images_apart": 100, "p_adjusted": row["p"]} | row
    assert list(describe(pd.DataFrame([whole]))) == [sentence]
