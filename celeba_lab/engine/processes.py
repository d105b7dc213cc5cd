"""Start the other processes of a run on this machine, and end all processes if one of them fails."""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from subprocess import Popen, TimeoutExpired
from typing import Any

import lightning as L
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from typing_extensions import override

from celeba_lab.data.workers import INTERRUPTS
from celeba_lab.errors import UserError
from celeba_lab.runs.processes import Launch, is_first_to_fail
from celeba_lab.runs.threads import share_threads

_MAIN_PROCESS = "CELEBA_LAB_MAIN_PROCESS"  # environment variable with the process id of the main process
# Seconds in which a process notices by itself that another one has failed, and in which the others end at the end.
_SECONDS_TO_FAIL, _SECONDS_TO_END = 20.0, 5.0
_STOPPED = {128 + number for number in INTERRUPTS}  # Exit codes of processes that a signal has stopped.


def replace_launcher(trainer: L.Trainer) -> None:
    """Replace Lightning's launcher of processes, which kills the main process with SIGKILL if another one fails.

    The main process would then neither explain the failure nor say how to resume the run, and its exit code would be
    that of a killed process. If the main process itself failed or were killed, the others would go on.

    Raises:
        UserError: The processes that were started by torchrun or srun are not those for which the Trainer was built.
    """
    _check_launch(trainer)
    strategy: Any = trainer.strategy
    launcher = strategy.launcher
    if type(launcher) is _SubprocessScriptLauncher:
        strategy._launcher = _Launcher(launcher.cluster_environment, launcher.num_processes, launcher.num_nodes)


def _check_launch(trainer: L.Trainer) -> None:
    launch = Launch.find()
    asked = trainer.num_devices * trainer.num_nodes
    if launch is not None and launch.world_size != asked:
        per_node = launch.per_node or launch.world_size
        nodes = launch.world_size // per_node
        hint = f"trainer=ddp trainer.devices={per_node}{f' trainer.num_nodes={nodes}' if nodes > 1 else ''}"
        raise UserError(
            f"{launch.launcher} has started {launch.world_size} processes, but trainer.devices={trainer.num_devices}"
            f" and trainer.num_nodes={trainer.num_nodes} ask for {asked}. Set {hint}."
        )
    environment: Any = getattr(trainer.strategy, "cluster_environment", None)
    is_external = environment is not None and environment.creates_processes_externally
    if (
        launch is None
        and asked > 1
        and is_external
        and "SLURM_NTASKS" in os.environ
        and _MAIN_PROCESS not in os.environ
    ):
        raise UserError(
            f"trainer.devices={trainer.num_devices} and trainer.num_nodes={trainer.num_nodes} ask for {asked}"
            " processes, but this job of SLURM has started only one. Start the command with srun, and set"
            f" --ntasks-per-node={trainer.num_devices}."
        )
    if launch is None and trainer.num_nodes > 1 and not {"MASTER_ADDR", "NODE_RANK"} <= os.environ.keys():
        raise UserError(
            f"trainer.num_nodes={trainer.num_nodes} needs processes on {trainer.num_nodes} machines. Start the command"
            " with torchrun or srun on each machine."
        )


class _Launcher(_SubprocessScriptLauncher):
    @override
    def launch(self, function: Callable[..., Any], *args: Any, trainer: Any = None, **kwargs: Any) -> Any:
        self.cluster_environment.validate_settings(num_devices=self.num_processes, num_nodes=self.num_nodes)
        if not self.cluster_environment.creates_processes_externally:
            os.environ[_MAIN_PROCESS] = str(os.getpid())
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # Only the main process prints warnings.
            self._call_children_scripts()
            atexit.register(_end_others, self.procs)
            threading.Thread(target=_end_if_another_fails, args=(self.procs,), daemon=True).start()
        elif os.environ.get(_MAIN_PROCESS) == str(os.getppid()):
            threading.Thread(target=_end_with_main_process, args=(os.getppid(),), daemon=True).start()
        share_threads(self.num_processes)
        return function(*args, **kwargs)


def _end_if_another_fails(others: Sequence["Popen[bytes]"]) -> None:
    """End the main process if another process has failed, and the main process still waits for it after some time.

    A process that was stopped by a signal has not failed: the main process stops as well, which may take longer.
    """
    while not (failed := [k for k, each in enumerate(others, 1) if each.poll() and each.returncode not in _STOPPED]):
        if all(process.returncode is not None for process in others):
            return
        time.sleep(0.5)
    time.sleep(_SECONDS_TO_FAIL)
    [rank, *_] = failed
    code = others[rank - 1].returncode
    cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    if code < 0 and is_first_to_fail():  # A process that was killed has not explained anything.
        sys.stderr.write(f"celeba_lab: error: Process {rank} of this run was ended by {cause}.\n")
        sys.stderr.flush()
    for process in others:
        process.kill()
    os._exit(1)


def _end_others(others: Sequence["Popen[bytes]"]) -> None:
    """Wait for the other processes at the end of the main process, and kill those that do not end."""
    deadline = time.monotonic() + _SECONDS_TO_END
    for process in others:
        with suppress(TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        process.kill()


def _end_with_main_process(main: int) -> None:
    """End this process if the main process has ended without it, because it was killed."""
    while os.getppid() == main:
        time.sleep(0.5)
    time.sleep(_SECONDS_TO_END)
    os._exit(1)
