"""The processes of a run: how they were started, and which of them failed. This module does not import torch."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celeba_lab.console import is_main_process
from celeba_lab.errors import UserError

# Lightning does not use SLURM's variables in jobs with these names, in which commands are typed.
_INTERACTIVE_JOBS = ("bash", "interactive")
_TORCHRUN = "TORCHELASTIC_RUN_ID"
_BY_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_BY_SLURM = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")
_FAILED = "celeba_lab/failed"  # Key of the number of processes that have failed.


@dataclass(frozen=True)
class Launch:
    """Processes of a run that another program has started.

    Attributes:
        launcher: Name of the program: ``torchrun`` or ``srun``.
        rank: Index of this process, counted from 0.
        world_size: Number of processes across all machines.
        per_node: Number of processes on this machine, or None if it is unknown.
        restarts: Number of times that the program has restarted the processes.

    Example:
        >>> environment = {"SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4", "SLURM_STEP_ID": "0"}
        >>> environment |= {"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
        >>> Launch.find(environment)
        Launch(launcher='srun', rank=5, world_size=8, per_node=4, restarts=0)
    """

    launcher: str
    rank: int
    world_size: int
    per_node: int | None
    restarts: int

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> "Launch | None":
        """Return how the processes of this run were started, or None if this process was started alone.

        Raises:
            UserError: The environment variables that describe the processes are incomplete or contradict each other.
        """
        if _TORCHRUN in environment:
            _require(environment, _BY_TORCHRUN, _TORCHRUN, "torchrun")
            _number(environment, "MASTER_PORT", most=65535)
            count, per_node = _number(environment, "WORLD_SIZE", least=1), _optional(environment, "LOCAL_WORLD_SIZE")
            rank = _number(environment, "RANK", most=count - 1)
            return cls("torchrun", rank, count, per_node, _optional(environment, "TORCHELASTIC_RESTART_COUNT") or 0)
        if "RANK" in environment:
            _require(environment, _BY_TORCHRUN, "RANK", "torchrun")
            _number(environment, "RANK", most=_number(environment, "WORLD_SIZE", least=1) - 1)
        if "SLURM_NTASKS" not in environment or environment.get("SLURM_JOB_NAME") in _INTERACTIVE_JOBS:
            return None
        count = _number(environment, "SLURM_NTASKS", least=1)
        if "SLURM_STEP_ID" not in environment or count == 1:  # a batch script without srun, or a single process
            return None
        _require(environment, _BY_SLURM, "SLURM_NTASKS", "srun")
        per_node = _optional(environment, "SLURM_NTASKS_PER_NODE")
        rank = _number(environment, "SLURM_PROCID", most=count - 1)
        return cls("srun", rank, count, per_node, _optional(environment, "SLURM_RESTART_COUNT") or 0)


def _require(environment: Mapping[str, str], names: tuple[str, ...], given: str, launcher: str) -> None:
    missing = [name for name in names if name not in environment]
    if missing:
        absent = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'}"
        raise UserError(
            f"{given}={environment[given]} is set, but {absent} not. Start the processes with {launcher}, which sets"
            f" all of them, or unset {given}."
        )


def _number(environment: Mapping[str, str], name: str, least: int = 0, most: int | None = None) -> int:
    text = environment[name]
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        rule = f"at least {least}" if most is None else f"between {least} and {most}"
        raise UserError(f"The environment variable {name}={text} must be a whole number, {rule}.")
    return int(text)


def _optional(environment: Mapping[str, str], name: str) -> int | None:
    return _number(environment, name) if environment.get(name) else None


def explain_lost_connection(error: BaseException | None) -> str | None:
    """Return a sentence about an error in the communication between processes, or None for any other error."""
    text = str(error)
    if "EADDRINUSE" in text:
        port = os.environ.get("MASTER_PORT", "")
        return (
            f"MASTER_PORT={port} is used by another program. Choose another port, or wait until the program has ended."
        )
    names = {kind.__name__ for kind in type(error).__mro__}
    is_lost = bool(names & {"DistNetworkError", "DistStoreError", "DistBackendError"}) or "/gloo/" in text
    if not is_lost:
        return None
    if not is_connected():  # The processes have not found each other yet.
        where = ":".join(os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT"))
        return (
            f"The processes of this run did not find each other at {where}. Start all of them with the same settings."
        )
    return "Another process of this run has ended unexpectedly, for example because the memory was not sufficient."


def is_connected() -> bool:
    """Return whether the processes of this run communicate with each other."""
    return _store() is not None


def is_first_to_fail() -> bool:
    """Return whether this is the first process of the run that fails, and record the failure.

    Only this process explains why the run failed. The others have failed for the same reason, or as a consequence.
    """
    store = _store()
    if store is None:
        return True
    try:
        return bool(store.add(_FAILED, 1) == 1)
    except RuntimeError:  # The main process has ended, and has explained why.
        return is_main_process()


def _store() -> Any:
    """Return the store through which the processes of a run communicate, or None if this process is alone."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.distributed_c10d._get_default_store()
