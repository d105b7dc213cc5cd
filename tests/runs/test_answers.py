"""The answers of several runs: invalid tables, thresholds, and common images, labels and attributes."""

import re
from pathlib import Path

import numpy as np
import pytest

from celeba_lab.errors import UserError
from celeba_lab.runs.answers import read_answers


def test_the_error_for_an_invalid_table_names_it_and_the_fix(tmp_path: Path, run_writer) -> None:
    runs = run_writer.pair(tmp_path)
    path = runs[1].predictions("test")
    path.write_text(path.read_text() + "000061.jpg,2,0.5,1,0.5,0,0.5\n")
    sentence = "cannot be used: a label is neither 0 nor 1. Leave this run out, or run it again."
    with pytest.raises(UserError, match=f"^{re.escape(f'{path} {sentence}')}$"):
        read_answers(runs, "test")
    path.unlink()
    with pytest.raises(UserError, match=r"No such file or directory\. Leave this run out, or run it again\."):
        read_answers(runs, "test")


def test_answers_are_correct_where_prediction_and_label_agree(tmp_path: Path, run_writer) -> None:
    answers = read_answers(run_writer.pair(tmp_path), "test")
    assert answers.attributes == list(run_writer.names)
    assert answers.left_out == []
    assert answers.image_ids.tolist() == list(run_writer.image_ids)
    np.testing.assert_array_equal(answers.labels, run_writer.labels)
    for name, seed in (("a", 1), ("b", 2)):
        np.testing.assert_array_equal(
            answers.correct[name], (run_writer.probabilities(seed) >= 0.5) == run_writer.labels
        )
        assert answers.correct[name].dtype == bool


def test_each_run_has_its_own_threshold(tmp_path: Path, run_writer) -> None:
    probabilities = np.random.default_rng(5).random((60, 3), dtype=np.float32)
    answers = read_answers(run_writer.pair(tmp_path, probabilities=probabilities, threshold=0.35), "test")
    np.testing.assert_array_equal(answers.correct["b"], (probabilities >= np.float32(0.35)) == run_writer.labels)


def test_a_threshold_that_does_not_reproduce_the_accuracy_is_rejected(tmp_path: Path, run_writer) -> None:
    probabilities = np.random.default_rng(5).random((60, 3), dtype=np.float32)
    runs = run_writer.pair(
        tmp_path, probabilities=probabilities, threshold=0.35, settings={"model": {"threshold": 0.5}}
    )
    with pytest.raises(UserError, match=r"^b: test/accuracy/Smiling is .* at a threshold of 0\.5\. If the checkpoint"):
        read_answers(runs, "test")


def test_a_single_attribute_is_checked_against_the_overall_accuracy(tmp_path: Path, run_writer) -> None:
    runs = run_writer.pair(tmp_path)
    del runs[0].metrics["test/accuracy/Smiling"]
    runs[0].metrics["test/accuracy"] += 1 / 60
    with pytest.raises(UserError, match=r"^a: test/accuracy is "):
        read_answers(runs, "test")


def test_the_order_of_the_images_does_not_matter(tmp_path: Path, run_writer) -> None:
    order = np.random.default_rng(3).permutation(60)
    shuffled = {
        "ids": [run_writer.image_ids[k] for k in order],
        "labels": run_writer.labels[order],
        "probabilities": run_writer.probabilities(2)[order],
    }
    answers = read_answers(run_writer.pair(tmp_path, **shuffled), "test")
    np.testing.assert_array_equal(answers.correct["b"], (run_writer.probabilities(2) >= 0.5) == run_writer.labels)


def test_only_common_attributes_are_compared(tmp_path: Path, run_writer) -> None:
    names = ["Young", "Smiling", "Bald"]
    columns = [2, 0, 1]
    runs = run_writer.pair(
        tmp_path,
        names=names,
        labels=run_writer.labels[:, columns],
        probabilities=run_writer.probabilities(2)[:, columns],
    )
    answers = read_answers(runs, "test")
    assert answers.attributes == ["Smiling", "Young"]
    assert answers.left_out == ["Male", "Bald"]
    np.testing.assert_array_equal(
        answers.correct["b"], ((run_writer.probabilities(2) >= 0.5) == run_writer.labels)[:, [0, 2]]
    )


def test_runs_without_a_common_attribute_are_rejected(tmp_path: Path, run_writer) -> None:
    with pytest.raises(UserError, match="no attribute in common: a has Smiling, Male, Young"):
        read_answers(run_writer.pair(tmp_path, names=["Bald"]), "test")


def test_different_images_are_rejected(tmp_path: Path, run_writer) -> None:
    other = [*run_writer.image_ids[:-1], "999999.jpg"]
    with pytest.raises(UserError, match=r"^a and b used different images .* Only a has 000060\.jpg\. "):
        read_answers(run_writer.pair(tmp_path, ids=other), "test")


def test_additional_images_are_rejected(tmp_path: Path, run_writer) -> None:
    more = {"ids": [*run_writer.image_ids, "x.jpg"], "labels": np.vstack([run_writer.labels, run_writer.labels[:1]])}
    with pytest.raises(UserError, match=r"60 and 61\)\. Only b has x\.jpg"):
        read_answers(run_writer.pair(tmp_path, **more), "test")


def test_different_labels_are_rejected(tmp_path: Path, run_writer) -> None:
    labels = run_writer.labels.copy()
    labels[7, 1] = 1 - labels[7, 1]
    one, other = run_writer.labels[7, 1], labels[7, 1]
    sentence = f"Male is {one} for 000008.jpg in a but {other} in b. 1 of 180 labels differ"
    with pytest.raises(UserError, match=sentence):
        read_answers(run_writer.pair(tmp_path, labels=labels), "test")
