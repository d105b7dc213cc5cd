"""Sweeps run on other processes and machines: submitit, SLURM's scripts, and Ray."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from celeba_lab.cli.ray_jobs import RayJobs
from celeba_lab.config import register_schema
from celeba_lab.errors import SettingError, UserError
from celeba_lab.files import config_directory
from celeba_lab.runs.job import Job
from hydra_plugins.celeba_lab_ray import RayLauncher

QUICK = ["-m", "experiment=cooccurrence", "seed=1,2", "task.fraction=1,2", "hydra.sweep.dir=s"]
TRAINED = [
    "-m", "experiment=smile", "model.image_size=32", "model.backbone=shufflenet_v2_x0_5", "model.weights=null",
    "trainer=cpu", "trainer.max_epochs=60", "data.batch_size=8", "data.num_workers=0", "task.report.page=false",
    "task.report.tune=null", "task.report.estimator=null", "seed=1,2", "hydra.sweep.dir=s",
]  # fmt: skip


def launcher_settings(*overrides: str) -> dict[str, Any]:
    """Return the settings of a launcher, without those that are used only in a sweep."""
    register_schema()
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        cfg = compose("config", list(overrides), return_hydra_config=True)
    cfg.hydra.sweep.dir = "outputs/s"
    found = OmegaConf.to_container(cfg.hydra.launcher, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def write_script(settings: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the lines of the script that submitit would give to sbatch for the settings of the plugin."""
    submitit = pytest.importorskip("submitit", reason="install celeba_lab[slurm]")
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from submitit.slurm.slurm import SlurmExecutor

    monkeypatch.setattr(SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    base = {field.name for field in dataclasses.fields(BaseQueueConf)}
    given = {k: v for k, v in settings.items() if k not in ("_target_", "submitit_folder", "max_num_timeout")}
    executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=settings["max_num_timeout"])
    executor.update_parameters(**{key if key in base else f"slurm_{key}": value for key, value in given.items()})
    return executor._executor._make_submission_file_text("python job.py", "1").splitlines()


def test_the_slurm_preset_becomes_a_script_for_sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = pytest.importorskip("hydra_plugins.hydra_submitit_launcher.config", reason="install celeba_lab[slurm]")
    known = {field.name for field in dataclasses.fields(config.SlurmQueueConf)}
    settings = launcher_settings("hydra/launcher=slurm")
    preset = OmegaConf.to_container(OmegaConf.load(config_directory() / "hydra" / "launcher" / "slurm.yaml"))
    assert set(preset) - {"defaults"} <= known == set(settings)
    lines = write_script(settings, tmp_path, monkeypatch)
    options = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert {"time=240", "gpus-per-node=1", "cpus-per-task=8", "mem=32GB", "signal=USR2@120", "requeue"} <= options
    assert not [option for option in options if option.startswith(("partition", "account"))]
    setup = lines[lines.index("# setup") + 1 : lines.index("# command") - 1]
    assert setup == [f"export {name}=$SLURM_CPUS_PER_TASK" for name in ("OMP_NUM_THREADS", "SRUN_CPUS_PER_TASK")]


def test_settings_of_the_slurm_preset_can_be_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = ["partition=gpu", "timeout_min=30", "gpus_per_node=null", "+additional_parameters.mail-type=END"]
    settings = launcher_settings(
        "hydra/launcher=slurm", *(re.sub(r"(\+?)", r"\1hydra.launcher.", c, count=1) for c in changes)
    )
    lines = write_script(settings, tmp_path, monkeypatch)
    assert {f"#SBATCH --{option}" for option in ("partition=gpu", "time=30", "mail-type=END", "requeue")} <= set(lines)
    assert not [line for line in lines if "gpus" in line]


def test_the_settings_of_the_ray_launcher_are_its_arguments() -> None:
    settings = launcher_settings("hydra/launcher=ray")
    arguments = {name: parameter.default for name, parameter in signature(RayLauncher).parameters.items()}
    assert settings.pop("_target_") == "hydra_plugins.celeba_lab_ray.RayLauncher"
    assert settings == arguments | {"runtime_env": {}}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"num_cpus": 0}, "hydra.launcher.num_cpus=0 must be above 0."),
        ({"num_gpus": -1}, "hydra.launcher.num_gpus=-1 must be at least 0."),
        ({"n_jobs": 0}, "hydra.launcher.n_jobs=0 must be at least 1."),
        ({"max_retries": -1}, "hydra.launcher.max_retries=-1 must be at least 0."),
    ],
)
def test_numbers_out_of_range_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError, match=f"^{re.escape(sentence)}$"):
        RayLauncher(**settings)


