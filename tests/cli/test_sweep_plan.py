"""The jobs of a sweep are known before it starts, and how many of them run at the same time."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from celeba_lab.cli import sweep
from celeba_lab.cli.search_plan import OPTUNA_SWEEPER
from celeba_lab.cli.sweep_plan import is_of_sweep, jobs_at_once, start_sweep
from celeba_lab.errors import UserError
from celeba_lab.runs.job import Job
from celeba_lab.runs.search import Search
from celeba_lab.runs.sweep import Sweep


@pytest.mark.parametrize(
    ("launcher", "jobs", "expected"),
    [
        ({}, 9, 1),
        ({"n_jobs": 2}, 9, 2),
        ({"n_jobs": 2}, 1, 1),
        ({"n_jobs": 2}, None, 2),
        ({"n_jobs": -1}, 9, 4),
        ({"n_jobs": -2}, 9, 3),
        ({"n_jobs": -99}, 9, 1),
        ({"n_jobs": 0}, 9, 1),
        ({"n_jobs": "x"}, 9, 1),
        ({"n_jobs": None}, 9, 1),
    ],
)
def test_jobs_that_run_at_the_same_time_are_counted(
    launcher: dict, jobs: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeba_lab.cli.sweep_plan.usable_cores", lambda: 4)
    launcher = {"_target_": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"} | launcher
    assert jobs_at_once(OmegaConf.create({"hydra": {"launcher": launcher}}), jobs) == expected


@pytest.mark.parametrize(
    ("launcher", "sweeper", "jobs", "expected"),
    [
        ("hydra_submitit_launcher.submitit_launcher.LocalLauncher", {"max_batch_size": None}, 9, 9),
        ("hydra_submitit_launcher.submitit_launcher.LocalLauncher", {"max_batch_size": 2}, 9, 2),
        ("hydra_submitit_launcher.submitit_launcher.LocalLauncher", {"max_batch_size": 8}, 2, 2),
        ("hydra_submitit_launcher.submitit_launcher.LocalLauncher", {}, None, 1),
        ("hydra_submitit_launcher.submitit_launcher.SlurmLauncher", {}, 9, 1),
        ("celeba_lab_ray.RayLauncher", {}, 9, 1),
    ],
)
def test_only_jobs_on_this_machine_share_its_cores(
    launcher: str, sweeper: dict, jobs: int | None, expected: int
) -> None:
    settings = {"launcher": {"_target_": f"hydra_plugins.{launcher}", "n_jobs": 5}, "sweeper": sweeper}
    assert jobs_at_once(OmegaConf.create({"hydra": settings}), jobs) == expected


def test_processes_of_jobs_use_their_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": "x"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    sweep._prepare_processes(4)
    assert {"OMP_NUM_THREADS": "2", "CELEBA_LAB_JOBS_AT_ONCE": "4", "PYTHONSAFEPATH": "1"}.items() <= os.environ.items()


SEARCH = Search(
    storage="study.log", study="x", space={}, n_trials=40, at_once=None, seed=1, sampler={"name": "random"},
    pruner={"name": "none"}, score="x", direction="maximize",
)  # fmt: skip

RECORD = Sweep(
    overrides=[], hydra_overrides=[], options=[], varied=["seed"], jobs=None, score=None, direction="maximize"
)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"study": "y"}, r"hydra\.sweeper\.study_name=y cannot be changed .* \(the search uses x\)\."),
        ({"storage": "y.log"}, r"hydra\.sweeper\.storage=y\.log cannot be changed .* \(the search uses study\.log\)\."),
        ({"space": {"seed": "1,2"}}, r"resume=\S+ cannot be resumed, because the sweep would have other jobs"),
        ({}, r"study\.log cannot be used: it is not the storage of a study\."),
    ],
)
def test_a_refused_search_does_not_prepare_its_jobs(
    changes: dict, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="install celeba_lab[sweep]")
    SEARCH.write(tmp_path)
    RECORD.write(tmp_path)
    (tmp_path / "study.log").write_text("[1]\n")
    job = tmp_path / "0"
    job.mkdir()
    Job(number=0, state="failed").write(job)
    monkeypatch.setattr("celeba_lab.cli.sweep_plan.plan_sweep", lambda config: RECORD)
    monkeypatch.setattr("celeba_lab.cli.sweep_plan._plan_search", lambda config: replace(SEARCH, **changes))
    sections = {"sweep": {"dir": str(tmp_path)}, "sweeper": {"_target_": OPTUNA_SWEEPER}}
    with pytest.raises(UserError, match=sentence):
        start_sweep(OmegaConf.create({"resume": str(tmp_path), "hydra": sections}))
    assert Job.read(job).state == "failed"


@pytest.mark.parametrize(
    ("at_once", "hint"),
    [(None, "40 jobs start at the same time. Start fewer with hydra.sweeper.n_jobs"), (9, "9 jobs start"), (2, "")],
)
def test_trials_that_start_together_share_the_cores(
    at_once: int | None, hint: str, monkeypatch: pytest.MonkeyPatch, tmp_path, capsys
) -> None:
    replace(SEARCH, at_once=at_once).write(tmp_path)
    monkeypatch.setattr("celeba_lab.cli.sweep_plan.start_sweep", lambda config: RECORD)
    monkeypatch.setattr(os, "environ", {"PATH": "x"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    launcher = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"}
    sections = {"launcher": launcher, "sweeper": {}, "sweep": {"dir": str(tmp_path)}}
    sweep.begin_sweep(OmegaConf.create({"hydra": sections}))
    sweep._started.pop().monitor.stop()
    assert os.environ["CELEBA_LAB_JOBS_AT_ONCE"] == str(at_once or 40)
    assert (hint in (out := capsys.readouterr().out), "same time" in out) == (True, bool(hint))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("hydra/launcher=joblib", True),
        ("hydra.launcher.n_jobs=2", True),
        ("+hydra.sweeper.params.seed=1,2", True),
        ("hydra.sweep.dir=x", False),
        ("hydra.sweepers=x", False),
        ("hydra.job_logging=none", False),
    ],
)
def test_only_settings_of_the_launcher_and_the_sweeper_are_recorded(override: str, expected: bool) -> None:
    assert is_of_sweep(override) == expected
