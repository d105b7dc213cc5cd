"""Runs are grouped by their settings without the seed, and one run that cannot be read does not stop the others."""

from pathlib import Path

import numpy as np
import pytest

from celeba_lab.runs.answers import read_answers
from celeba_lab.runs.finished import FinishedRun, read_runs
from celeba_lab.runs.job import Job
from celeba_lab.runs.seeds import group_runs, read_seed_runs


def read(folders: list[Path]) -> list[FinishedRun]:
    return read_runs(folders, "test")[0]


def write_runs(folder: Path, run_writer, rates: tuple[float, ...] = (0.1, 0.2), seeds: int = 2) -> list[Path]:
    """Write runs with each learning rate and each seed."""
    return [
        run_writer.write(folder / f"lr{lr}_seed{seed}", seed, settings={"data": {"seed": seed}, "model": {"lr": lr}})
        for lr in rates
        for seed in range(1, seeds + 1)
    ]


def test_runs_that_differ_only_in_the_seed_are_a_group(tmp_path: Path, run_writer) -> None:
    groups, repeated = group_runs(read(write_runs(tmp_path, run_writer)))
    assert [(group.name, group.settings) for group in groups] == [("lr=0.1", {"lr": 0.1}), ("lr=0.2", {"lr": 0.2})]
    assert [[run.seed for run in group.runs] for group in groups] == [[1, 2], [1, 2]]
    assert repeated == []


def test_runs_with_the_same_settings_are_one_group(tmp_path: Path, run_writer) -> None:
    [group], _ = group_runs(read(write_runs(tmp_path, run_writer, (0.1,), 3)))
    assert (group.name, group.settings, len(group.runs)) == ("all runs", {}, 3)


def test_a_run_that_repeats_the_seed_of_another_is_left_out(tmp_path: Path, run_writer) -> None:
    folders = write_runs(tmp_path, run_writer, (0.1,))
    again = run_writer.write(tmp_path / "z", 1, settings={"data": {"seed": 1}, "model": {"lr": 0.1}})
    [group], repeated = group_runs(read([*folders, again]))
    assert ([run.seed for run in group.runs], [run.folder for run in repeated]) == ([1, 2], [again])


def test_evaluations_of_different_checkpoints_are_not_seeds_of_one_setting(tmp_path: Path, run_writer) -> None:
    folders = [run_writer.write(tmp_path / k, 42, settings={"checkpoint": f"{k}/best.ckpt"}) for k in "ab"]
    assert [group.name for group in group_runs(read(folders))[0]] == [
        "checkpoint=a/best.ckpt",
        "checkpoint=b/best.ckpt",
    ]


def test_groups_are_named_after_what_their_sweep_varies(tmp_path: Path, run_writer) -> None:
    """A sweep over a configuration group changes many settings, of which the user typed none."""
    folders = []
    for recipe, epochs in (("default", 4), ("strong", 14)):
        for seed in (1, 2):
            settings = {"recipe": {"max_epochs": epochs}, "model": {"lr": epochs / 10}}
            folders.append(run_writer.write(tmp_path / f"{recipe}{seed}", seed, settings=settings))
            Job(number=0, varied={"recipe": recipe, "seed": str(seed)}, state="finished").write(folders[-1])
    assert [group.name for group in group_runs(read(folders))[0]] == ["recipe=default", "recipe=strong"]
    # Another sweep with other settings but the same recipe cannot be named after the recipe alone.
    other = run_writer.write(tmp_path / "other", 1, settings={"recipe": {"max_epochs": 4}, "model": {"lr": 9}})
    Job(number=0, varied={"recipe": "default", "seed": "1"}, state="finished").write(other)
    names = [group.name for group in group_runs(read([*folders, other]))[0]]
    assert names == ["lr=0.4, max_epochs=4", "lr=1.4, max_epochs=14", "lr=9, max_epochs=4"]


def test_groups_that_differ_in_many_settings_are_named_after_their_first_runs(tmp_path: Path, run_writer) -> None:
    folders = [run_writer.write(tmp_path / name, settings={f"a{k}": name for k in range(6)}) for name in ("x", "y")]
    assert [group.name for group in group_runs(read(folders))[0]] == ["x", "y"]


def test_only_the_accuracy_is_known_for_each_image(tmp_path: Path, run_writer) -> None:
    runs = read(write_runs(tmp_path, run_writer))
    [first, _], _ = group_runs(runs)
    answers = read_answers(runs, "test")
    scores = first.scores("test/accuracy", answers)
    assert scores.shape == (2, 60)
    assert scores.mean(axis=1) == pytest.approx(first.values("test/accuracy"))
    np.testing.assert_array_equal(scores[1], answers.correct["lr0.1_seed2"].mean(axis=1))
    assert first.scores("test/loss", answers).tolist() == [0.25, 0.25]
    assert np.isnan(first.scores("test/nothing", answers)).all()
    assert first.scores("test/accuracy", None).shape == (2,)


def test_runs_that_cannot_be_compared_are_left_out_with_a_sentence(tmp_path: Path, run_writer) -> None:
    folders = write_runs(tmp_path / "runs", run_writer)
    (folders[1] / "config.yaml").unlink()
    (folders[2] / "tables" / "history.csv").write_text("damaged")  # The comparison over seeds does not need it.
    drawn = run_writer.write(tmp_path / "drawn", data={"name": "synthetic"})
    (tmp_path / "unfinished").mkdir()
    runs, sentences = read_seed_runs([*folders, drawn, tmp_path / "unfinished"])
    assert [run.folder for run in runs] == [folders[0], folders[2], folders[3]]
    assert len(sentences) == 2
    assert "config.yaml cannot be used: No such file or directory" in sentences[0]
    assert sentences[1].startswith(
        "These runs were left out of the comparison over seeds, because they used other data: "
    )
    assert read_seed_runs([]) == ([], [])