def test_mistakes_in_the_settings_of_a_launcher_are_explained(command) -> None:
    code, _, err = command(*QUICK, "hydra/launcher=ray", "hydra.launcher.num_cpus=0")
    assert (code, err) == (1, "celeba_lab: error: hydra.launcher.num_cpus=0 must be above 0.\n")


def test_a_job_that_no_node_can_run_is_refused() -> None:
    """Ray would wait for a suitable node forever."""
    nodes = [{"Alive": True, "Resources": {"CPU": 8.0}}, {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 8.0}}]
    RayJobs(num_cpus=8, num_gpus=0, n_jobs=None, max_retries=0, runtime_env={}).check_resources(nodes)
    for num_cpus, num_gpus in ((9, 0), (1, 1)):
        jobs = RayJobs(num_cpus, num_gpus, n_jobs=None, max_retries=0, runtime_env={})
        with pytest.raises(UserError, match=r"^None of the 1 nodes of the Ray cluster has hydra\.launcher\.num_cpus="):
            jobs.check_resources(nodes)


def test_without_ray_the_launcher_says_how_to_install_it(command, tiny_celeba, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = command(*QUICK, f"data.root={tiny_celeba}", "hydra/launcher=ray")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "hydra/launcher=ray needs libraries that are not installed." in err


def states(folder: Path) -> list[str]:
    return [Job.read(path.parent).state for path in sorted(folder.glob("s/*/job.json"))]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["submitit_local", "ray"])
def test_a_sweep_runs_in_other_processes_and_can_be_resumed(
    launcher: str, run_process, tiny_celeba: Path, tmp_path: Path
) -> None:
    pytest.importorskip("submitit" if launcher == "submitit_local" else "ray")
    (tmp_path / "yaml.py").write_text("raise SystemExit('a module in the current folder was imported')")
    result = run_process(*QUICK, f"data.root={tiny_celeba}", f"hydra/launcher={launcher}", cwd=tmp_path)
    assert (result.returncode, states(tmp_path)) == (1, ["finished", "failed"] * 2)
    lines = result.stderr.splitlines()
    assert [line for line in lines if not line.startswith("celeba_lab: error: job ")] == []
    assert all("task.fraction=2 must be" in line for line in lines)
    assert result.stdout.count(" finished: ") == 2
    log = (tmp_path / "s" / "0_seed-1_fraction-1" / "output.log").read_text()
    assert "repeat: python -m celeba_lab repeat=s/0_seed-1_fraction-1" in log
    kept = (tmp_path / "s" / "0_seed-1_fraction-1" / "summary.json").stat().st_mtime_ns
    result = run_process("resume=s", cwd=tmp_path)
    assert result.stdout.count(" failed: ") == 2
    assert (tmp_path / "s" / "0_seed-1_fraction-1" / "summary.json").stat().st_mtime_ns == kept


