"""Runs are ranked by their score, with the settings in which they differ."""

from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from celeba_lab.runs.job import Job
from celeba_lab.runs.leaderboard import (
    Entry,
    leaderboard_table,
    main_metrics,
    rank,
    read_entries,
    varied_settings,
)
from celeba_lab.runs.summary import Summary


def entry(name: str, score: float | None = None, **settings: object) -> Entry:
    metrics = {} if score is None else {"val/accuracy": score}
    return Entry(name, Path(name), "failed" if score is None else "finished", settings, metrics, 3.0)


ENTRIES = [entry("a", 0.5, lr=1), entry("b", lr=2), entry("c", 0.7, lr=3), entry("d", float("nan"), lr=3)]


@pytest.mark.parametrize(("direction", "order"), [("maximize", "cadb"), ("minimize", "acdb")])
def test_runs_without_a_score_follow_the_others(direction: str, order: str) -> None:
    assert "".join(each.name for each in rank(ENTRIES, "val/accuracy", direction)) == order


def test_without_a_score_the_order_is_kept() -> None:
    assert [each.name for each in rank(ENTRIES, None, "maximize")] == ["a", "c", "d", "b"]


def test_only_settings_that_differ_are_columns() -> None:
    entries = [entry("a", 0.1, lr=1, seed=1), entry("b", 0.2, lr=1, seed=2, extra="x")]
    assert varied_settings(entries) == ["seed", "extra"]
    table = leaderboard_table(entries, "val/accuracy")
    assert list(table.columns) == ["rank", "run", "seed", "extra", "val/accuracy", "seconds", "state", "reason"]
    assert table["seed"].tolist() == [1, 2], "integers stay integers"
    assert table["rank"].tolist() == [1, 2]


def test_main_metrics_are_the_score_and_its_kin() -> None:
    metrics = {"val/accuracy": 1.0, "val/loss": 1.0, "val/f1": 1.0, "test/accuracy": 1.0, "test/accuracy/Smiling": 1.0}
    table = leaderboard_table([Entry("a", Path("a"), "finished", metrics=metrics)], "val/accuracy")
    assert "test/accuracy/Smiling" not in table
    assert main_metrics(table, "val/accuracy") == ["val/accuracy", "val/loss", "test/accuracy"]


def test_jobs_of_sweeps_show_what_their_sweep_varies(tmp_path: Path) -> None:
    for number, state in enumerate(["finished", "failed", "running"]):
        folder = tmp_path / f"{number}_lr"
        folder.mkdir()
        job = Job(number=number, varied={"model.lr": f"1e-{number}"}, state=state, seconds=5.0)
        job.write(folder)
    Summary(experiment="smile", task="train", metrics={"val/accuracy": 0.5}, checkpoint="x").write(tmp_path / "0_lr")
    entries = read_entries(tmp_path.iterdir())
    assert [each.state for each in entries] == ["finished", "failed", "running"]
    assert [each.settings for each in entries] == [{"model.lr": 1.0}, {"model.lr": 0.1}, {"model.lr": 0.01}]
    assert (entries[0].metrics, entries[0].checkpoint, entries[0].seconds) == ({"val/accuracy": 0.5}, "x", 5.0)


def test_other_runs_show_the_settings_in_their_files(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        model = {"lr": 0.1, "attributes": ["Smiling", "Male"][:number], "compile": number == 1}
        settings = {"name": str(number), "seed": number, "model": model, "logger": {"save_dir": str(folder)}}
        OmegaConf.save(settings, folder / "config.yaml")
        Summary(experiment="smile", task="train", metrics={}, seconds={"training": 2.0, "report": 1.0}).write(folder)
    entries = read_entries(tmp_path.iterdir())
    assert varied_settings(entries) == ["seed", "model.attributes", "model.compile"]
    assert list(entries[0].settings.values()) == [1, "[Smiling]", "true"]
    assert entries[0].seconds == 3.0


def test_equal_scores_have_the_same_rank() -> None:
    entries = rank(
        [entry(name, score) for name, score in zip("abcde", [0.5, 0.7, 0.7, None, 0.1], strict=True)],
        "val/accuracy",
        "maximize",
    )
    table = leaderboard_table(entries, "val/accuracy")
    assert table["run"].tolist() == ["b", "c", "a", "e", "d"]
    assert table["rank"].tolist() == [1, 1, 3, 4, pd.NA]


def write_job(folder: Path, number: int, varied: dict[str, str], settings: dict[str, object]) -> Path:
    folder.mkdir(parents=True)
    Job(number=number, varied=varied, state="finished").write(folder)
    OmegaConf.save(OmegaConf.create(settings), folder / "config.yaml")
    Summary(experiment="smile", task="train", metrics={"val/accuracy": 0.5}).write(folder)
    return folder


def test_settings_that_one_of_several_sweeps_does_not_vary_are_filled_in(tmp_path: Path) -> None:
    attributes = ["Smiling", "Male"]
    settings = {"seed": 7, "model": {"lr": 0.12345678, "compile": False, "attributes": attributes}}
    own = {"seed": "1", "recipe": "strong", "model.compile": "true", "model.attributes": "[Young,Male]"}
    folders = [
        write_job(tmp_path / "a" / "0", 0, {"model.lr": "0.12345678"}, settings),
        write_job(tmp_path / "b" / "0", 0, own, settings),
    ]
    (folders[0] / ".hydra").mkdir()
    (folders[0] / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {choices: {recipe: default}}}")
    first, second = read_entries(folders)
    filled = {"seed": 7, "recipe": "default", "model.compile": "false", "model.attributes": "[Smiling,Male]"}
    assert first.settings == {"model.lr": 0.12345678, **filled}
    assert second.settings == {"model.lr": 0.12345678, **own, "seed": 1}
    table = leaderboard_table([first, second], "val/accuracy")
    assert "lr" not in table, "both runs have the same learning rate"
    assert table[["seed", "recipe", "compile"]].notna().all(axis=None)


def test_the_settings_of_a_single_sweep_are_not_read_from_its_runs(tmp_path: Path) -> None:
    """The leaderboard is written after each job, and reading the settings of all jobs takes long."""
    for number in range(2):
        write_job(tmp_path / str(number), number, {"seed": str(number)}, {})
        (tmp_path / str(number) / "config.yaml").write_text("[")
    assert [each.state for each in read_entries(tmp_path.iterdir())] == ["finished"] * 2


@pytest.mark.parametrize("file", ["summary.json", "job.json", "config.yaml", ".hydra/overrides.yaml"])
def test_a_damaged_run_does_not_stop_the_leaderboard(tmp_path: Path, file: str) -> None:
    for number in range(3):
        folder = write_job(tmp_path / str(number), number, {"seed": str(number)}, {"seed": number})
        if file == "config.yaml":
            (folder / Job.FILE).unlink()
    (tmp_path / "1" / ".hydra").mkdir()
    (tmp_path / "1" / file).write_text("{")
    entries = rank(read_entries(tmp_path.iterdir()), "val/accuracy", "maximize")
    assert [(each.name, each.state) for each in entries] == [("0", "finished"), ("2", "finished"), ("1", "damaged")]
    assert str(entries[2].reason).startswith(f"{tmp_path / '1' / file} cannot be used: ")
    assert leaderboard_table(entries, "val/accuracy")["state"].tolist() == ["finished", "finished", "damaged"]
