"""``task=leaderboard`` ranks runs from their folders alone, also those of several sweeps."""

from pathlib import Path

import pandas as pd
import pytest

from celeba_lab.runs.leaderboard import Entry
from celeba_lab.tasks.leaderboard import commands_for, show_best


def test_the_best_run_has_commands(capsys) -> None:
    best = Entry("0", Path("0"), "finished", checkpoint="0/best.ckpt", task="train", data_overrides=("data.root=/x",))
    show_best(best)
    printed = capsys.readouterr().out
    assert "python -m celeba_lab task=evaluate checkpoint=0/best.ckpt task.split=test data.root=/x" in printed
    gan = Entry("g", Path("g"), "finished", checkpoint="last.ckpt", task="train_gan")
    repeat = ("repeat", "python -m celeba_lab repeat=g")
    assert commands_for(gan) == [("generate faces", "python -m celeba_lab task=generate checkpoint=last.ckpt"), repeat]
    assert commands_for(Entry("g", Path("g"), "finished")) == [repeat]


@pytest.mark.parametrize(("direction", "best"), [("maximize", "b"), ("minimize", "a")])
def test_runs_are_ranked(tmp_path: Path, run_writer, run_command, read_summary, direction: str, best: str) -> None:
    for seed, name in enumerate("ab"):
        run_writer.write(tmp_path / "runs" / name, seed, val_accuracy=seed / 2)
    result = run_command(
        "task=leaderboard", "task.runs=runs", f"direction={direction}", "hydra.run.dir=l", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert f"best run: runs/{best}" in result.stdout
    table = pd.read_csv(tmp_path / "l" / "tables" / "leaderboard.csv")
    assert table["run"].tolist() == [best, "ab".replace(best, "")]
    metrics = read_summary(tmp_path / "l")["metrics"]
    assert metrics == {"runs": 2, "finished": 2, "val/accuracy": 0.5 if direction == "maximize" else 0.0}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["task.runs=nothing"], "task.runs=nothing matches nothing"),
        (["task.runs=empty"], "task.runs=empty contains no runs."),
        (["task.runs=empty", "direction=up"], "direction=up must be one of maximize, minimize."),
        ([], "task.runs has no value."),
    ],
)
def test_a_mistake_gives_a_one_sentence_error(tmp_path: Path, run_command, arguments: list[str], sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    result = run_command("task=leaderboard", *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert sentence in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.usefixtures("blank_figures")
def test_settings_with_several_seeds_are_compared_below_the_leaderboard(
    tmp_path: Path, run_writer, run_command
) -> None:
    for lr, wrong in ((0.1, 6), (0.2, 24)):
        for seed in (1, 2, 3):
            probabilities = run_writer.probabilities(10 * seed + wrong, wrong)
            settings = {"model": {"lr": lr}}
            run_writer.write(
                tmp_path / "runs" / f"{lr}_{seed}",
                seed,
                probabilities=probabilities,
                val_accuracy=lr + seed / 100,
                settings=settings,
            )
    damaged = run_writer.write(tmp_path / "runs" / "z", 9)
    (damaged / "summary.json").write_text("{")
    result = run_command("task=leaderboard", "task.runs=runs", "hydra.run.dir=l", "score=test/accuracy", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    words = " ".join(result.stdout.split())
    assert (
        words.index("leaderboard (maximize") < words.index("settings over seeds") < words.index("best run: runs/0.1_1")
    )
    assert "lr=0.2 is worse than lr=0.1 in test/accuracy by 0.3000" in words
    assert "z cannot be ranked. runs/z/summary.json cannot be used: " in words
    tables = {path.name for path in (tmp_path / "l" / "tables").iterdir()}
    assert {"seeds.csv", "seeds.md", "seeds.tex", "seed_differences.csv", "leaderboard.csv"} == tables - {
        "leaderboard.md",
        "leaderboard.tex",
    }
    page = (tmp_path / "l" / "report.html").read_text()
    assert "Settings over seeds" in page
    assert "tables/seeds.csv" in page
    table = pd.read_csv(tmp_path / "l" / "tables" / "leaderboard.csv")
    assert table["rank"].tolist()[:6] == [1, 1, 1, 4, 4, 4]
    assert table["state"].tolist()[6] == "damaged"