@pytest.fixture
def start_process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """``start_process("-m", ...)`` starts the command line in ``tmp_path``, and writes its output to ``log``."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        with (tmp_path / "log").open("wb") as log:
            command = [sys.executable, "-m", "celeba_lab", *arguments]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def wait_for(path: Path, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not path.is_file():
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.1)


def process_of(folder: Path) -> int:
    """Return the process that writes the output of a job."""
    for path in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if path.resolve() == folder / "output.log":
                return int(path.parts[2])
        except OSError:
            continue
    raise AssertionError(f"no process runs {folder}")


@pytest.mark.slow
def test_a_requeued_job_goes_on_and_a_killed_job_fails_alone(
    start_process, run_process, tiny_celeba: Path, tmp_path: Path
) -> None:
    """submitit sends SIGUSR2 to jobs that are preempted or reach their time limit."""
    pytest.importorskip("submitit", reason="install celeba_lab[slurm]")
    sweep = start_process(*TRAINED, f"data.root={tiny_celeba}", "hydra/launcher=submitit_local")
    first, second = tmp_path / "s" / "0_seed-1", tmp_path / "s" / "1_seed-2"
    for folder in (first, second):
        wait_for(folder / "checkpoints" / "last.ckpt")
    os.kill(process_of(first), signal.SIGUSR2)
    os.kill(process_of(second), signal.SIGKILL)
    assert sweep.wait(300) == 1
    log = (tmp_path / "log").read_text()
    assert states(tmp_path) == ["finished", "failed"], log
    assert "job 0 stopped: seed=1: It goes back to the queue" in log
    assert "job 1 failed: seed=2: Its process was killed" in log
    assert "resuming: s/0_seed-1/checkpoints/last.ckpt" in (first / "output.log").read_text()
    result = run_process("resume=s", cwd=tmp_path)
    assert (result.returncode, states(tmp_path)) == (0, ["finished"] * 2)
    assert "resuming: s/1_seed-2/checkpoints/last.ckpt" in (second / "output.log").read_text()


SLURM = {
    # Runs each task of the array as SLURM would, and again if it was requeued.
    "sbatch": """
        n=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
        export SLURM_ARRAY_JOB_ID=77 SLURM_CPUS_PER_TASK=1 SLURM_JOB_NUM_NODES=1 SLURM_NTASKS=1 SLURM_PROCID=0
        for i in $(seq 0 "$n"); do
            export SLURM_JOB_ID=$((77 + i)) SLURM_ARRAY_TASK_ID=$i
            (while bash "$1" >>"$SLURM_FOLDER/log_$i" 2>&1 || [ -f "$SLURM_FOLDER/requeued_77_$i" ]; do
                rm "$SLURM_FOLDER/requeued_77_$i" || break
            done) >/dev/null 2>&1 &
        done
        echo "Submitted batch job 77"
    """,
    "srun": """
        while [[ $1 == --* ]]; do if [[ $1 == --unbuffered ]]; then shift; else shift 2; fi; done
        exec "$@"
    """,
    "scontrol": 'touch "$SLURM_FOLDER/$1d_$2"',
    "sacct": "printf 'JobID|State|NodeList\\n77_0|RUNNING|node\\n77_1|RUNNING|node\\n'",
}
"""Programs of SLURM, as far as submitit uses them."""


@pytest.mark.slow
def test_the_slurm_preset_runs_and_requeues_jobs(
    start_process, tiny_celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit", reason="install celeba_lab[slurm]")
    programs = tmp_path / "slurm"
    programs.mkdir()
    for name, text in SLURM.items():
        (programs / name).write_text(f"#!/bin/bash\n{textwrap.dedent(text)}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_FOLDER", str(programs))
    sweep = start_process(*TRAINED, f"data.root={tiny_celeba}", "hydra/launcher=slurm")
    first = tmp_path / "s" / "0_seed-1"
    wait_for(first / "checkpoints" / "last.ckpt")
    os.kill(process_of(first), signal.SIGUSR2)
    code, log = sweep.wait(600), (tmp_path / "log").read_text()
    assert (code, states(tmp_path)) == (0, ["finished"] * 2), log
    assert "job 0 stopped: seed=1: It goes back to the queue" in log
    assert (first / "output.log").read_text().count("resuming: s/0_seed-1/checkpoints/last.ckpt") == 1
    [script] = (tmp_path / "s" / ".submitit").rglob("*_submission.sh")  # A link to it has another name.
    assert "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK" in script.read_text()


@pytest.mark.slow
def test_jobs_outlive_a_killed_sweep_and_are_not_started_twice(
    start_process, run_process, tiny_celeba: Path, tmp_path: Path
) -> None:
    pytest.importorskip("submitit", reason="install celeba_lab[slurm]")
    sweep = start_process(*TRAINED, f"data.root={tiny_celeba}", "hydra/launcher=submitit_local")
    for folder in ("0_seed-1", "1_seed-2"):
        wait_for(tmp_path / "s" / folder / "checkpoints" / "last.ckpt")
    sweep.kill()
    sweep.wait()
    result = run_process("resume=s", cwd=tmp_path)
    assert "is being run by another process" in result.stderr
    for folder in ("0_seed-1", "1_seed-2"):
        wait_for(tmp_path / "s" / folder / "summary.json")
    result = run_process("resume=s", cwd=tmp_path)
    assert (result.returncode, states(tmp_path)) == (0, ["finished"] * 2)
    assert "resuming:" not in (tmp_path / "s" / "0_seed-1" / "output.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["ray", "joblib"])
def test_a_job_whose_process_is_killed_fails_alone(
    launcher: str, start_process, tiny_celeba: Path, tmp_path: Path
) -> None:
    pytest.importorskip(launcher)
    extra = ["hydra.launcher.n_jobs=2"]
    sweep = start_process(*TRAINED, f"data.root={tiny_celeba}", f"hydra/launcher={launcher}", *extra)
    first, second = tmp_path / "s" / "0_seed-1", tmp_path / "s" / "1_seed-2"
    for folder in (first, second):
        wait_for(folder / "checkpoints" / "last.ckpt")
    os.kill(process_of(second), signal.SIGKILL)
    code, log = sweep.wait(300), (tmp_path / "log").read_text()
    # joblib ends all processes. The jobs go on one by one, and this one is not killed again.
    expected = ["finished", "failed"] if launcher == "ray" else ["finished", "finished"]
    assert (states(tmp_path), code) == (expected, int("failed" in expected)), log
    assert ("job 1 failed: seed=2: Its process was killed" in log) == (launcher == "ray")
    assert "Traceback" not in log
