"""Runs whose processes were started by torchrun or srun: check them, and let them share one run folder."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from celeba_lab.cli.job_names import key_of
from celeba_lab.cli.requeue import find_marked
from celeba_lab.cli.sweep_processes import is_named_sweep, refuse_launched_sweep
from celeba_lab.console import format_override, is_main_process
from celeba_lab.errors import UserError
from celeba_lab.runs.processes import Launch, is_connected, is_first_to_fail
from celeba_lab.runs.settings import OVERRIDES, REPEAT, RESUME, SETTINGS
from celeba_lab.runs.sweep import Sweep

if TYPE_CHECKING:
    from omegaconf import DictConfig

_RUN_FOLDER, _SWEEP_FOLDER = "hydra.run.dir", "hydra.sweep.dir"
_SEVERAL = tuple(f"celeba_lab.tasks.{name}.{name}" for name in ("train", "evaluate", "predict", "train_gan"))
_KEY = "celeba_lab/folder"  # Key of the path to the run folder in torchrun's store.
_SECONDS_FOR_FOLDER = 600
_SECONDS_BEHIND = 3.0


def share_arguments(arguments: list[str]) -> list[str]:
    """Check how the processes of this run were started, and resume the run or the sweep if it was started before.

    torchrun restarts the processes of a run if one fails, and SLURM restarts a job that is requeued, with the arguments
    of the first start.

    Args:
        arguments: Command-line arguments.

    Returns:
        The arguments, with ``resume=FOLDER`` for a run or a sweep that was started before.

    Raises:
        UserError: The environment variables are wrong, or a sweep was started with several processes.
    """
    launch = Launch.find()
    if is_named_sweep(arguments):
        refuse_launched_sweep()
    given = _given_folder(arguments)
    if launch is None and not is_main_process() and given is None:
        raise UserError(
            f"This is another process than the first of its run, which needs {_RUN_FOLDER}=FOLDER to use the same"
            " folder. Start all processes with torchrun or srun, or give all of them the same folder."
        )
    is_resumed = any(text.startswith(f"{RESUME}=") for text in arguments)
    if is_resumed or not _restarts(launch):
        return arguments
    found = (given, _given_folder(arguments, _SWEEP_FOLDER), _earlier_folder(launch, arguments))
    folder = next((folder for folder in found if folder is not None and _has_begun(folder)), None)
    if folder is None:
        return arguments
    # The folder itself says where a sweep is and which run is repeated.
    replaced = [f"{_SWEEP_FOLDER}=", f"{REPEAT}="]
    replaced += ["task=repeat", "run=", "task.run="] if "task=repeat" in arguments else []
    kept = [text for text in arguments if not text.lstrip("+").startswith(tuple(replaced))]
    return [*kept, format_override(RESUME, folder)]


def _has_begun(folder: Path) -> bool:
    """Return whether a folder contains a run or a sweep that can be resumed."""
    return (folder / Sweep.FILE).is_file() or all((folder / file).is_file() for file in (SETTINGS, OVERRIDES))


def _given_folder(arguments: list[str], setting: str = _RUN_FOLDER) -> Path | None:
    """Return the folder of the run or the sweep that was typed, if any."""
    typed = [text for text in arguments if key_of(text) == setting and "=" in text]
    if not typed:
        return None
    [parsed] = OverridesParser.create().parse_overrides([typed[-1]])
    return Path(str(parsed.value()))


def _restarts(launch: Launch | None) -> int:
    """Return how often the run has been restarted, also if a job of SLURM has a single process."""
    if launch is not None:
        return launch.restarts
    count = os.environ.get("SLURM_RESTART_COUNT", "0")
    return int(count) if count.isdecimal() else 0


def _earlier_folder(launch: Launch | None, arguments: Sequence[str]) -> Path | None:
    if launch is None:
        return find_marked(arguments)
    if launch.launcher == "srun":
        name = _job_folder()
        return next((path for depth in ("*", "*/*") for path in Path("outputs").glob(f"{depth}/{name}")), None)
    store = _connect()
    for restart in reversed(range(launch.restarts)) if store is not None else ():
        if store.check([f"{_KEY}/{restart}"]):
            return Path(store.get(f"{_KEY}/{restart}").decode())
    return None


def _job_folder() -> str:
    """Return the name of the run folder of a step of a job of SLURM, which is the same after the job is requeued."""
    step = os.environ.get("SLURM_STEP_ID", "0")
    return f"slurm_{os.environ.get('SLURM_JOB_ID', '0')}" + ("" if step == "0" else f"_step_{step}")


def name_after_job(folder: Path) -> Path | None:
    """Return the folder, in place of ``folder``, that all processes started by srun use, or None without srun."""
    launch = Launch.find()
    return folder.with_name(_job_folder()) if launch is not None and launch.launcher == "srun" else None


def publish_folder(folder: Path) -> None:
    """Let the other processes that torchrun has started know the run folder."""
    launch = Launch.find()
    if launch is not None and launch.launcher == "torchrun" and launch.world_size > 1:
        store = _connect()
        if store is not None:
            store.set(f"{_KEY}/{launch.restarts}", str(folder))


def await_folder() -> Path | None:
    """Return the run folder that the main process has published, or None if the processes do not share a store.

    Raises:
        UserError: The main process has not published its folder.
    """
    launch = Launch.find()
    if launch is None or launch.launcher != "torchrun" or (store := _connect()) is None:
        return None
    key, deadline = f"{_KEY}/{launch.restarts}", time.monotonic() + _SECONDS_FOR_FOLDER
    while not store.check([key]):  # Within store.wait(), signals would be ignored.
        if time.monotonic() > deadline:
            raise UserError("The main process of this run has not created the run folder.")
        time.sleep(0.05)
    return Path(store.get(key).decode())


def _connect() -> Any:
    """Return a client of torchrun's own store, or None if torchrun does not share it."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    return TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)


def check_processes(cfg: "DictConfig") -> None:
    """Check that the task can use the processes that were started.

    Raises:
        UserError: The task uses a single process.
    """
    launch = Launch.find()
    target = str(cfg.task._target_)
    if launch is None or launch.world_size == 1 or target in _SEVERAL or not target.startswith("celeba_lab.tasks."):
        return
    raise UserError(
        f"task={target.rpartition('.')[2]} uses a single process, but {launch.launcher} has started"
        f" {launch.world_size}. Start it without {launch.launcher}."
    )


def error_prefix() -> str | None:
    """Return the prefix of this process's error message, or None if another process prints the error.

    Processes that fail for the same reason print one explanation. Until they are connected, the main process explains,
    and another process only if its failure has not ended it within some seconds.
    """
    if is_connected():
        return "" if is_first_to_fail() else None
    try:
        launch = Launch.find()
    except UserError:  # The process fails for this reason.
        return ""
    if launch is None or is_main_process():
        return ""
    time.sleep(_SECONDS_BEHIND)
    return f"process {launch.rank}: "
