"""A job reports to its trial in the storage of its search, each step once, also from another process."""

from pathlib import Path

import pytest

from celeba_lab.errors import SettingError, UserError
from celeba_lab.runs.job import Job
from celeba_lab.runs.search import (
    JobTrial,
    Pruned,
    Search,
    add_trial,
    build_pruner,
    check_trials,
    conclude_trial,
    create_study,
    find_search,
    list_trials,
    open_study,
)

optuna = pytest.importorskip("optuna", reason="install celeba_lab[sweep]")
SEARCH = Search(
    storage="study.log",
    study="smile",
    space={"model.lr": "interval(0,1)"},
    n_trials=3,
    at_once=1,
    seed=1,
    sampler={"name": "random"},
    pruner={"name": "median", "n_startup_trials": 1},
    score="val/accuracy",
    direction="maximize",
)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Folder of a search with three jobs that have been started."""
    SEARCH.write(tmp_path)
    study = create_study(SEARCH, tmp_path)
    space = {"model.lr": optuna.distributions.FloatDistribution(0, 1)}
    for number in range(3):
        folder = tmp_path / f"{number}_lr"
        folder.mkdir()
        Job(number=number, state="running").write(folder)
        add_trial(study, optuna.trial.create_trial(params={"model.lr": 0.5}, distributions=space, value=0))
    return tmp_path


def trial_of(folder: Path) -> JobTrial:
    trial = JobTrial.find(folder)
    assert trial is not None
    return trial


def test_each_step_is_reported_once(sweep: Path) -> None:
    trial = trial_of(sweep / "0_lr")
    assert not trial.should_prune(), "nothing has been reported"
    trial.report(1, 0.9)
    again = trial_of(sweep / "0_lr")
    again.report(1, 0.1)
    again.report(2, 0.8)
    assert trial.reported == {1: 0.9, 2: 0.8}
    lines = (sweep / "study.log").read_text().splitlines()
    assert sum('"step":' in line for line in lines) == 2


def test_a_worse_job_is_pruned_and_every_end_is_told(sweep: Path) -> None:
    for job, score in ((0, 0.9), (1, 0.1)):
        trial_of(sweep / f"{job}_lr").report(1, score)
    assert not trial_of(sweep / "1_lr").should_prune(), "no other job has finished"
    Job(number=0, state="finished", score=0.95).write(sweep / "0_lr")
    conclude_trial(sweep / "0_lr")
    assert trial_of(sweep / "1_lr").should_prune()
    Job(number=1, state="pruned", score=0.1).write(sweep / "1_lr")
    Job(number=2, state="stopped").write(sweep / "2_lr")
    for job in range(3):
        conclude_trial(sweep / f"{job}_lr")  # telling twice is no error
    trials = list_trials(open_study(SEARCH, sweep))
    assert [(trial.state.name, trial.value) for trial in trials] == [
        ("COMPLETE", 0.95),
        ("PRUNED", 0.1),
        ("RUNNING", None),
    ]


@pytest.mark.parametrize("job", [Job(number=0, state="failed"), Job(number=0, state="finished", score=None)])
def test_a_job_without_a_score_fails_and_its_retry_takes_its_place(sweep: Path, job: Job) -> None:
    job.write(sweep / "0_lr")
    conclude_trial(sweep / "0_lr")
    study = open_study(SEARCH, sweep)
    assert list_trials(study)[0].state.name == "FAIL"
    add_trial(study, list_trials(study)[0], retried=0)
    trials = list_trials(study)
    assert [trial.number for trial in trials] == [3, 1, 2]
    assert trials[0].params == {"model.lr": 0.5}


def test_a_folder_outside_a_search_has_no_trial(tmp_path: Path) -> None:
    assert JobTrial.find(tmp_path) is None
    conclude_trial(tmp_path)
    assert find_search(tmp_path) is None
    SEARCH.write(tmp_path)
    assert find_search(tmp_path) == SEARCH


def test_missing_and_damaged_storages_are_explained(sweep: Path) -> None:
    path = sweep / "study.log"
    with path.open("a") as file:
        file.write('{"op_co')
    create_study(SEARCH, sweep)
    assert path.read_bytes().endswith(b"\n"), "the incomplete line has been removed"
    path.write_text("[1]\n")
    with pytest.raises(UserError, match="it is not the storage of a study"):
        create_study(SEARCH, sweep)
    path.write_text("")
    with pytest.raises(UserError, match="it does not contain the study smile"):
        JobTrial.find(sweep / "0_lr")
    create_study(SEARCH, sweep)
    with pytest.raises(UserError, match=r"it does not contain the trial of job 0\."):
        JobTrial.find(sweep / "0_lr")
    with pytest.raises(UserError, match=r"it does not contain the trial of job 2\."):
        check_trials(create_study(SEARCH, sweep), SEARCH, sweep)
    path.unlink()
    with pytest.raises(UserError, match=r"study\.log does not exist"):
        JobTrial.find(sweep / "0_lr")


def test_pruners_and_pruned_runs_are_described() -> None:
    assert str(Pruned(2, 8, 0.5)) == "pruned after epoch 2 of 8"
    assert str(Pruned(2, -1, 0.5)) == str(Pruned(2, None, 0.5)) == "pruned after epoch 2"
    for name in ("none", "median", "percentile", "successive_halving", "hyperband"):
        settings = {"name": name, "percentile": 25.0} if name == "percentile" else {"name": name}
        assert isinstance(build_pruner(settings), optuna.pruners.BasePruner)
    with pytest.raises(SettingError, match="n_startup=1 is not a setting"):
        build_pruner({"name": "median", "n_startup": 1})
