"""A sweep runs all of its jobs, ranks them, and can be resumed."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from celeba_lab.errors import UserError
from celeba_lab.runs.interrupts import Interrupted
from celeba_lab.runs.job import Job
from celeba_lab.runs.settings import write_settings
from celeba_lab.runs.summary import Summary
from celeba_lab.runs.sweep import Sweep

Command = Callable[..., tuple[int, str, str]]
SWEEP = ["experiment=smile", "seed=1,2,3,4", "hydra.sweep.dir=s"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, blank_figures: None) -> list[int]:
    """Seeds of the jobs that were started. The jobs take no time, and their score is their seed."""
    seeds: list[int] = []

    def task(cfg: DictConfig) -> dict[str, float]:
        folder = Path(HydraConfig.get().runtime.output_dir)
        seeds.append(cfg.seed)
        print(f"training with seed {cfg.seed}")
        write_settings(folder, {"seed": cfg.seed})
        metrics = {"val/accuracy": cfg.seed / 10}
        Summary(experiment="smile", task="train", metrics=metrics, checkpoint="best.ckpt").write(folder)
        return metrics

    monkeypatch.setattr("celeba_lab.cli.main.prepare", lambda cfg: task)
    return seeds


@pytest.fixture
def swept(started: list[int], run_command, made_once, tmp_path: Path) -> Path:
    """Folder of a copy of a finished sweep, which is run once for all tests."""
    once = made_once("swept", lambda folder: run_command("-m", *SWEEP, cwd=folder))
    started.clear()
    return Path(shutil.copytree(once / "s", tmp_path / "s"))


@pytest.fixture
def fail(started: list[int], monkeypatch: pytest.MonkeyPatch) -> Callable[[int, BaseException | None], None]:
    """``fail(seed, error)`` makes the job with this seed fail when it starts."""
    from celeba_lab.cli import main

    usual = main.prepare
    errors: dict[int, BaseException | None] = {}

    def prepare(cfg: DictConfig) -> Callable[[DictConfig], dict[str, float]]:
        task = usual(cfg)

        def run(cfg: DictConfig) -> dict[str, float]:
            error = errors.get(cfg.seed)
            if error is not None:
                started.append(cfg.seed)
                raise error
            return task(cfg)

        return run

    monkeypatch.setattr("celeba_lab.cli.main.prepare", prepare)
    return errors.__setitem__


def states(folder: Path) -> list[str]:
    return [Job.read(path.parent).state for path in sorted(folder.glob("s/*/job.json"))]


def test_a_sweep_prints_two_lines_for_each_job_and_a_leaderboard(
    command: Command, started: list[int], tmp_path: Path
) -> None:
    code, out, err = command("-m", *SWEEP)
    assert (code, err, started) == (0, "", [1, 2, 3, 4])
    lines = out.splitlines()
    assert lines[:2] == ["sweep: 4 jobs in s", "if stopped: python -m celeba_lab resume=s"]
    ended = [line for line in lines if line.startswith("job ")]
    assert [line.split("  ")[0] for line in ended if "finished" in line] == [
        f"job {k} finished: seed={k + 1}" for k in range(4)
    ]
    assert "training with seed" not in out
    assert (tmp_path / "s" / "2_seed-3" / "output.log").read_text().startswith("training with seed 3\n")
    assert "best run: s/3_seed-4" in out
    assert "report: s/report.html" in out
    assert "3_seed-4" in (tmp_path / "s" / "report.html").read_text()
    assert (tmp_path / "s" / "figures" / "scores.png").is_file()
    assert (tmp_path / "s" / "leaderboard.csv").read_text().splitlines()[1].startswith("1,3_seed-4,4,0.4,")
    assert {"leaderboard.md", "leaderboard.tex", "sweep.json"} <= {path.name for path in (tmp_path / "s").iterdir()}
    assert states(tmp_path) == ["finished"] * 4


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("Training diverged."), "Training diverged."),
        (ZeroDivisionError("ours"), "This is a bug in celeba_lab (ZeroDivisionError: ours). output.log in the folder"),
    ],
)
def test_a_job_that_fails_does_not_stop_the_others(
    command: Command, started: list[int], fail, tmp_path: Path, error: Exception, sentence: str
) -> None:
    fail(2, error)
    code, out, err = command("-m", *SWEEP)
    assert (code, started) == (1, [1, 2, 3, 4])
    assert err.splitlines() == [line for line in err.splitlines() if line.startswith("celeba_lab: error: job 1 failed")]
    assert f"celeba_lab: error: job 1 failed: seed=2: {sentence}" in err
    assert states(tmp_path) == ["finished", "failed", "finished", "finished"]
    log = (tmp_path / "s" / "1_seed-2" / "output.log").read_text()
    assert ("Traceback" in log) == isinstance(error, ZeroDivisionError)
    assert re.search(r"│ 1 +│ +2 │ .* failed", out)
    _, _, err = command("resume=s/1_seed-2")
    assert "Resume its sweep instead: python -m celeba_lab resume=s" in err


@pytest.mark.slow
def test_after_a_failure_the_other_jobs_can_be_skipped(command: Command, started, fail, tmp_path: Path) -> None:
    fail(2, UserError("no"))
    code, _, err = command("-m", *SWEEP, "fail_fast=true")
    assert (code, started) == (1, [1, 2])
    assert states(tmp_path) == ["finished", "failed", "skipped", "skipped"]
    assert "job 3 skipped: seed=4" in err


def test_a_resumed_sweep_runs_each_job_once(command: Command, started: list[int], fail, tmp_path: Path) -> None:
    fail(3, Interrupted(15))
    code, _, err = command("-m", *SWEEP)
    assert code == 143
    assert "To resume: python -m celeba_lab resume=s\n" in err
    assert states(tmp_path) == ["finished", "finished", "stopped"]
    first = (tmp_path / "s" / "0_seed-1" / "summary.json").stat().st_mtime_ns
    fail(3, None)
    code, out, err = command("resume=s")
    assert (code, err, started) == (0, "", [1, 2, 3, 3, 4])
    assert states(tmp_path) == ["finished"] * 4
    assert (tmp_path / "s" / "0_seed-1" / "summary.json").stat().st_mtime_ns == first
    assert "job 0" not in out
    for seed in (3, 4):
        assert (tmp_path / "s" / f"{seed - 1}_seed-{seed}" / ".hydra" / "overrides.yaml").is_file()


@pytest.mark.slow
def test_an_override_that_was_given_twice_does_not_prevent_resuming(command: Command, started, tmp_path: Path) -> None:
    command("-m", "experiment=smile", "seed=9", "model.lr=1,2", "seed=1,2", "hydra.sweep.dir=s")
    assert sorted(path.name for path in (tmp_path / "s").iterdir() if path.is_dir())[0] == "0_seed-1_lr-1"
    code, _, err = command("resume=s")
    assert (code, err, len(started)) == (0, "", 4)


@pytest.mark.slow
def test_a_job_that_another_process_runs_is_left_to_it(command: Command, started, fail, tmp_path: Path) -> None:
    fail(2, Interrupted(15))
    command("-m", *SWEEP)
    fail(2, None)
    descriptor = os.open(tmp_path / "s" / "1_seed-2", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    job = Job.read(tmp_path / "s" / "1_seed-2")
    replace(job, state="running").write(tmp_path / "s" / "1_seed-2")
    try:
        code, out, err = command("resume=s")
    finally:
        os.close(descriptor)
    assert (code, started) == (1, [1, 2, 3, 4])
    assert err == "celeba_lab: error: job 1 is being run by another process. Resume the sweep when it has ended.\n"
    assert "best run: s/3_seed-4" in out
    code, _, err = command("resume=s")
    assert (code, err, started) == (0, "", [1, 2, 3, 4, 2])


def test_a_sweep_of_misspelt_settings_leaves_nothing(command: Command, started, tmp_path: Path) -> None:
    code, _, err = command("-m", "experiment=smile", "model.lrr=1,2")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "There is no setting 'model.lrr'. Did you mean 'lr'?" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_skipping_can_be_switched_off_when_a_sweep_is_resumed(command: Command, started, fail, tmp_path: Path) -> None:
    fail(1, UserError("no"))
    command("-m", *SWEEP, "fail_fast=true")
    assert states(tmp_path) == ["failed", "skipped", "skipped", "skipped"]
    code, _, err = command("resume=s", "fail_fast=false")
    assert (code, len(err.splitlines())) == (1, 1)
    assert states(tmp_path) == ["failed", "finished", "finished", "finished"]


@pytest.mark.slow
def test_a_killed_job_that_wrote_its_summary_is_finished(command: Command, started, swept: Path) -> None:
    path = swept / "1_seed-2" / "job.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "running", "score": None}))
    code, _, _ = command("resume=s")
    assert (code, started) == (0, [])
    assert Job.read(path.parent).score == 0.2


MISTAKES = [
    (["resume=s", "model.lr=1"], "model.lr=1 cannot be changed when a sweep is resumed (resume=s)."),
    (["resume=s", "seed=9"], "seed=9 cannot be changed when a sweep is resumed"),
    (["-m", "experiment=smile", "hydra.sweep.dir=s"], "already contains a sweep"),
    (["-m", "experiment=smile", "seed=range(3,3)"], "The sweep has no jobs, because seed=range(3,3) has no values."),
    (["-m", "experiment=smile", "direction=up"], "direction=up must be one of maximize, minimize."),
]
FORGED = [
    ("overrides", ["hydra.searchpath=[pkg://evil]"]),
    ("overrides", ["--config-dir=x"]),
    ("hydra_overrides", ["hydra.job_logging=none"]),
]


def test_mistakes_and_forged_records_are_explained(command: Command, swept: Path) -> None:
    for arguments, sentence in MISTAKES:
        code, _, err = command(*arguments)
        assert (code, len(err.splitlines())) == (1, 1)
        assert sentence in err
    path = swept / Sweep.FILE
    record = json.loads(path.read_text())
    for field, value in FORGED:
        path.write_text(json.dumps(record | {field: value}))
        code, _, err = command("resume=s")
        assert (code, f"sweep.json contains {value[0]}, which is not a setting of a" in err) == (1, True)


def test_a_sweep_whose_file_has_changed_is_refused(command: Command, started, own_conf: Path, tmp_path: Path) -> None:
    path = own_conf / "experiment" / "swept.yaml"
    text = "# @package _global_\ndefaults:\n  - smile\nhydra:\n  sweeper:\n    params:\n      seed: 1,2\n"
    path.write_text(text)
    command("-m", "experiment=swept", "hydra.sweep.dir=s")
    path.write_text(text.replace("1,2", "1,3"))
    code, _, err = command("resume=s")
    assert code == 1
    assert "resume=" in err
    assert "cannot be resumed, because the sweep would have other jobs than before." in err
    assert started == [1, 2]


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch, blank_figures: None, run_writer) -> None:
    """The jobs take no time, and write predictions that depend on the learning rate and the seed."""

    def task(cfg: DictConfig) -> dict[str, float]:
        wrong = 6 if cfg.model.lr < 1 else 24
        folder = Path(HydraConfig.get().runtime.output_dir)
        probabilities = run_writer.probabilities(10 * cfg.seed + wrong, wrong)
        settings = {"model": {"lr": cfg.model.lr}, "data": {"seed": cfg.seed}}
        run_writer.write(folder, cfg.seed, probabilities=probabilities, settings=settings)
        return Summary.read(folder).metrics

    monkeypatch.setattr("celeba_lab.cli.main.prepare", lambda cfg: task)


def test_a_sweep_over_seeds_ends_with_a_comparison_of_the_settings(
    command: Command, predicted: None, tmp_path: Path
) -> None:
    sweep = ["-m", "experiment=smile", "hydra.sweep.dir=s", "score=test/accuracy"]
    code, out, err = command(*sweep, "seed=1,2,3", "model.lr=0.1,10")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert words.index("leaderboard (maximize") < words.index("settings over seeds") < words.index("best run: ")
    assert "│ lr=0.1 │ 0.9000 ± 0.0000 │ 3 │" in words
    assert "lr=10 is worse than lr=0.1 in test/accuracy by 0.3000" in words
    assert {"seeds.csv", "seeds.md", "seeds.tex", "seed_differences.csv"} <= {
        p.name for p in (tmp_path / "s").iterdir()
    }
    assert "Settings over seeds" in (tmp_path / "s" / "report.html").read_text()
    # A damaged table of one run does not stop the comparison.
    [first] = (tmp_path / "s").glob("0_*")
    (first / "tables" / "predictions_test.csv").write_text("image_id\n")
    code, out, err = command("resume=s")
    assert (code, err) == (0, "")
    assert "The intervals of test/accuracy cover seeds, but not images: " in " ".join(out.split())


@pytest.mark.slow
def test_a_sweep_over_seeds_alone_ends_with_their_mean(command: Command, predicted: None, tmp_path: Path) -> None:
    code, out, _ = command("-m", "experiment=smile", "hydra.sweep.dir=s", "score=test/accuracy", "seed=1,2")
    assert code == 0
    words = " ".join(out.split())
    assert "│ all runs │ 0.9000 ± 0.0000 │ 2 │" in words
    assert "All 2 runs have the same settings, so there are no settings to compare." in words
    assert not (tmp_path / "s" / "seed_differences.csv").exists()


@pytest.mark.slow
def test_jobs_can_run_at_the_same_time(run_process, tiny_celeba: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="install celeba_lab[sweep]")
    arguments = ["-m", "experiment=cooccurrence", f"data.root={tiny_celeba}", "seed=1,2,3", "task.fraction=1,2"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=s"]
    result = run_process(*arguments, *launcher, cwd=tmp_path)
    assert result.returncode == 1
    assert sorted(states(tmp_path)) == ["failed"] * 3 + ["finished"] * 3
    assert result.stderr.count("celeba_lab: error: job") == 3
    assert len([line for line in result.stdout.splitlines() if " started: " in line or " failed: " in line]) >= 3
    result = run_process("resume=s", cwd=tmp_path)
    assert result.stdout.count(" failed: ") == 3


def test_a_misspelt_score_is_explained_before_any_job_starts(command: Command, started, tmp_path: Path) -> None:
    code, _, err = command("-m", *SWEEP, "score=val/acuracy")
    assert (code, started) == (1, [])
    assert err == (
        "celeba_lab: error: score=val/acuracy is not a metric that this task reports. Did you mean 'val/accuracy'?\n"
    )
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_a_score_that_no_job_reports_is_explained_after_the_first(
    command: Command, started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeba_lab.cli.sweep_monitor.SweepMonitor.interval", 0.01)
    code, out, _ = command("-m", *SWEEP, "score=test/acuracy")
    sentence = "score=test/acuracy is not a metric of these runs, so they are not ranked."
    assert (code, started) == (0, [1, 2, 3, 4])
    assert out.count(sentence) == 2, "once while the jobs run, and once at the end"


def test_a_sweep_that_varies_nothing_says_so(command: Command, started, tmp_path: Path) -> None:
    code, out, _ = command("-m", "experiment=smile", "hydra.sweep.dir=s")
    assert (code, started) == (0, [42])
    assert "No setting has several values, as in seed=1,2, so nothing is varied." in out


IGNORED = [
    ("score=val/loss", "score=val/loss cannot be changed when a sweep is resumed. Rank its runs again with: python"),
    ("direction=minimize", "direction=minimize cannot be changed when a sweep is resumed. Rank its runs"),
    ("hydra.sweep.dir=t", "hydra.sweep.dir=t cannot be changed when a sweep is resumed, which goes on in its own"),
]


def test_a_setting_that_a_resumed_sweep_would_ignore_is_refused(command: Command, started, swept: Path) -> None:
    for override, sentence in IGNORED:
        code, _, err = command("resume=s", override)
        assert (code, started) == (1, [])
        assert err.startswith(f"celeba_lab: error: {sentence}")
    code, _, err = command("resume=s", "score=val/accuracy", "direction=maximize")
    assert (code, err) == (0, "")


def test_a_damaged_record_of_a_job_is_set_aside(command: Command, started, swept: Path) -> None:
    record = swept / "1_seed-2" / "job.json"
    summary = (record.parent / "summary.json").stat().st_mtime_ns
    record.write_text("{")
    code, out, err = command("resume=s")
    assert (code, err, started) == (0, "", [])
    assert "s/1_seed-2/job.json cannot be used" in out
    assert "It was renamed to job.json.damaged." in out
    assert (record.parent / "job.json.damaged").read_text() == "{"
    assert Job.read(record.parent).state == "finished"
    assert (record.parent / "summary.json").stat().st_mtime_ns == summary


def test_a_damaged_summary_of_a_job_is_not_overwritten(command: Command, started, swept: Path, tmp_path: Path) -> None:
    summary, failed = swept / "1_seed-2" / "summary.json", swept / "0_seed-1"
    summary.write_text("{")
    replace(Job.read(failed), state="failed").write(failed)
    code, _, err = command("resume=s")
    assert (code, started, summary.read_text()) == (1, [], "{")
    assert err.count("\n") == 1
    assert "s/1_seed-2/summary.json cannot be used" in err
    assert err.endswith("Or move s/1_seed-2 out of the sweep, and its job runs again.\n")
    assert Job.read(failed).state == "failed", "nothing is changed"
    summary.parent.rename(tmp_path / "kept")
    code, _, err = command("resume=s")
    assert (code, err, started) == (0, "", [2])
