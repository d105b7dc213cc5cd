"""The jobs of a sweep are known before it starts, and how many of them run at the same time."""

import pytest
from omegaconf import OmegaConf

from celeba_lab.cli.sweep_plan import is_of_sweep, jobs_at_once


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
    assert jobs_at_once(OmegaConf.create({"hydra": {"launcher": launcher}}), jobs) == expected


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
