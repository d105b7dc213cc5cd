"""``summary.json`` has one schema for all tasks, and summaries of earlier versions can be read."""

import json
import math
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from celeba_lab.errors import UserError
from celeba_lab.runs.summary import LARGEST_SEED, SUMMARY, VERSION, Summary

NEEDED: dict[str, Any] = {"experiment": "smile", "task": "train", "metrics": {"val/accuracy": 0.9}}
# Summaries of task=train, task=generate and task=compare from version 0, with fewer metrics.
OLD_TRAINING = {
    "experiment": "smile",
    "task": "train",
    "data": {"name": "celeba", "root": "data/celeba", "images": {"train": 32, "val": 8, "test": 8}},
    "metrics": {"val/accuracy": 0.9, "val/auroc": None},
    "majority_accuracy": {"val": 0.5},
    "best_epoch": 2,
    "weights": "ImageNet weights (torchvision DEFAULT)",
    "seed": 3,
    "checkpoint": "outputs/smile/1/checkpoints/best.ckpt",
    "device": "cpu, 2 threads",
    "seconds": {"fit": 1.5},
    "versions": {"torch": "2.9"},
    "git": None,
}
OLD_SAMPLES = {
    "experiment": "generate",
    "task": "generate",
    "data": None,
    "metrics": {"generate/faces": 16.0},
    "seed": 3,
    "weights": "raw",
    "device": "cpu",
    "seconds": {},
    "versions": {},
    "git": "abc",
}
OLD_COMPARISON = {
    "experiment": "compare",
    "task": "compare",
    "data": {"name": "celeba", "root": "data/celeba", "images": {"test": 8}},
    "metrics": {"runs": 2.0},
    "runs": {"a": "outputs/a"},
    "baseline": "a",
    "seconds": {},
    "versions": {},
    "git": None,
}


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def write(folder: Path, content: object) -> Path:
    (folder / SUMMARY).write_text(json.dumps(content))
    return folder


def test_a_summary_can_be_read_back(tmp_path: Path) -> None:
    summary = Summary(
        **NEEDED,
        seed=3,
        data={"name": "CelebA – Gesichter", "images": {"train": 6400}},
        majority_accuracy={"val": 0.5},
        best_epoch=2,
        initial_weights="random weights",
        seconds={"fit": 1.5},
        details={"ensemble": ["a.ckpt"]},
    )
    assert summary.write(tmp_path) == tmp_path / SUMMARY
    assert Summary.read(tmp_path) == summary


def test_a_summary_is_valid_json_with_null_for_undefined_values(tmp_path: Path) -> None:
    metrics = {"val/auroc": math.nan, "val/loss": math.inf, "val/accuracy": 0.9}
    details = {"listed": [1.0, math.nan, (2, -math.inf)], "nothing": None}
    path = Summary(experiment="smile", task="train", metrics=metrics, details=details).write(tmp_path)
    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    assert found["metrics"] == {"val/auroc": None, "val/loss": None, "val/accuracy": 0.9}
    assert found["details"] == {"listed": [1.0, None, [2, None]], "nothing": None}
    assert list(found) == [field.name for field in fields(Summary)], "the file must contain all fields"
    read = Summary.read(tmp_path).metrics
    assert math.isnan(read["val/auroc"])
    assert read["val/accuracy"] == 0.9


