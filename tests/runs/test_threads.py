"""The number of threads is chosen before torch is imported, but never in place of the user."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from celeba_lab.data.cores import Cores
from celeba_lab.data.workers import JOBS_AT_ONCE
from celeba_lab.errors import UserError
from celeba_lab.runs import threads
from celeba_lab.runs.threads import CHOSEN, GIVEN, RECORD, choose_threads, read_threads, record_threads, share_threads
from celeba_lab.runs.waiting import GIVEN as WAITING


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Environment variables without any of the user, in place of the real ones."""
    found: dict[str, str] = {"PATH": os.environ["PATH"]}
    monkeypatch.setattr(os, "environ", found)
    monkeypatch.setattr(threads, "_current", [])
    return found


@pytest.fixture
def set_cores(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``set_cores(4, "machine")`` sets the cores that are found."""
    return lambda *values: monkeypatch.setattr(Cores, "find", lambda: Cores(*values))


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of threads that torch is asked to use, starting with 8."""
    numbers = [8]
    monkeypatch.setattr(torch, "get_num_threads", lambda: numbers[-1])
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    return numbers


@pytest.mark.parametrize(
    ("cores", "jobs", "recorded", "number", "chosen_by"),
    [
        ((8, "machine"), None, None, None, "default"),
        ((8, "affinity"), None, None, None, "default"),
        ((3, "container"), None, None, 3, "container"),
        ((8, "machine"), "2", None, 4, "jobs"),
        ((3, "container"), "2", None, 1, "jobs"),
        ((2, "machine"), "5", None, 1, "jobs"),
        ((8, "machine"), "2", 8, 8, "record"),
        ((8, "machine"), None, 1, 1, "record"),
        ((2, "machine"), None, 4, None, "default"),
        ((2, "container"), None, 4, 2, "container"),
    ],
)
def test_cores_jobs_and_the_record_determine_the_number(
    environment, set_cores, cores: tuple, jobs: str | None, recorded: int | None, number: int | None, chosen_by: str
) -> None:
    set_cores(*cores)
    environment |= {} if jobs is None else {JOBS_AT_ONCE: jobs}
    chosen = choose_threads(recorded)
    assert (chosen.number, chosen.chosen_by, chosen.cores) == (number, chosen_by, Cores(*cores))
    assert environment.get("OMP_NUM_THREADS") == (None if number is None else str(number))


@pytest.mark.parametrize("name", [*GIVEN, *WAITING])
@pytest.mark.parametrize("value", ["3", "1", "many", ""])
def test_variables_of_the_user_are_left_alone(environment, set_cores, counts, name: str, value: str) -> None:
    set_cores(8, "container")
    environment |= {name: value, JOBS_AT_ONCE: "2"}
    before = dict(environment)
    chosen = choose_threads(recorded=5)
    share_threads(2)
    if name in GIVEN:
        assert environment == before
        assert counts == [8]
        assert chosen.chosen_by == name
        assert chosen.number == (int(value) if value.isdecimal() else None)
    else:
        assert environment[name] == value


def test_a_number_that_was_chosen_here_is_not_the_users(environment, set_cores) -> None:
    """A sweep chooses for its own process first, and the processes of its jobs inherit its variables."""
    set_cores(4, "container")
    assert choose_threads().number == 4
    environment[JOBS_AT_ONCE] = "2"
    assert choose_threads().number == 2
    set_cores(8, "machine")
    del environment[JOBS_AT_ONCE]
    assert choose_threads().number is None
    assert not {"OMP_NUM_THREADS", CHOSEN} & environment.keys()
    environment |= {CHOSEN: "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "1"}  # joblib sets the last one.
    assert choose_threads(recorded=8).number == 8
    assert "MKL_NUM_THREADS" not in environment
    environment |= {CHOSEN: "2", "OMP_NUM_THREADS": "3"}  # Somebody has changed it since.
    assert choose_threads().chosen_by == "OMP_NUM_THREADS"


def test_the_next_job_of_a_process_does_not_keep_the_number_of_the_last_one(environment, set_cores, counts) -> None:
    set_cores(8, "machine")
    for recorded in (None, 2, 2, None):
        choose_threads(recorded)
    assert counts == [8, 2, 8]


@pytest.mark.parametrize(("processes", "expected"), [(1, 8), (2, 4), (3, 2), (20, 1)])
def test_the_processes_of_a_run_share_the_cores(environment, set_cores, counts, processes: int, expected: int) -> None:
    set_cores(8, "machine")
    choose_threads()
    share_threads(processes)
    assert counts[-1] == expected


def test_the_number_is_recorded(environment, set_cores, counts, tmp_path: Path) -> None:
    assert read_threads(tmp_path) is None
    record_threads(tmp_path)
    assert read_threads(tmp_path) == 8


@pytest.mark.parametrize(
    "text",
    [
        *("", "threads: 0", "threads: true", "threads: x", "threads: 1.5", "threads: 99999", "- 1", "{", "a: 1", "5"),
        *("[" * 100_000, "threads: ${oc.env:HOME}", "threads: !!python/object/apply:os.getcwd []", "threads: &a [*a]"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).parent.mkdir()
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(UserError, match=r"threads\.yaml"):
        read_threads(tmp_path)


def test_libraries_that_are_imported_later_use_the_number() -> None:
    code = (
        "from celeba_lab.runs.threads import choose_threads, thread_facts\n"
        "import os, sys\n"
        f"os.environ['{JOBS_AT_ONCE}'] = '1000'\n"
        "choose_threads()\n"
        "assert not {'torch', 'numpy', 'scipy'} & sys.modules.keys()\n"
        "import torch\n"
        "facts = thread_facts()\n"
        "print(torch.get_num_threads(), facts['number'], facts['chosen_by'], facts['jobs_at_once'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in (*GIVEN, *WAITING)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (result.stdout.split(), result.stderr) == (["1", "1", "jobs", "1000"], "")
