"""Environment variables that describe the processes of a run."""

import pytest

from celeba_lab.console import is_main_process
from celeba_lab.errors import UserError
from celeba_lab.runs.processes import Launch, explain_lost_connection

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RESTART_COUNT": "1",
}
SRUN = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "0",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*TORCHRUN, *SRUN, "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_processes_of_torchrun_and_srun_are_recognised() -> None:
    assert Launch.find(TORCHRUN) == Launch("torchrun", rank=1, world_size=4, per_node=2, restarts=1)
    assert Launch.find(SRUN) == Launch("srun", rank=1, world_size=2, per_node=2, restarts=0)
    assert Launch.find(SRUN | TORCHRUN).launcher == "torchrun"  # srun starts torchrun on each machine
    alone = [
        {},
        SRUN | {"SLURM_JOB_NAME": "interactive"},
        SRUN | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
        {name: value for name, value in SRUN.items() if name != "SLURM_STEP_ID"},  # a batch script without srun
        {"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"},  # started by Lightning's launcher
    ]
    assert [Launch.find(variables) for variables in alone] == [None] * len(alone)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"RANK": "0"}, "RANK=0 is set, but WORLD_SIZE and LOCAL_RANK and MASTER_ADDR and MASTER_PORT are not"),
        ({**TORCHRUN, "MASTER_PORT": None}, "TORCHELASTIC_RUN_ID=none is set, but MASTER_PORT is not"),
        ({**TORCHRUN, "MASTER_PORT": "70000"}, "MASTER_PORT=70000 must be a whole number, between 0 and 65535"),
        ({**TORCHRUN, "RANK": "4"}, "RANK=4 must be a whole number, between 0 and 3"),
        ({**TORCHRUN, "WORLD_SIZE": "two"}, "WORLD_SIZE=two must be a whole number, at least 1"),
        ({**SRUN, "SLURM_PROCID": None}, "SLURM_NTASKS=2 is set, but SLURM_PROCID is not"),
        ({**SRUN, "SLURM_PROCID": "2"}, "SLURM_PROCID=2 must be a whole number, between 0 and 1"),
    ],
)
def test_wrong_variables_are_explained(variables: dict[str, str | None], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Launch.find({name: value for name, value in variables.items() if value is not None})


@pytest.mark.parametrize(
    ("variables", "is_main"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "1"}, False),
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1", "NODE_RANK": "0"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),
    ],
    ids=str,
)
def test_only_one_process_is_the_main_process(
    environment: pytest.MonkeyPatch, variables: dict[str, str], is_main: bool
) -> None:
    """For example, Lightning's launcher in a job of SLURM inherits the variables of the job's first process."""
    for name, value in variables.items():
        environment.setenv(name, value)
    assert is_main_process() == is_main


def test_errors_of_the_communication_are_explained() -> None:
    lost = RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer")
    assert "did not find each other" in str(explain_lost_connection(lost))
    assert "is used by another program" in str(explain_lost_connection(RuntimeError("... code: -98, name: EADDRINUSE")))
    assert explain_lost_connection(RuntimeError("shape mismatch")) is None
