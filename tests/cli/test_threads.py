"""A run says how many threads it uses if this is not the default, and uses the same number when it goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from celeba_lab.cli.threads import announce_threads, choose_for_run, explain_threads
from celeba_lab.data.cores import Cores, OtherLoad
from celeba_lab.data.workers import JOBS_AT_ONCE
from celeba_lab.runs import threads
from celeba_lab.runs.run import Run
from celeba_lab.runs.threads import CHOSEN, GIVEN, RECORD, Threads, thread_facts

MACHINE, LIMITED = Cores(8, "machine"), Cores(2, "container")


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        (Threads(None, "default", MACHINE, 1), None),
        (Threads(None, "default", Cores(8, "affinity"), 1), None),
        (Threads(3, "OMP_NUM_THREADS", MACHINE, 1), None),
        (Threads(2, "container", LIMITED, 1), "2, which is the CPU limit of this container"),
        (Threads(4, "jobs", MACHINE, 2), "4, because 2 jobs share 8 cores"),
        (Threads(1, "jobs", Cores(1, "machine"), 2), "1, because 2 jobs share 1 core"),
        (Threads(1, "record", MACHINE, 1, 1), "1, as before, so that the result stays the same"),
        (Threads(8, "record", MACHINE, 1, 8), None),
        (Threads(8, "record", MACHINE, 2, 8), "8, as before, so that the result stays the same"),
        (Threads(None, "default", MACHINE, 1, 16), "8, but 16 before, so the last digits can differ"),
        (Threads(2, "container", LIMITED, 1, 16), "2, but 16 before, so the last digits can differ"),
        (Threads(3, "OMP_NUM_THREADS", MACHINE, 1, 3), None),
        (
            Threads(3, "OMP_NUM_THREADS", MACHINE, 1, 8),
            "3 (OMP_NUM_THREADS), but 8 before, so the last digits can differ",
        ),
    ],
)
def test_only_what_is_not_the_default_is_explained(chosen: Threads, sentence: str | None) -> None:
    assert explain_threads(chosen) == sentence


class FakeLoad(OtherLoad):
    def __init__(self, missing: float | None) -> None:
        self.missing = missing

    def missing_cores(self, number: int) -> float | None:
        return self.missing


@pytest.mark.parametrize(
    ("missing", "jobs", "line"),
    [
        (None, 1, ""),
        (0.4, 1, ""),
        (1.2, 1, "busy: other programs use about 1.2 of 8 cores, so this run is slower\n"),
        (1.2, 2, "threads: 4, because 2 jobs share 8 cores\n"),
    ],
)
def test_a_busy_machine_is_mentioned_and_recorded(
    monkeypatch: pytest.MonkeyPatch, capsys, missing: float | None, jobs: int, line: str
) -> None:
    chosen = Threads(None, "default", MACHINE, 1) if jobs == 1 else Threads(4, "jobs", MACHINE, jobs)
    monkeypatch.setattr(threads, "_current", [chosen])
    announce_threads(chosen, FakeLoad(missing))
    assert capsys.readouterr().out == line
    assert len(line) <= 80
    assert thread_facts()["busy_cores"] == missing


@pytest.mark.parametrize(
    ("resume", "repeat", "number"), [(None, None, None), ("a", None, 3), (None, "b", 5), ("a", "b", 3)]
)
def test_runs_that_are_resumed_or_repeated_use_their_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, resume: str | None, repeat: str | None, number: int | None
) -> None:
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(threads, "_current", [])
    monkeypatch.setattr(Cores, "find", lambda: MACHINE)
    for name, recorded in (("a", 3), ("b", 5)):
        (tmp_path / name / RECORD).parent.mkdir(parents=True)
        (tmp_path / name / RECORD).write_text(f"threads: {recorded}\n")
    folders = {"resume": resume and str(tmp_path / resume), "repeat": repeat and str(tmp_path / repeat)}
    assert choose_for_run(OmegaConf.create(folders)).number == number


def test_the_summary_contains_threads_and_cores(monkeypatch: pytest.MonkeyPatch, read_summary, tmp_path: Path) -> None:
    for name in (*GIVEN, CHOSEN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_current", [])
    monkeypatch.setattr(Cores, "find", lambda: LIMITED)
    monkeypatch.setenv(JOBS_AT_ONCE, "2")
    Run(tmp_path / "run", "train", {"name": "x", "seed": 1, "data": None, "task": {}}).finish({"val/accuracy": 0.5})
    facts = read_summary(tmp_path / "run")["details"]["threads"]
    assert facts.pop("number") >= 1
    assert facts.pop("waiting")
    facts.pop("passive_seconds", None)
    expected = {"chosen_by": "jobs", "cores": 2, "cores_from": "container", "jobs_at_once": 2, "busy_cores": None}
    assert facts == expected


@pytest.mark.slow
def test_a_job_that_is_repeated_alone_uses_the_threads_of_its_sweep(tiny_celeba: Path, tmp_path: Path) -> None:
    """Otherwise, it would use all cores, and its metrics would differ in the last digits."""
    environment = {name: text for name, text in os.environ.items() if name not in (*GIVEN, CHOSEN)}
    sweep = [
        *("-m", "experiment=smile", f"data.root={tiny_celeba}", "trainer=smoke", "model.image_size=32", "seed=1,2"),
        *("model.weights=null", "model.backbone=squeezenet1_1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
        *("hydra.sweep.dir=s", "data=celeba"),
    ]
    for arguments in (sweep, ["repeat=s/0_seed-1", "hydra.run.dir=r"]):
        command = [sys.executable, "-m", "celeba_lab", *arguments]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
    expected = max(1, Cores.find().number // 2)
    folders = [tmp_path / "s" / "0_seed-1", tmp_path / "r"]
    found = [json.loads((folder / "summary.json").read_text())["details"]["threads"] for folder in folders]
    assert [facts["number"] for facts in found] == [expected] * 2
    assert [facts["chosen_by"] for facts in found] == ["jobs", "record"]
    assert "are equal to the last bit" in result.stdout
