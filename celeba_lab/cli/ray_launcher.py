"""A launcher of Hydra that runs the jobs of a sweep with Ray, on this machine or on a cluster."""

import atexit
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any
from unittest.mock import patch

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from celeba_lab.cli.job_process import LOST, LostJob, worker_environment
from celeba_lab.cli.lost_jobs import record_lost
from celeba_lab.config import one_line
from celeba_lab.data.workers import JOBS_AT_ONCE, usable_cores
from celeba_lab.errors import UserError, check_above, check_at_least, missing_extra, settings_of

_SECONDS_TO_STOP = 60  # Time in which running jobs can save a checkpoint when the sweep is stopped.
_LONGEST = 200  # Most characters of a message of Ray.


class RayLauncher(Launcher):
    """Run each job of a sweep as a task of Ray, in a process of its own.

    A job whose process or node dies fails alone. No usage statistics are sent, and the dashboard is not started.

    Args:
        address: Address of a running cluster, such as ``auto`` or ``10.0.0.1:6379``. If None, the environment variable
            ``RAY_ADDRESS`` is used, and without it, Ray is started on this machine, where it listens only to local
            connections.
        num_cpus: Number of CPU cores for each job, and number of its threads.
        num_gpus: Number of GPUs for each job. Without GPUs, a job does not see any.
        n_jobs: Largest number of jobs that run at the same time, or None for as many as the cluster can run.
        max_retries: Number of times that a job is started again after its process or node has died. It goes on from its
            last checkpoint.
        runtime_env: Other environment of the jobs, such as ``{env_vars: {NCCL_DEBUG: INFO}}``; see Ray's documentation.

    Raises:
        SettingError: A number is out of range.
    """

    def __init__(
        self,
        address: str | None = None,
        num_cpus: float = 1,
        num_gpus: float = 0,
        n_jobs: int | None = None,
        max_retries: int = 0,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> None:
        with settings_of("hydra.launcher", is_absolute=True):
            check_above("num_cpus", num_cpus, 0)
            check_at_least("num_gpus", num_gpus, 0)
            check_at_least("n_jobs", n_jobs, 1)
            check_at_least("max_retries", max_retries, 0)
        self.address, self.n_jobs, self.max_retries = address, n_jobs, max_retries
        self.num_cpus, self.num_gpus = num_cpus, num_gpus
        plain = OmegaConf.to_container(runtime_env) if OmegaConf.is_config(runtime_env) else runtime_env
        self.runtime_env: dict[str, Any] = dict(plain or {})  # type: ignore[arg-type]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        self._context, self._task, self._config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs, and return their results in the same order.

        Raises:
            UserError: Ray is not installed, the cluster cannot be reached, or no node has enough CPU cores or GPUs.
        """
        ray = _connect(self.address or os.environ.get("RAY_ADDRESS"))
        self._check_resources(ray.nodes())
        environment = worker_environment() | {"OMP_NUM_THREADS": str(max(1, int(self.num_cpus)))}
        environment |= self.runtime_env.get("env_vars") or {}
        # A process is not used for a second job, whose settings of threads and random numbers could differ.
        remote = ray.remote(max_calls=1, scheduling_strategy="SPREAD")(_run).options(
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus,
            max_retries=self.max_retries,
            runtime_env=self.runtime_env | {"env_vars": environment},
        )
        shared = ray.put((os.getcwd(), self.num_cpus, self._context, self._config, self._task, Singleton.get_state()))
        waiting = list(enumerate(job_overrides))[::-1]
        running: dict[Any, int] = {}
        results: dict[int, JobReturn] = {}
        try:
            while waiting or running:
                while waiting and (self.n_jobs is None or len(running) < self.n_jobs):
                    index, overrides = waiting.pop()
                    running[remote.remote(initial_job_idx + index, list(overrides), shared)] = index
                [ended], _ = ray.wait(list(running))
                index = running.pop(ended)
                results[index] = result = _result(ray, ended)
                if isinstance(result, LostJob):
                    folder = Path(str(self._config.hydra.sweep.dir))
                    record_lost(folder, initial_job_idx + index, job_overrides[index], result.reason)
        except BaseException:
            for reference in running:
                ray.cancel(reference)  # like Ctrl-C, so the jobs save a checkpoint
            ray.wait(list(running), num_returns=max(1, len(running)), timeout=_SECONDS_TO_STOP)
            raise
        return [results[index] for index in range(len(job_overrides))]

    def _check_resources(self, nodes: list[dict[str, Any]]) -> None:
        """Check that a job can run on at least one node, because Ray would wait for such a node forever."""
        resources = [node["Resources"] for node in nodes if node["Alive"]]
        if not any(r.get("CPU", 0) >= self.num_cpus and r.get("GPU", 0) >= self.num_gpus for r in resources):
            raise UserError(
                f"None of the {len(resources)} nodes of the Ray cluster has hydra.launcher.num_cpus={self.num_cpus} and"
                f" hydra.launcher.num_gpus={self.num_gpus}. Request less, or connect to another cluster."
            )


def _connect(address: str | None) -> Any:
    """Connect to a cluster, or start Ray on this machine if there is no address, and return the module.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
    """
    # Ray reads these variables on import. Without a token of its own, it would write one to the home folder.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray
    except ImportError as error:
        raise missing_extra("hydra/launcher=ray", "ray") from error
    if ray.is_initialized():  # A search launches several times.
        return ray
    settings: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        folder = tempfile.mkdtemp(prefix="ray-")  # The path of a socket must be short.
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        settings |= {"address": "local", "num_cpus": usable_cores(), "include_dashboard": False, "_temp_dir": folder}
        settings["_node_ip_address"] = "127.0.0.1"
    with (
        # Ray has no settings that make it listen only to local connections, and that keep messages off the terminal.
        patch("ray._private.services.resolve_ip_for_localhost", lambda host: host),
        patch("ray._private.worker.listen_error_messages", lambda *args: None),
    ):
        try:
            ray.init(**settings)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            what = "start on this machine" if address is None else f"connect to hydra.launcher.address={address}"
            raise UserError(f"Ray cannot {what} ({shorten(one_line(error), _LONGEST)}).") from error
    atexit.register(ray.shutdown)  # before its folder is removed
    return ray


def _result(ray: Any, reference: Any) -> JobReturn:
    """Return the result of a job, also if its process was killed."""
    try:
        result: JobReturn = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        result = LostJob(f"It did not start ({shorten(one_line(error.cause), _LONGEST)}).")
    except ray.exceptions.RayError:
        result = LostJob(LOST)
    return result


def _run(number: int, overrides: list[str], shared: tuple[Any, ...]) -> JobReturn:
    """Run a job in a process of Ray."""
    folder, num_cpus, context, config, task, state = shared
    os.environ[JOBS_AT_ONCE] = str(max(1, int(usable_cores() / num_cpus)))
    os.chdir(folder)
    setup_globals()
    Singleton.set_state(state)
    job = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(job):
        job.hydra.job.id = f"{job.hydra.job.name}_{number}"
        job.hydra.job.num = number
    HydraConfig.instance().set_config(job)
    return run_job(
        hydra_context=context,
        config=job,
        task_function=task,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
