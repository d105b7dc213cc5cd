"""Files in common formats are read as data from people who may be strangers."""

import csv
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import OmegaConf

from celeba_lab.errors import UserError
from celeba_lab.files import (
    MAX_COLUMNS,
    MAX_NODES,
    check_yaml,
    load_yaml,
    naming_file,
    quote_cell,
    read_csv,
    read_json,
    unquote_cell,
    write_csv,
)


@pytest.mark.parametrize("text", ["=1+2", "+1", "-1.jpg", "@name", "\tx", "'=1", "'x", "000001.jpg", ""])
def test_quoted_cells_can_be_read_back(text):
    quoted = quote_cell(text)
    assert not quoted.startswith(("=", "+", "-", "@", "\t"))
    assert unquote_cell(quoted) == text


def test_cells_and_names_of_columns_are_quoted_in_tables(tmp_path: Path) -> None:
    names = ["=HYPERLINK(1)", "+x", "x"]
    frame = pd.DataFrame([["=1+2", "-x.jpg", -1.5], ["x", None, math.nan]], columns=names)
    write_csv(tmp_path / "table.csv", frame)
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines == ["'=HYPERLINK(1),'+x,x", "'=1+2,'-x.jpg,-1.5", "x,,"]
    assert frame.columns.tolist() == names
    assert frame.iloc[0, 0] == "=1+2"


def test_bytes_that_are_not_utf8_are_escaped_in_tables(tmp_path: Path) -> None:
    with pd.option_context("mode.string_storage", "python"):  # as on the command line
        write_csv(tmp_path / "table.csv", pd.DataFrame({"run\udcff": ["\udcfe.jpg"]}))
    assert (tmp_path / "table.csv").read_text().splitlines() == [r"run\udcff", r"\udcfe.jpg"]


def read_small_json(path: Path) -> Any:
    return read_json(path, 1000)


def read_small_csv(path: Path) -> Any:
    return read_csv(path, 1000)


each_reader = pytest.mark.parametrize(
    ("read", "name", "content"),
    [
        (read_small_json, "summary.json", "{}"),
        (load_yaml, "config.yaml", "a: 1\n"),
        (read_small_csv, "tables/history.csv", "epoch\n1\n"),
    ],
    ids=["JSON", "YAML", "CSV"],
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An empty run folder."""
    folder = tmp_path / "run"
    (folder / "tables").mkdir(parents=True)
    return folder


def refusal(read: Callable[[Path], Any], path: Path) -> str:
    """Return the reason for which a file of a run cannot be used."""
    with pytest.raises(UserError) as error:
        read(path)
    before, after = f"{path} cannot be used: ", ". Leave this run out, or run it again."
    assert str(error.value).startswith(before)
    assert str(error.value).endswith(after)
    return str(error.value)[len(before) : -len(after)]


@each_reader
def test_a_file_of_a_run_that_is_not_a_regular_file_is_refused(run: Path, read, name: str, content: str) -> None:
    os.mkfifo(run / name)
    assert refusal(read, run / name) == "not a regular file"
    (run / name).unlink()
    (run / name).mkdir()
    assert refusal(read, run / name) == "not a regular file"


@each_reader
def test_a_link_out_of_a_run_is_refused_without_naming_its_target(run: Path, read, name: str, content: str) -> None:
    (run.parent / "secret").write_text(content)
    (run / name).symlink_to(run.parent / "secret")
    assert refusal(read, run / name) == "it is a link that leads out of the run folder"
    (run / name).unlink()
    (run / name).symlink_to("/dev/zero")
    assert refusal(read, run / name) == "it is a link that leads out of the run folder"


def test_a_folder_of_tables_that_is_a_link_out_of_a_run_is_refused(run: Path) -> None:
    (run / "tables").rename(run.parent / "elsewhere")
    (run / "tables").symlink_to(run.parent / "elsewhere")
    (run.parent / "elsewhere" / "history.csv").write_text("epoch\n1\n")
    with pytest.raises(UserError, match="it is a link that leads out of the run folder"):
        read_small_csv(run / "tables" / "history.csv")


@each_reader
def test_links_within_a_run_and_to_a_run_are_followed(run: Path, read, name: str, content: str) -> None:
    (run / "other").write_text(content)
    (run / name).symlink_to(run / "other")
    (run.parent / "link").symlink_to(run)
    assert len(read(run.parent / "link" / name)) == len(read(run / name))


@each_reader
def test_links_in_a_circle_are_refused(run: Path, read, name: str, content: str) -> None:
    (run / name).symlink_to(run / name)
    assert refusal(read, run / name) == "Too many levels of symbolic links"


@each_reader
def test_a_huge_file_of_a_run_is_not_read(run: Path, read, name: str, content: str) -> None:
    with (run / name).open("wb") as file:
        file.truncate(30 << 30)  # The file has 30 GB of zeros, but takes no space.
    assert refusal(read, run / name).startswith("32,212,254,720 bytes exceed the limit of ")


@each_reader
def test_a_file_of_a_run_that_is_not_utf8_is_refused(run: Path, read, name: str, content: str) -> None:
    (run / name).write_bytes(b"\xff" + content.encode())
    assert "invalid start byte" in refusal(read, run / name)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 200_000, "it is nested too deeply"),
        ("[" * 51 + "]" * 51, "it is nested more than 50 levels deep"),
        ('{"seed": 1' + "0" * 30 + "}", "it contains an integer of more than 64 bits"),
        ('{"1\\ud800": 1}', "'utf-8' codec can't encode character '\\ud800' in position 1: surrogates not allowed"),
    ],
)
def test_json_that_could_not_be_shown_or_stored_is_refused(run: Path, text: str, reason: str) -> None:
    (run / "summary.json").write_text(text)
    assert refusal(lambda path: read_json(path, 10**6), run / "summary.json") == reason


def test_json_within_the_limits_is_read(run: Path) -> None:
    (run / "summary.json").write_text("[" * 49 + str(2**63 - 1) + "]" * 49)
    read_small_json(run / "summary.json")


def laughs(levels: int) -> str:
    """Return YAML in which each of 9 aliases stands for 9 aliases of the level before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, levels)]
    return "\n".join(lines)


