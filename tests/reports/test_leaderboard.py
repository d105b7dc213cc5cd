"""The leaderboard is written for spreadsheets and papers, and fits the terminal without cutting numbers."""

import re
from pathlib import Path

import pandas as pd
import pytest

from celeba_lab.console import console
from celeba_lab.reports.leaderboard import (
    explain_missing_score,
    show_leaderboard,
    write_leaderboard,
)
from celeba_lab.runs.leaderboard import Entry, leaderboard_table

METRICS = {"val/accuracy": 0.912345, "val/loss": 0.25, "test/accuracy": 0.9, "test/f1": 0.8, "train/recall": 0.7}


def entries(n: int = 3, settings: int = 2) -> list[Entry]:
    found = [
        Entry(
            f"{k}_lr-{k}",
            Path(f"{k}_lr-{k}"),
            "finished",
            {"model.lr": 10.0**-k, **{f"model.setting_{s}": f"a|b_{k}" for s in range(settings - 1)}},
            METRICS,
            61.0,
            f"{k}/best.ckpt",
            "train",
        )
        for k in range(n - 1)
    ]
    return [*found, Entry("9_bad", Path("9_bad"), "failed", {"model.lr": -1}, reason="model.lr=-1 must be above 0.")]


def test_the_files_contain_every_run(tmp_path: Path) -> None:
    write_leaderboard(entries(), "val/accuracy", tmp_path)
    table = pd.read_csv(tmp_path / "leaderboard.csv")
    assert table["lr"].tolist() == [1.0, 0.1, -1.0]
    assert table["val/accuracy"].tolist()[:2] == [0.912345, 0.912345]
    assert table["reason"].tolist()[2] == "model.lr=-1 must be above 0."
    markdown = (tmp_path / "leaderboard.md").read_text().splitlines()
    assert len(markdown) == 5
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in markdown} == {10}
    assert "0.9123" in markdown[2]
    latex = (tmp_path / "leaderboard.tex").read_text()
    assert [latex.count(word) for word in (r"\toprule", r"\midrule", r"\bottomrule", r"a|b\_1")] == [1, 1, 1, 1]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("settings", [1, 3, 12])
def test_the_table_fits_the_terminal(width: int, settings: int, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(console, "_width", width)
    show_leaderboard(leaderboard_table(entries(settings=settings), "val/accuracy"), "val/accuracy", "title")
    printed = capsys.readouterr().out
    assert all(len(line) <= width for line in printed.splitlines())
    assert "val/accuracy" in printed
    assert printed.count("0.9123") == 2
    assert "…" not in printed
    if width == 200 and settings < 12:
        assert "test/f1" in printed


def test_a_score_that_no_run_reports_is_explained() -> None:
    reason = "score=val/acuracy is not a metric of these runs, so they are not ranked."
    assert explain_missing_score(entries(), "val/acuracy") == f"{reason} Did you mean 'val/accuracy'?"
    assert explain_missing_score(entries(), "val/accuracy") is None
    assert explain_missing_score(entries()[2:], "val/acuracy") is None
