"""A search runs the given number of trials, prunes unpromising ones, and goes on after it was interrupted."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from celeba_lab.errors import UserError
from celeba_lab.runs.interrupts import Interrupted
from celeba_lab.runs.job import Job
from celeba_lab.runs.search import JobTrial, Pruned, Search, list_trials, open_study
from celeba_lab.runs.settings import write_settings
from celeba_lab.runs.summary import Summary

pytest.importorskip("optuna", reason="install celeba_lab[sweep]")

Command = Callable[..., tuple[int, str, str]]
SPACE = ["model.lr=tag(log,interval(1e-4,1e-2))", "seed=range(1,4)"]
SEARCH = ["-m", "experiment=smile", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweep.dir=s", *SPACE]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, blank_figures: None) -> list[float]:
    """Learning rates of the jobs that were started. Their score is ten times their learning rate."""
    rates: list[float] = []

    def task(cfg: DictConfig) -> dict[str, float]:
        folder = Path(HydraConfig.get().runtime.output_dir)
        rates.append(cfg.model.lr)
        write_settings(folder, {"model": {"lr": cfg.model.lr}})
        trial = JobTrial.find(folder)
        assert trial is not None
        for epoch in (1, 2, 3):
            trial.report(epoch, 10 * cfg.model.lr)
            if trial.should_prune():
                raise Pruned(epoch, 3, 10 * cfg.model.lr)
        metrics = {"val/accuracy": 10 * cfg.model.lr}
        Summary(experiment="smile", task="train", metrics=metrics, checkpoint="best.ckpt").write(folder)
        return metrics

    monkeypatch.setattr("celeba_lab.cli.main.prepare", lambda cfg: task)
    return rates


@pytest.fixture
def fail(started: list[float], monkeypatch: pytest.MonkeyPatch) -> Callable[[int, BaseException | None], None]:
    """``fail(job, error)`` makes a job fail when it starts."""
    from celeba_lab.cli import main

    usual = main.prepare
    errors: dict[int, BaseException | None] = {}

    def prepare(cfg: DictConfig) -> Callable[[DictConfig], dict[str, float]]:
        error = errors.get(HydraConfig.get().job.num)
        if error is not None:
            raise error
        return usual(cfg)

    monkeypatch.setattr("celeba_lab.cli.main.prepare", prepare)
    return errors.__setitem__


def jobs_in(folder: Path) -> list[Job]:
    return sorted((Job.read(path.parent) for path in folder.glob("*/job.json")), key=lambda job: job.number)


def states_in(folder: Path) -> list[str]:
    """Return the states of the trials in the study, by job."""
    return [trial.state.name for trial in list_trials(open_study(Search.read(folder), folder))]


def test_a_search_runs_its_trials_and_ranks_them(command: Command, started, tmp_path: Path) -> None:
    code, out, err = command(*SEARCH)
    assert (code, err, len(started)) == (0, "", 4)
    assert out.splitlines()[0] == "sweep: a search of 4 trials in s"
    assert [line.split(":")[0] for line in out.splitlines() if line.startswith("job 3")][-1] == "job 3 finished"
    table = pd.read_csv(tmp_path / "s" / "leaderboard.csv")
    assert list(table.columns[:5]) == ["rank", "run", "lr", "seed", "val/accuracy"]
    assert table["lr"].tolist() == sorted(started, reverse=True)
    assert (table["lr"].between(1e-4, 1e-2)).all()
    assert set(table["seed"]) <= {1, 2, 3}
    assert all(len(text) <= 9 for job in jobs_in(tmp_path / "s") for text in job.varied.values()), "numbers are short"
    assert states_in(tmp_path / "s") == ["COMPLETE"] * 4
    assert "report: s/report.html" in out


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_an_interrupted_search_chooses_the_same_trials(command: Command, started, fail, tmp_path, sampler) -> None:
    search = [*SEARCH, f"hydra/sweeper/sampler={sampler}"]
    if sampler == "tpe":
        search.append("hydra.sweeper.sampler.n_startup_trials=2")
    command(*search)
    whole = list(started)
    shutil.move(tmp_path / "s", tmp_path / "whole")
    started.clear()
    fail(3, Interrupted(15))
    code, _, err = command(*search)
    assert (code, len(started)) == (143, 3)
    assert "To resume: python -m celeba_lab resume=s\n" in err
    fail(3, None)
    code, out, err = command("resume=s")
    assert (code, err) == (0, "")
    assert started == whole
    assert "job 0" not in out.split("leaderboard")[0]
    boards = [pd.read_csv(tmp_path / name / "leaderboard.csv").drop(columns="seconds") for name in ("whole", "s")]
    assert boards[0].equals(boards[1])
    code, _, err = command("resume=s", "hydra.sweeper.n_trials=8")
    assert (code, err, len(started), len(jobs_in(tmp_path / "s"))) == (0, "", 8, 8)


def test_pruned_jobs_are_no_failures_and_do_not_run_again(command: Command, started, monkeypatch, tmp_path) -> None:
    pruner = ["hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=1"]
    code, out, err = command(*SEARCH, *pruner)
    assert (code, err, len(started)) == (0, "", 4)
    jobs = jobs_in(tmp_path / "s")
    pruned = [job for job in jobs if job.state == "pruned"]
    assert {job.state for job in jobs} == {"finished", "pruned"}
    assert states_in(tmp_path / "s") == ["PRUNED" if job.state == "pruned" else "COMPLETE" for job in jobs]
    [line] = [line for line in out.splitlines() if line.startswith(f"job {pruned[0].number} pruned")]
    assert line.startswith(f"job {pruned[0].number} pruned after epoch 1 of 3: model.lr=")
    assert line.endswith(f"  val/accuracy={pruned[0].score:.4f}")
    table = pd.read_csv(tmp_path / "s" / "leaderboard.csv")
    count = len(jobs) - len(pruned)
    assert table["state"].tolist() == ["finished"] * count + ["pruned"] * len(pruned)
    assert table["rank"].notna().sum() == count
    assert table["val/accuracy"].notna().all()
    assert "Failures" not in (tmp_path / "s" / "report.html").read_text()
    folder = next((tmp_path / "s").glob(f"{pruned[0].number}_*"))
    code, _, err = command(f"repeat={folder}")
    assert (code, "is not a finished run. It was pruned by its search." in err) == (1, True)
    code, _, err = command("resume=s")
    assert (code, err, len(started)) == (0, "", 4)
    # Once more alone, as after a kill: the study has not been told of its end.
    study = tmp_path / "s" / "study.log"
    lines = study.read_text().splitlines(keepends=True)
    told = {"op_code": 6, "trial_id": pruned[0].number, "state": 2}
    study.write_text("".join(line for line in lines if not told.items() <= json.loads(line).items()))
    replace(pruned[0], state="stopped", score=None, reason=None).write(folder)
    monkeypatch.setattr("celeba_lab.cli.main._restore", lambda cfg: True)
    code, out, err = command(f"resume={folder}")
    assert (code, err, len(started)) == (0, "", 5)
    assert out.startswith(f"s/{folder.name} was pruned after epoch 1 of 3 by its search, so it is neither tested nor")
    assert replace(Job.read(folder), seconds=0.0) == replace(pruned[0], seconds=0.0)
    assert states_in(tmp_path / "s")[pruned[0].number] == "PRUNED"


@pytest.mark.slow
def test_failed_jobs_run_again_without_another_trial(command: Command, started, fail, tmp_path: Path) -> None:
    fail(1, UserError("no"))
    code, _, err = command(*SEARCH)
    assert (code, len(started)) == (1, 3)
    assert "celeba_lab: error: job 1 failed: " in err
    assert states_in(tmp_path / "s")[1] == "FAIL"
    fail(1, None)
    varied = jobs_in(tmp_path / "s")[1].varied
    code, _, err = command("resume=s")
    assert (code, err, len(started)) == (0, "", 4)
    assert jobs_in(tmp_path / "s")[1].varied == varied
    assert states_in(tmp_path / "s") == ["COMPLETE"] * 4
    assert [job.number for job in jobs_in(tmp_path / "s")] == list(range(4))


@pytest.mark.slow
def test_no_trials_are_chosen_after_a_failure_with_fail_fast(command: Command, started, fail, tmp_path: Path) -> None:
    fail(1, UserError("no"))
    code, _, _ = command(*SEARCH, "fail_fast=true")
    assert (code, len(started), len(jobs_in(tmp_path / "s"))) == (1, 1, 2)


@pytest.mark.slow
def test_a_grid_contains_each_combination_once(command: Command, started, tmp_path: Path) -> None:
    grid = ["hydra/sweeper/sampler=grid", "model.lr=1e-3,1e-2"]
    arguments = [text for text in SEARCH if not text.startswith(("model.lr", "hydra.sweeper.n_trials"))]
    code, out, err = command(*arguments, *grid, "hydra.sweeper.n_trials=99")
    assert (code, err) == (0, "")
    assert "a search of 6 trials" in out
    assert len({tuple(job.varied.items()) for job in jobs_in(tmp_path / "s")}) == 6


@pytest.mark.slow
def test_what_a_killed_process_left_incomplete_is_completed(command: Command, started, fail, tmp_path: Path) -> None:
    """The process was killed after a trial was chosen, while it wrote a line, or before it told the study."""
    fail(3, Interrupted(15))
    command(*SEARCH)
    fail(3, None)
    study = tmp_path / "s" / "study.log"
    lines = study.read_text().splitlines(keepends=True)
    told = max(k for k, line in enumerate(lines) if json.loads(line)["op_code"] == 6)  # the end of job 2
    study.write_text("".join(lines[:told]) + lines[told][:9])
    for path in (tmp_path / "s").glob("3_*/*"):
        path.unlink() if path.is_file() else shutil.rmtree(path)
    path = next((tmp_path / "s").glob("2_*/job.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "running", "score": None}))
    code, _, err = command("resume=s")
    assert (code, err, len(started), len(jobs_in(tmp_path / "s"))) == (0, "", 4, 4)
    assert states_in(tmp_path / "s") == ["COMPLETE"] * 4


MISTAKES = [
    (["hydra/sweeper/sampler=tpee"], "'tpee' is not a choice for hydra/sweeper/sampler. Did you mean 'tpe'?"),
    (["hydra/sweeper/pruner=medan"], "'medan' is not a choice for hydra/sweeper/pruner. Did you mean 'median'?"),
    (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0 must be between 1 and 10000."),
    (["score=val/acuracy", "hydra/sweeper/pruner=median"], "score=val/acuracy is not a metric that this task reports"),
    (["hydra.sweeper.sampler=tpee"], "hydra.sweeper.sampler.name=tpee must be one of tpe, random,"),
    (["hydra.sweeper.n_trials=many"], "hydra.sweeper.n_trials=many must be a number."),
    (["hydra.sweeper.seed=-1"], "hydra.sweeper.seed=-1 must be between 0"),
    (["hydra.sweeper.storage=../x.log"], "hydra.sweeper.storage=../x.log must be the name of a file"),
    (["hydra.sweeper.storage=sqlite:///x.db"], "hydra.sweeper.storage=sqlite:///x.db must be the name of a file"),
    (["hydra.sweeper.storage=search.json"], "must be the name of a file that ends in .log"),
    (["+hydra.sweeper.sampler.n_start=1"], "hydra.sweeper.sampler.n_start=1 is not a setting."),
    (["+hydra.sweeper.pruner.n_start=1", "hydra/sweeper/pruner=median"], "hydra.sweeper.pruner.n_start=1 is not a"),
    (["hydra.sweeper.n_job=1"], "There is no setting 'hydra.sweeper.n_job'. Did you mean 'n_jobs'?"),
    (["hydra/sweeper/sampler=grid"], "hydra/sweeper/sampler=grid does not work with model.lr, which is an interval."),
    (["model.lr=interval(2,1)"], "model.lr=interval(2,1) cannot be searched"),
    (["model.lr=tag(log,interval(0,1))"], "model.lr=tag(log,interval(0,1)) cannot be searched"),
    (["seed=range(3,3)"], "seed=range(3,3) cannot be searched (it has no values)."),
    (["model.lrr=interval(1,2)"], "There is no setting 'model.lrr'. Did you mean 'lr'?"),
    (
        ["score=test/accuracy", "hydra/sweeper/pruner=median"],
        "score=test/accuracy is not a metric that validation logs",
    ),
    (["score=null"], "score=null cannot be optimised."),
]


def check_mistake(command: Command, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    given = [text for text in SEARCH if not any(text.partition("=")[0] == a.partition("=")[0] for a in arguments)]
    code, _, err = command(*given, *arguments)
    assert (code, len(err.splitlines())) == (1, 1), err
    assert sentence in err
    assert not list(tmp_path.iterdir())


def test_mistakes_are_explained_before_anything_is_written(command: Command, started, tmp_path: Path) -> None:
    for arguments, sentence in MISTAKES[:4]:
        check_mistake(command, tmp_path, arguments, sentence)


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES[4:], ids=lambda value: str(value)[:40])
def test_other_mistakes_are_explained(command: Command, started, tmp_path, arguments: list[str], sentence: str) -> None:
    check_mistake(command, tmp_path, arguments, sentence)


@pytest.mark.slow
def test_a_search_needs_something_to_search(command: Command, started, tmp_path: Path) -> None:
    code, _, err = command(*SEARCH[:-2])
    assert (code, len(err.splitlines())) == (1, 1)
    assert "A search needs at least one setting to search" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_only_tasks_that_train_can_be_pruned(command: Command, started) -> None:
    search = ["-m", "experiment=cooccurrence", "hydra/sweeper=optuna", "task.fraction=interval(0.1,1)", "score=count"]
    code, _, err = command(*search, "hydra/sweeper/pruner=median")
    assert code == 1
    assert "hydra/sweeper/pruner=median needs a task that trains, but the jobs run task=cooccurrence." in err
    gan = ["-m", "experiment=gan", "hydra/sweeper=optuna", "model.lr=interval(0.1,1)", "hydra/sweeper/pruner=median"]
    code, _, err = command(*gan, "task.distances.every_n_epochs=null")
    assert (code, "Set task.distances.every_n_epochs." in err) == (1, True)
    code, _, err = command(*gan, "score=train/generator_loss")
    assert (code, "score=train/generator_loss is not measured during training" in err) == (1, True)


def test_a_missing_library_is_named(command: Command, started, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = command(*SEARCH)
    assert code == 1
    install = "pip install 'celeba-lab[sweep]'"
    expected = f"hydra/sweeper=optuna needs libraries that are not installed. Install them with: {install}"
    assert err == f"celeba_lab: error: {expected}\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_sampler_without_its_library_is_explained(command: Command, started, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    code, _, err = command(*SEARCH, "hydra/sweeper/sampler=cmaes")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "hydra/sweeper/sampler=cmaes needs a library that is not installed." in err


@pytest.mark.slow
def test_a_score_that_no_job_reports_stops_the_search(command: Command, started) -> None:
    code, _, err = command(*SEARCH, "score=val/f1")
    assert (code, len(started)) == (1, 1)
    assert "score=val/f1 is not a metric of the jobs, so the search has been stopped." in err


@pytest.mark.slow
def test_the_storage_of_another_study_is_refused(command: Command, started, tmp_path: Path) -> None:
    command(*SEARCH)
    space, own = "model.lr=interval(1e-4,1e-2)", [text for text in SEARCH if not text.startswith("model.lr")]
    others = {
        "it has another search space": [*own, space],
        "its direction is maximize, not minimize": [*SEARCH, "direction=minimize"],
        "it has another score": [*SEARCH, "score=val/loss"],
        "it contains the study smile, not other": [*SEARCH, "hydra.sweeper.study_name=other"],
    }
    for number, (reason, arguments) in enumerate(others.items()):
        folder = tmp_path / f"other{number}"
        folder.mkdir()
        shutil.copy(tmp_path / "s" / "study.log", folder)
        code, _, err = command(*arguments, f"hydra.sweep.dir=other{number}")
        assert (code, len(err.splitlines()), len(started)) == (1, 1, 4), err
        assert f"study.log is the storage of another study: {reason}." in err
        assert [path.name for path in folder.iterdir()] == ["study.log"]
    (tmp_path / "s" / "study.log").write_text("{}\n")
    code, _, err = command("resume=s")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "it is not the storage of a study" in err


@pytest.mark.slow
def test_what_a_search_optimises_cannot_be_changed_when_it_is_resumed(command: Command, started, tmp_path) -> None:
    command(*SEARCH)
    for given in ("score=val/loss", "model.lr=1", "direction=minimize"):
        code, _, err = command("resume=s", given)
        assert (code, f"{given} cannot be changed when a sweep is resumed" in err) == (1, True)
    code, _, err = command("resume=s", "hydra.sweeper.params={data.seed:'1,2'}")
    assert (code, "the sweep would have other jobs than before" in err) == (1, True)


@pytest.mark.slow
def test_trials_can_run_at_the_same_time(run_process, tiny_celeba: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="install celeba_lab[sweep]")
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=5", "hydra.sweep.dir=s", "score=phi/largest"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    arguments = ["-m", "experiment=cooccurrence", f"data.root={tiny_celeba}", "task.fraction=interval(0.5,1)"]
    result = run_process(*arguments, *search, *launcher, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert states_in(tmp_path / "s") == ["COMPLETE"] * 5
    assert Search.read(tmp_path / "s").at_once == 2
    best = max(job.score for job in jobs_in(tmp_path / "s") if job.score is not None)
    assert f"{best:.4f}" in next(line for line in result.stdout.splitlines() if line.startswith("│    1 │"))
