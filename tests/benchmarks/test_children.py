"""Processes of a benchmark are started with the user's variables, watched and ended."""

import os
import time
from pathlib import Path

import pytest

from celeba_lab.benchmarks.children import (
    child_environment,
    memory_of,
    run_python,
    running_python,
    wait_for,
)
from celeba_lab.benchmarks.repeats import NotMeasuredError

QUICK = ("-S", "-c")  # Python without the packages of its environment starts in a tenth of the time.


def test_a_process_that_ends_is_timed_and_its_output_is_kept(tmp_path: Path) -> None:
    finished = run_python([*QUICK, "print('done')"], tmp_path / "log")
    assert finished.output == "done\n"
    assert finished.seconds > 0


def test_a_process_that_fails_is_explained_by_its_last_line(tmp_path: Path) -> None:
    code = "import sys; print('first', file=sys.stderr); print('the reason', file=sys.stderr); sys.exit(3)"
    with pytest.raises(NotMeasuredError, match="The command failed with exit code 3: the reason"):
        run_python([*QUICK, code], tmp_path / "log")


def test_a_process_and_its_own_children_are_ended_after_the_block(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with running_python([*QUICK, code], tmp_path / "log") as child:
        while not (line := (tmp_path / "log").read_text()).endswith("\n"):
            time.sleep(0.01)
    assert child.process.poll() is not None
    status = Path("/proc", line.strip(), "stat")
    deadline = time.monotonic() + 10
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":  # a zombie has ended
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ctrl_c_ends_the_process(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        running_python([*QUICK, "import time; time.sleep(60)"], tmp_path / "log") as child,
    ):
        raise KeyboardInterrupt
    assert child.process.returncode != 0


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="the system does not report memory")
def test_the_memory_of_all_processes_of_a_session_is_measured(tmp_path: Path) -> None:
    code = "x = bytearray(b'1') * 50_000_000; print('ready', flush=True); import time; time.sleep(60)"
    with running_python([*QUICK, code], tmp_path / "log") as child:
        while not (tmp_path / "log").read_text():
            time.sleep(0.01)
        assert 50e6 < memory_of(child.process.pid) < 100e6
    finished_code = "import time; time.sleep(0.5)"
    with running_python([*QUICK, finished_code], tmp_path / "second") as child:
        samples = wait_for(child, watch_memory=True).memory
    assert samples
    assert max(sample.memory for sample in samples) > 1e6
    assert memory_of(child.process.pid) == 0


def test_variables_for_threads_that_this_process_has_chosen_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "12345")
    monkeypatch.setenv("CELEBA_ROOT", "faces")
    environment = child_environment()
    assert "GOMP_SPINCOUNT" not in environment
    assert environment["CELEBA_ROOT"] == "faces"
    assert (Path(environment["PYTHONPATH"].split(os.pathsep)[0]) / "celeba_lab").is_dir()
