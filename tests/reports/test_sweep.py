"""The report on a sweep contains a leaderboard, figures of the settings and curves, and the failures."""

from pathlib import Path

import pandas as pd
import pytest

from celeba_lab.reports.sweep import write_sweep_report
from celeba_lab.runs.folder import RunFolder
from celeba_lab.runs.leaderboard import Entry, leaderboard_table

FAILED = Entry("9_bad", Path("9_bad"), "failed", {"model.lr": -1}, reason="model.lr=-1 must be <b>above</b> 0.")


def entries_in(folder: Path, count: int, data: str = "celeba") -> list[Entry]:
    found = []
    for k in range(count):
        path = folder / f"{k}_lr"
        (path / "tables").mkdir(parents=True)
        history = {"epoch": [1, 2], "val/loss": [0.5, 0.4], "val/accuracy": [0.6, 0.7]}
        pd.DataFrame(history).to_csv(path / "tables" / "history.csv", index=False)
        metrics = {"val/accuracy": 0.9 - k / 10, "val/loss": 0.3}
        found.append(Entry(path.name, path, "finished", {"model.lr": 10.0**-k}, metrics, 3.0, data=data))
    return found


@pytest.mark.parametrize(("count", "drawn"), [(3, {"scores.png", "curves.png"}), (1, {"curves.png"}), (0, set())])
def test_the_page_shows_what_is_known(tmp_path: Path, count: int, drawn: set[str]) -> None:
    entries = [*entries_in(tmp_path, count), FAILED]
    table = leaderboard_table(entries, "val/accuracy")
    write_sweep_report(RunFolder(tmp_path), entries, table, "val/accuracy", "my sweep")
    page = (tmp_path / "report.html").read_text()
    assert "model.lr=-1 must be &lt;b&gt;above&lt;/b&gt; 0." in page
    assert ("0_lr" in page) == (count > 0)
    assert {path.name for path in (tmp_path / "figures").glob("*")} == drawn
    assert "SYNTHETIC" not in page


def test_synthetic_faces_are_named(tmp_path: Path) -> None:
    entries = entries_in(tmp_path, 2, "synthetic")
    write_sweep_report(RunFolder(tmp_path), entries, leaderboard_table(entries, None), None, "my sweep", "tables/")
    page = (tmp_path / "report.html").read_text()
    assert "SYNTHETIC faces" in page
    assert "tables/leaderboard.csv" in page