@pytest.mark.parametrize("wrong", [{"seed": "three"}, {"metrics": {"val/accuracy": "high"}}, {"details": None}])
def test_a_wrong_type_is_rejected_before_anything_is_written(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"the field {next(iter(wrong))} has the wrong type"):
        Summary(**NEEDED | wrong).write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_details_that_cannot_be_encoded_as_json_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Summary(**NEEDED, details={"model": object()}).write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_misspelt_field_is_rejected() -> None:
    with pytest.raises(TypeError, match="chekpoint"):
        Summary(**NEEDED, chekpoint="best.ckpt")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"best_epoch": "third"}, "the field best_epoch has the wrong type: 'third'."),
        ({"metrics": {"val/accuracy": "high"}}, "the field metrics has the wrong type: {'val/accuracy': 'high'}."),
        ({"metrics": None}, "the field metrics has the wrong type: None."),
        ({"version": "new"}, "it has version new, but this version of celeba_lab only supports versions up to"),
    ],
)
def test_the_error_for_a_wrong_type_names_the_field(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    folder = write(tmp_path, asdict(Summary(**NEEDED)) | change)
    with pytest.raises(UserError) as error:
        Summary.read(folder)
    assert str(error.value).startswith(f"{folder / SUMMARY} cannot be used: {reason}")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"seed": True}, "seed"),
        ({"best_epoch": 10**12}, "best_epoch"),
        ({"metrics": {"val/loss": 1e308}}, "metrics.val/loss"),
        ({"metrics": {"val/loss": math.inf}}, "metrics.val/loss"),
        ({"metrics": {"val/loss": True}}, "metrics.val/loss"),
        ({"metrics": dict.fromkeys(map(str, range(10_001)), 0.0)}, "metrics"),
        ({"majority_accuracy": {"val": 1.5}}, "majority_accuracy.val"),
        ({"seconds": {"training": 1e308}}, "seconds.training"),
        ({"seconds": {"training": -1}}, "seconds.training"),
        ({"seconds": {"training": math.nan}}, "seconds.training"),
        ({"device": "x" * 10_001}, "device"),
        ({"data": {"images": ["test"]}}, "data.images"),
        ({"data": {"images": None}}, "data.images"),
        ({"data": {"images": {"test": "many"}}}, "data.images"),
        ({"data": {"images": {"test": {"a": 1}}}}, "data.images"),
        ({"data": {"images": {"test": -1}}}, "data.images"),
        ({"data": {"name": ["a"]}}, "data.name"),
        ({"data": {"name": None}}, "data.name"),
        ({"data": {"root": 3}}, "data.root"),
    ],
)
def test_the_error_for_an_impossible_value_names_its_field(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    folder = write(tmp_path, asdict(Summary(**NEEDED)) | change)
    with pytest.raises(UserError) as error:
        Summary.read(folder)
    assert f"{SUMMARY} cannot be used: the field {field} has an invalid value: " in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        ('{"version": 1, "seed": 1' + "0" * 30 + "}", "it contains an integer of more than 64 bits"),
        ('{"version": -1}', "it has version -1"),
        ('{"version": true}', "it has version True"),
        (" " * 2**22 + "{}", "bytes exceed the limit of 4,194,304"),
    ],
)
def test_a_summary_that_no_run_can_have_written_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / SUMMARY).write_text(text)
    with pytest.raises(UserError, match=f"{SUMMARY} cannot be used: .*{reason}"):
        Summary.read(tmp_path)


def test_the_largest_seed_of_a_run_can_be_read_back(tmp_path: Path) -> None:
    Summary(**NEEDED, seed=LARGEST_SEED, best_epoch=1).write(tmp_path)
    assert Summary.read(tmp_path).seed == LARGEST_SEED


def test_the_error_for_a_missing_field_names_it(tmp_path: Path) -> None:
    content = asdict(Summary(**NEEDED))
    del content["device"]
    with pytest.raises(
        UserError, match=r"cannot be used: the field device is missing\. Leave this run out, or run it again\."
    ):
        Summary.read(write(tmp_path, content))


def test_a_newer_version_is_rejected(tmp_path: Path) -> None:
    folder = write(tmp_path, asdict(Summary(**NEEDED)) | {"version": VERSION + 1})
    with pytest.raises(UserError, match=rf"it has version {VERSION + 1}, .* up to {VERSION}\. Update celeba_lab, or"):
        Summary.read(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"metrics": ', "Expecting value"), ("[]", "it is not a run summary"), (None, "No such file")],
)
def test_the_error_for_a_damaged_or_missing_file_names_it(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / SUMMARY).write_text(text)
    with pytest.raises(UserError, match=f"^{tmp_path / SUMMARY} cannot be used: {reason}"):
        Summary.read(tmp_path)


# ------------------------------------------------------------------------------------------------------------ version 0


def test_the_initial_weights_of_an_old_training_run_are_read(tmp_path: Path) -> None:
    summary = Summary.read(write(tmp_path, OLD_TRAINING))
    assert (summary.version, summary.seed, summary.best_epoch) == (0, 3, 2)
    assert (summary.initial_weights, summary.generator_weights) == ("ImageNet weights (torchvision DEFAULT)", None)
    assert summary.data == OLD_TRAINING["data"]
    assert math.isnan(summary.metrics["val/auroc"])
    assert summary.details == {}


def test_the_generator_weights_of_an_old_run_are_read(tmp_path: Path) -> None:
    summary = Summary.read(write(tmp_path, OLD_SAMPLES))
    assert (summary.initial_weights, summary.generator_weights) == (None, "raw")
    assert summary.data is None


def test_task_specific_fields_of_old_summaries_are_moved_to_the_details(tmp_path: Path) -> None:
    summary = Summary.read(write(tmp_path, OLD_COMPARISON))
    assert summary.details == {"runs": {"a": "outputs/a"}, "baseline": "a"}
    assert (summary.seed, summary.device, summary.checkpoint) == (None, None, None)


def test_an_old_summary_without_metrics_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the field metrics has the wrong type: None"):
        Summary.read(write(tmp_path, {"experiment": "smile", "task": "train", "data": {}}))


def test_parts_of_a_time_are_not_counted_twice() -> None:
    parts = {"fit": 10.0, "training": 7.0, "validation": 3.0, "test": 1.0, "report": 2.0, "tsne": 1.0}
    assert Summary(**NEEDED, seconds=parts).total_seconds == 13.0
    assert Summary(**NEEDED, seconds={"training": 7.0, "test": 1.0}).total_seconds == 8.0
