"""Patterns for run folders, unfinished runs, and the names of runs."""

import os
from pathlib import Path

import pytest

from celeba_lab.errors import UserError
from celeba_lab.runs.find import distinct_names, find_runs


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Two individual runs and a sweep of three, an unfinished run next to each, and a folder that is not a run."""
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
SWEPT = ["1_lr-1", "2_lr-2", "10_lr-[3]"]  # In natural order.


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
        ("smile/sweep_1/10_lr-[3]", ["10_lr-[3]"]),  # The name of an existing folder is not a glob pattern.
    ],
)
def test_a_pattern_matches_runs_or_folders_of_runs(outputs: Path, pattern: str, expected: list[str]) -> None:
    finished, _ = find_runs(str(outputs / pattern))
    assert [folder.name for folder in finished] == expected


def test_unfinished_runs_are_found_too(outputs: Path) -> None:
    _, unfinished = find_runs([str(outputs / "smile")])
    assert [folder.name for folder in unfinished] == ["2026-01-03", "3_lr-4"]


def test_each_run_is_found_once_and_the_comparison_itself_is_ignored(outputs: Path) -> None:
    patterns = [str(outputs / "smile" / "2026-01-0[12]"), str(outputs / "smile" / ".." / "smile" / "*")]
    finished, unfinished = find_runs(patterns, ignore=outputs / "smile" / "2026-01-03")
    assert [folder.name for folder in finished] == SINGLE + SWEPT
    assert [folder.name for folder in unfinished] == ["3_lr-4"]


@pytest.mark.parametrize("kind", ["pipe", "folder", "broken link"])
def test_a_summary_that_is_not_a_file_does_not_hide_a_run(outputs: Path, kind: str) -> None:
    """Such a run is refused when it is read. It would otherwise be left out as if it were unfinished."""
    run = outputs / "smile" / "2026-01-01"
    (run / "summary.json").unlink()
    if kind == "pipe":
        os.mkfifo(run / "summary.json")
    elif kind == "folder":
        (run / "summary.json").mkdir()
    else:
        (run / "summary.json").symlink_to("nowhere")
    assert find_runs(str(run)) == ([run], [])


def test_a_run_folder_whose_name_is_not_utf8_is_refused(outputs: Path) -> None:
    (outputs / "smile" / "2026-01-01").rename(outputs / "smile" / os.fsdecode(b"\xff\xfe"))
    with pytest.raises(UserError, match=r"^The name of .* is not UTF-8 text\. Rename the file or folder\.$"):
        find_runs(str(outputs))


def test_patterns_are_relative_to_the_working_directory(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(outputs.parent)
    assert find_runs("outputs/smile/2026-01-01") == find_runs(str(outputs / "smile" / "2026-01-01"))
    with pytest.raises(UserError, match=f"nearest existing folder, {outputs.parent}, contains outputs"):
        find_runs("output/smile/*")


def test_the_error_for_no_match_names_the_closest_folders(outputs: Path) -> None:
    with pytest.raises(UserError) as error:
        find_runs(str(outputs / "smlie" / "*"))
    assert str(error.value).endswith(f"The nearest existing folder, {outputs}, contains smile. Did you mean 'smile'?")
    with pytest.raises(UserError, match=r"smile/notes, contains no folders\."):
        find_runs(str(outputs / "smile" / "notes" / "*"))


def test_names_are_the_shortest_distinct_path_endings() -> None:
    paths = ["/o/smile/a", "/o/male/a", "/o/male/b", "/p/male/b", "/o/smile/c"]
    assert distinct_names([Path(path) for path in paths]) == ["smile/a", "male/a", "o/male/b", "p/male/b", "c"]
