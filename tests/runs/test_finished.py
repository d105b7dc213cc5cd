"""Reading finished runs, rejecting invalid files, and checking that runs used the same data."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from celeba_lab.errors import UserError
from celeba_lab.runs.answers import read_answers
from celeba_lab.runs.find import find_runs
from celeba_lab.runs.finished import FinishedRun, check_same_data, read_runs

EMPTY = '{"experiment": "smile", "task": "train", "metrics": {}, "data": {}}'


def test_a_run_is_read_back(tmp_path: Path, run_writer) -> None:
    run = FinishedRun.read(run_writer.write(tmp_path / "a", 3, threshold=0.4), "a")
    assert run.metrics["val/accuracy"] == 0.9
    assert np.isnan(run.metrics["test/f1"])
    assert run.threshold == 0.4
    assert run.settings == {"seed": 3, "model.lr": 1e-3, "model.threshold": 0.4}  # The run's own folder is omitted.
    assert run.history is not None
    assert run.history["val/loss"].tolist() == [0.5, 0.4]


def test_runs_without_predictions_of_the_split_are_returned_separately(tmp_path: Path, run_writer) -> None:
    a, b = run_writer.write(tmp_path / "x" / "a"), run_writer.write(tmp_path / "y" / "a", split="val")
    runs, others = read_runs([a, b], "test")
    assert [run.folder for run in runs] == [a]
    assert [run.name for run in runs] == ["a"]  # Names only need to be distinct among the compared runs.
    assert others == [b]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("summary.json", '{"metrics": ', "Expecting value"),
        ("summary.json", EMPTY, "it does not specify which data the run used"),
        ("config.yaml", "model: [", "while parsing"),
        ("config.yaml", None, "No such file"),
        ("tables/history.csv", "", "No columns"),
        ("tables/history.csv", "val/loss\n0.5\n", "it has no column epoch"),
        ("tables/history.csv", "epoch,val/loss\n1,low\n", "could not convert"),
        ("tables/history.csv", "epoch,val/loss\ninf,1\n", "an epoch is not a whole number"),
        ("tables/history.csv", "epoch,val/loss\n,1\n", "an epoch is not a whole number"),
        ("tables/history.csv", "epoch,val/loss\n1.5,1\n", "an epoch is not a whole number"),
        ("tables/history.csv", "epoch,val/loss\n1,1e308\n", "a value is larger than 1e+39"),
        ("tables/history.csv", f"epoch{',x' * 300_000}\n", "300,001 columns exceed the limit of 10,000"),
        ("config.yaml", "model: {threshold: abc}", "model.threshold is 'abc', but must be a number between 0 and 1"),
        ("config.yaml", "model: {threshold: [0.5]}", "model.threshold is '[0.5]', but must be a number"),
        ("config.yaml", "model: {threshold: {a: 1}}", "model.threshold is 1, but must be a number"),
        ("config.yaml", "model: {threshold: .nan}", "model.threshold is nan, but must be a number"),
        ("config.yaml", "model: {threshold: true}", "model.threshold is True, but must be a number"),
        ("config.yaml", "seed: 0.5", "seed is 0.5, but must be an integer between 0 and 4294967295"),
        ("config.yaml", "seed: -1", "seed is -1, but must be an integer between 0 and 4294967295"),
        ("config.yaml", "- a", "it does not contain settings"),
        ("config.yaml", "a: " + "[" * 200, "it is nested more than 50 levels deep"),
    ],
)
def test_the_error_for_an_invalid_file_names_it(
    tmp_path: Path, file: str, content: str | None, reason: str, run_writer
) -> None:
    folder = run_writer.write(tmp_path / "a")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(UserError) as error:
        FinishedRun.read(folder, "a")
    assert str(error.value).startswith(f"{folder / file} cannot be used: {reason}")
    assert str(error.value).endswith("Leave this run out, or run it again.")


@pytest.mark.parametrize("file", ["summary.json", "config.yaml", "tables/history.csv", "tables/predictions_test.csv"])
@pytest.mark.parametrize("kind", ["pipe", "link", "huge"])
def test_no_file_of_a_run_is_read_without_checks(tmp_path: Path, run_writer, file: str, kind: str) -> None:
    """A pipe would block, a link could show another file, and a huge file would fill the memory."""
    folder = run_writer.write(tmp_path / "a")
    path = folder / file
    if kind == "link":
        path.rename(tmp_path / "outside")
        path.symlink_to(tmp_path / "outside")
    else:
        path.unlink()
        os.mkfifo(path) if kind == "pipe" else path.touch()
    if kind == "huge":
        os.truncate(path, 30 << 30)
    reason = {
        "pipe": "not a regular file",
        "link": "it is a link that leads out of the run folder",
        "huge": "32,212,254,720 bytes exceed the limit",
    }[kind]
    with pytest.raises(UserError, match=rf"a/{file} cannot be used: {reason}"):
        read_answers(read_runs(find_runs(str(tmp_path / "a"))[0], "test")[0], "test")


def test_a_history_with_undefined_and_infinite_values_is_read(tmp_path: Path, run_writer) -> None:
    folder = run_writer.write(tmp_path / "a")
    (folder / "tables" / "history.csv").write_text("epoch,val/loss\n1,\n2,inf\n")
    history = FinishedRun.read(folder, "a").history
    assert history is not None
    assert history["epoch"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"name": "synthetic"}, "data.name is celeba in the first run and synthetic in the second"),
        ({"images": {"train": 40, "val": 20, "test": 59}}, "data.images.test is 60 in the first run and 59"),
    ],
)
def test_runs_on_different_data_are_rejected(tmp_path: Path, data: dict[str, Any], key: str, run_writer) -> None:
    with pytest.raises(UserError, match=f"^a and b used different data: {key}"):
        check_same_data(run_writer.pair(tmp_path, data=data), "test")


def test_synthetic_faces_with_other_settings_are_different_data(tmp_path: Path, run_writer) -> None:
    drawn = [{"name": "synthetic", "synthetic": {"n": 100, "seed": seed}} for seed in (1, 2)]
    folders = [run_writer.write(tmp_path / str(k), data=data) for k, data in enumerate(drawn)]
    with pytest.raises(UserError, match=r"data\.synthetic\.seed is 1 in the first run and 2 in the second"):
        check_same_data(read_runs(folders, "test")[0], "test")


def test_folder_and_number_of_training_images_do_not_matter(tmp_path: Path, run_writer) -> None:
    data = {"root": "/elsewhere", "images": {"train": 4000, "val": 20, "test": 60}}
    check_same_data(run_writer.pair(tmp_path, data=data), "test")
