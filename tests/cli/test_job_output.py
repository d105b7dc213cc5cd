"""The output of a job goes to its own file, including that of its child processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeba_lab.cli.job_output import keep_terminal, output_to

SCRIPT = """
import os, subprocess, sys
from pathlib import Path
from celeba_lab.cli.job_output import keep_terminal, output_to

terminal = keep_terminal()
print("before")
with output_to(Path(sys.argv[1])):
    print("printed")
    print("error", file=sys.stderr)
    os.write(1, b"written in C\\n")
    subprocess.run(["echo", "child"])
    print("to the terminal", file=terminal)
print("after")
print("also after", file=sys.stderr)
"""


def test_all_output_of_a_process_is_redirected_and_restored(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    result = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], capture_output=True, text=True, timeout=60)
    assert result.stdout.split("\n") == ["before", "to the terminal", "after", ""]
    assert result.stderr == "also after\n"
    assert sorted(path.read_text().splitlines()) == ["child", "error", "printed", "written in C"]


def fail() -> None:
    print("inside")
    raise ZeroDivisionError


def test_output_is_appended_and_restored_after_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "output.log"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), output_to(path):
            fail()
    os.write(1, b"outside\n")
    assert path.read_text() == "inside\ninside\n"
    assert capfd.readouterr().out == "outside\n"


def test_a_stream_without_a_file_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        def fileno(self) -> int:
            raise OSError

    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    assert keep_terminal() is stream