MANY = f"more than {MAX_NODES:,} values, where every use of an alias counts as a copy"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: " + "[" * 50 + "]" * 50, "nested more than 50 levels deep"),
        ("[" * 5000, "nested more than 50 levels deep"),
        ("a0: &a0 []\n" + "".join(f"a{k}: &a{k} [*a{k - 1}]\n" for k in range(1, 60)), "more than 50 levels deep"),
        (laughs(9), MANY),
        ("x: &x {a: 1, b: 2}\ny:\n" + "  - <<: *x\n" * 30_000, MANY),
        ("a: &x [*x]", "the alias x contains itself"),
        ("a: *x", "found undefined alias"),
        (f"[{'1,' * MAX_NODES}]", MANY),
        ("a: " + "x" * 2**20, "exceed the limit of 1,048,576"),
        ("a: [", "while parsing a flow node"),
    ],
)
def test_yaml_that_would_take_much_time_or_memory_is_refused(run: Path, text: str, reason: str) -> None:
    (run / "config.yaml").write_text(text)
    assert reason in refusal(load_yaml, run / "config.yaml")
    if "undefined" not in reason:  # The check alone does not resolve aliases.
        assert reason in refusal(lambda path: check_yaml(text, path), run / "config.yaml")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 0x" + "f" * 5000, "it contains an integer of more than 64 bits"),
        ('a: "\\ud800"', "invalid Unicode character escape code"),
        ("a: " + "${" * 3000, "no viable alternative at input '${"),
        ("a: " + "${" * 600 + "x" + "}" * 600, "it is nested too deeply"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
        ("5", "Invalid loaded object type: int"),
    ],
)
def test_yaml_with_values_that_cannot_be_used_is_refused(run: Path, text: str, reason: str) -> None:
    (run / "config.yaml").write_text(text)
    assert reason in refusal(load_yaml, run / "config.yaml")


def test_yaml_within_the_limits_is_loaded(run: Path) -> None:
    text = laughs(3) + "\nb: &b {c: 1}\nd: {<<: *b, e: '${f}'}\nf: 1e-3\n" + "g: " + "[" * 49 + "]" * 49
    (run / "config.yaml").write_text(text)
    check_yaml(text, run / "config.yaml")
    loaded = load_yaml(run / "config.yaml")
    assert loaded == OmegaConf.load(run / "config.yaml")
    assert loaded.d == {"c": 1, "e": 1e-3}


def test_the_remedy_for_a_yaml_file_can_be_chosen(run: Path) -> None:
    with pytest.raises(UserError, match=r"smile\.yaml cannot be used: while .* Correct the file\.$"):
        check_yaml("a: [", run / "smile.yaml", "Correct the file.")


def test_yaml_in_a_subfolder_may_be_a_link_within_the_run(run: Path) -> None:
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").symlink_to(run / "config.yaml")
    (run / "config.yaml").write_text("a: 1")
    assert load_yaml(run / ".hydra" / "config.yaml", run) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (",".join(f"c{k}" for k in range(MAX_COLUMNS + 1)), "10,001 columns exceed the limit of 10,000"),
        ("\n \n" + "," * MAX_COLUMNS + "c", "10,001 columns exceed the limit of 10,000"),
        ("x" * 2**20 + "\n1", "its header is longer than 1,048,576 bytes"),
        ('"' + "x\n" * 2**17, "field larger than field limit (131072)"),
        ("\0" * 2**19, "field larger than field limit (131072)"),
        ("a,b\n" + "1," * 100_000, "a row has more cells than the header"),
        ("a,b\n1,2\n1,2,3\n", "Error tokenizing data"),
    ],
)
def test_tables_that_are_no_tables_of_a_run_are_refused_at_once(run: Path, text: str, reason: str) -> None:
    (run / "history.csv").write_text(text)
    assert reason in refusal(lambda path: read_csv(path, 2**26), run / "history.csv")


def test_a_wide_table_is_read(run: Path) -> None:
    names = [f"c{k}" for k in range(MAX_COLUMNS)]
    (run / "history.csv").write_text(f"{','.join(names)}\n{','.join(['1'] * MAX_COLUMNS)}\n")
    assert read_csv(run / "history.csv", 2**26).columns.tolist() == names


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (MemoryError(), "it does not fit into the memory"),
        (OverflowError("too large"), "too large"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "'utf-8' codec can't decode"),
        (csv.Error("line contains NUL"), "line contains NUL"),
        (ValueError("x" * 10_000), "x" * 500 + " ..."),
    ],
)
def test_every_error_while_reading_a_file_names_the_file(tmp_path: Path, error: Exception, reason: str) -> None:
    def fail(path: Path) -> None:
        with naming_file(path):
            raise error

    assert refusal(fail, tmp_path / "file").startswith(reason.rstrip("."))
