"""A sweep and each of its jobs use a single process."""

import re

import pytest
from omegaconf import OmegaConf

from celeba_lab.cli.processes import share_arguments
from celeba_lab.cli.sweep_processes import jobs_that_choose_devices, refuse_distributed_jobs, refuse_launched_sweep
from celeba_lab.errors import SettingError, UserError
from celeba_lab.runs.sweep import Sweep

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "9"}
SRUN = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
SEVERAL = [
    (TORCHRUN | {"WORLD_SIZE": "2"}, "torchrun, because each of the 2 processes"),
    (SRUN | {"SLURM_NTASKS": "3"}, "srun, because each of the 3 processes"),
    (TORCHRUN | {"TORCHELASTIC_RUN_ID": None, "WORLD_SIZE": "2"}, "RANK and WORLD_SIZE, because each of the 2"),
]


def set_variables(variables: dict[str, str | None], patch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        patch.delenv(name, raising=False) if value is None else patch.setenv(name, value)


@pytest.mark.parametrize(("variables", "sentence"), SEVERAL)
@pytest.mark.parametrize("arguments", [["-m", "seed=1,2"], ["search=smile"]])
def test_a_sweep_is_not_started_by_several_processes(
    variables: dict[str, str | None], sentence: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(variables, monkeypatch)
    with pytest.raises(UserError, match=f"^A sweep cannot be combined with {sentence}"):
        share_arguments(arguments)
    set_variables({name: "1" for name in ("RANK", "SLURM_PROCID") if name in variables}, monkeypatch)
    with pytest.raises(SystemExit, match="1"):  # without a sentence of its own
        share_arguments(arguments)


def test_a_sweep_is_started_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(TORCHRUN | {"WORLD_SIZE": "1"}, monkeypatch)
    refuse_launched_sweep()


def test_a_sweep_is_not_resumed_by_several_processes(command, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the folder contains a sweep is known only when its settings are composed."""
    (tmp_path / "s").mkdir()
    Sweep(
        overrides=["experiment=cooccurrence", "seed=1,2"], hydra_overrides=[], options=[], varied=["seed"],
        jobs=[["experiment=cooccurrence", f"seed={seed}"] for seed in (1, 2)], score=None, direction="maximize",
    ).write(tmp_path / "s")  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    set_variables(SRUN | {"SLURM_NTASKS": "2"}, monkeypatch)
    code, _, err = command("resume=s")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("celeba_lab: error: A sweep cannot be combined with srun")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("trainer", "named"),
    [
        ({"devices": 2, "num_nodes": 1}, "trainer.devices=2"),
        ({"devices": "auto", "num_nodes": 1}, "trainer.devices=auto"),
        ({"devices": -1, "num_nodes": 1}, "trainer.devices=-1"),
        ({"devices": [0, 1], "num_nodes": 1}, "trainer.devices=[0, 1]"),
        ({"devices": 1, "num_nodes": 2}, "trainer.num_nodes=2"),
    ],
)
def test_a_job_with_several_processes_is_refused(trainer: dict, named: str) -> None:
    with pytest.raises(SettingError, match=f"^{re.escape(named)} cannot be used in a sweep"):
        refuse_distributed_jobs(OmegaConf.create({"trainer": trainer}))


@pytest.mark.parametrize("trainer", [None, {"devices": 1, "num_nodes": 1}, {"devices": [1]}, {"devices": "${x}"}])
def test_a_job_with_one_process_is_accepted(trainer: dict | None) -> None:
    refuse_distributed_jobs(OmegaConf.create({"trainer": trainer}))


def test_only_jobs_that_may_use_other_devices_are_composed() -> None:
    class Loader:
        def get_group_options(self, name: str) -> list[str]:
            return ["a", "b"] if name in ("trainer", "experiment") else []

    jobs = [[f"trainer={name}", f"seed={seed}"] for seed in (1, 2) for name in ("cpu", "gpu", "ddp")]
    assert jobs_that_choose_devices(jobs, Loader()) == jobs[1:3]
    jobs = [[f"+experiment@x={name}", f"trainer.devices={number}"] for name in "ab" for number in (1, 2)]
    assert jobs_that_choose_devices(jobs, Loader()) == jobs[1:3]
