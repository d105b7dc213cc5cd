"""Killed runs give the same results as uninterrupted runs. The script itself tries many more moments."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill.py")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["classifier, 2 workers, memory", "GAN, no workers"])
def test_a_killed_run_resumes_exactly(case: str, tiny_celeba: Path) -> None:
    command = [sys.executable, "-W", "ignore", str(SCRIPT), "--data", str(tiny_celeba), "--kills", "2"]
    result = subprocess.run([*command, "--cases", case], capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 of 2 resumed runs are equal" in result.stdout


@pytest.mark.slow
def test_a_search_that_is_killed_chooses_and_prunes_the_same_trials(tiny_celeba: Path) -> None:
    pytest.importorskip("optuna", reason="install celeba_lab[sweep]")
    script = SCRIPT.with_name("kill_sweep.py")
    command = [sys.executable, "-W", "ignore", str(script), "--data", str(tiny_celeba), "--kills", "4"]
    result = subprocess.run([*command, "--cases", "search"], capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "search: equal" in result.stdout


@pytest.mark.slow
def test_a_sweep_that_is_killed_ten_times_runs_each_job_once(tiny_celeba: Path) -> None:
    script = SCRIPT.with_name("kill_sweep.py")
    command = [sys.executable, "-W", "ignore", str(script), "--data", str(tiny_celeba), "--kills", "10"]
    result = subprocess.run([*command, "--cases", "cooccurrence"], capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "cooccurrence: equal" in result.stdout
