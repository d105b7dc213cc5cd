"""Number of threads of a run: choose it before torch is imported, and record it, because it can change the last digits.

The number depends on the CPU cores and on the jobs of a sweep, but never on what else the machine is doing at the
moment. The same command therefore gives the same results on a busy machine.
"""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from celeba_lab.data.cores import Cores
from celeba_lab.data.workers import jobs_at_once, usable_cores
from celeba_lab.files import load_yaml, unusable
from celeba_lab.runs.settings import write_config

GIVEN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables with which the user sets the number of threads. They are never changed."""

CHOSEN = "CELEBA_LAB_THREADS"
"""Environment variable with the number that was chosen here, which tells other processes that it is not the user's."""

RECORD = ".hydra/threads.yaml"
"""File in the run folder that contains the number of threads."""

_VARIABLE = GIVEN[0]  # All libraries read it when they are imported: torch, MKL, OpenBLAS and scikit-learn.
_MOST = 10_000


@dataclass(frozen=True)
class Threads:
    """The number of threads that was chosen for this process.

    Attributes:
        number: Number of threads, or None if the libraries use their own default, which is one thread per core.
        chosen_by: What determines the number: ``default``, an environment variable, ``jobs`` that run at the same time,
            the CPU limit of the ``container``, or the ``record`` of a run that is resumed or repeated.
        cores: CPU cores that this process may use, without the share of other jobs.
        jobs: Number of jobs of a sweep that share these cores.
        recorded: Number of threads of the run that is resumed or repeated, or None.
        busy_cores: Number of these cores that other programs used when the run started, or None if it is unknown.
    """

    number: int | None
    chosen_by: str
    cores: Cores
    jobs: int
    recorded: int | None = None
    busy_cores: float | None = None


_current: list[Threads] = []


def choose_threads(recorded: int | None = None) -> Threads:
    """Choose the number of threads, and set it for the libraries that are imported later, and for torch.

    Args:
        recorded: Number of threads of the run that is resumed or repeated, or None.
    """
    chosen = _choose(recorded)
    if not is_given():
        for name in (*GIVEN, CHOSEN):
            os.environ.pop(name, None)
        if chosen.number is not None:
            os.environ |= dict.fromkeys((_VARIABLE, CHOSEN), str(chosen.number))
        if _current and _current[-1].number != chosen.number:  # An earlier job of this process chose another number.
            set_threads(chosen.number or usable_cores())
    _current[:] = [chosen]
    return chosen


def _choose(recorded: int | None) -> Threads:
    cores, jobs = Cores.find(), jobs_at_once()
    share = max(1, cores.number // jobs)
    given = given_variable()
    if given is not None:
        number, chosen_by = _number(os.environ[given]), given
    elif recorded is not None and recorded <= cores.number:
        number, chosen_by = recorded, "record"
    elif jobs > 1:
        number, chosen_by = share, "jobs"
    elif cores.origin == "container":
        number, chosen_by = share, "container"
    else:
        number, chosen_by = None, "default"
    return Threads(number, chosen_by, cores, jobs, recorded)


def given_variable() -> str | None:
    """Return the name of the environment variable with which the user has set the number of threads, or None."""
    if _VARIABLE in os.environ and os.environ[_VARIABLE] == os.environ.get(CHOSEN):
        return None  # If the others are set, then by a launcher such as joblib, after the number was chosen here.
    return next((name for name in GIVEN if name in os.environ), None)


def is_given() -> bool:
    """Return whether the user has set the number of threads."""
    return given_variable() is not None


def share_threads(processes: int) -> None:
    """Let the processes of a run on this machine share its CPU cores, unless the user has set the number of threads.

    Args:
        processes: Number of processes of the run on this machine.
    """
    if processes > 1 and not is_given():
        number = max(1, usable_cores() // processes)
        os.environ |= dict.fromkeys((_VARIABLE, CHOSEN), str(number))
        set_threads(number)


def set_threads(number: int) -> None:
    """Set the number of threads of torch, if torch has been imported."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != number:
        torch.set_num_threads(number)


def note_busy_cores(number: float | None) -> None:
    """Note how many cores other programs used when the run started, for the summary."""
    _current[:] = [replace(each, busy_cores=number) for each in _current]


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and 0 < int(text) <= _MOST else None


def record_threads(folder: Path) -> None:
    """Write the number of threads of a new run to its folder, if the run uses torch."""
    torch = sys.modules.get("torch")
    if torch is not None:
        write_config(folder / RECORD, OmegaConf.create({"threads": torch.get_num_threads()}))


def read_threads(folder: Path) -> int | None:
    """Return the number of threads of a run, or None if it was not recorded.

    Raises:
        UserError: The file is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    stored = load_yaml(path, folder)
    number = stored.get("threads") if isinstance(stored, DictConfig) else None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= _MOST:
        raise unusable(path, "it does not contain a number of threads")
    return number


def thread_facts() -> dict[str, Any]:
    """Return the number of threads and CPU cores of this process, and what has determined them, for the summary."""
    torch = sys.modules.get("torch")
    current = _current[-1] if _current else _choose(None)
    return {
        "number": (current.number or usable_cores()) if torch is None else torch.get_num_threads(),
        "chosen_by": current.chosen_by,
        "cores": current.cores.number,
        "cores_from": current.cores.origin,
        "jobs_at_once": current.jobs,
        "busy_cores": current.busy_cores,
    }
