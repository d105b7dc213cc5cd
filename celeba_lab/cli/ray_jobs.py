"""Run the jobs of a sweep with Ray, on this machine or on a cluster."""

import atexit
import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any
from unittest.mock import patch

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from celeba_lab.cli.job_process import LOST, LostJob, worker_environment
from celeba_lab.cli.lost_jobs import record_lost
from celeba_lab.config import one_line
from celeba_lab.data.workers import JOBS_AT_ONCE, usable_cores
from celeba_lab.errors import UserError, missing_extra

_SECONDS_TO_STOP = 60  # Time in which running jobs can save a checkpoint when the sweep is stopped.
_LONGEST = 200  # Most characters of a message of Ray.


@dataclass
class RayJobs:
    """Jobs that need the same resources.

    Args:
        num_cpus: Number of CPU cores for each job, and number of its threads.
        num_gpus: Number of GPUs for each job.
        n_jobs: Largest number of jobs that run at the same time, or None for as many as the cluster can run.
        max_retries: Number of times that a job is started again after its process or node has died.
        runtime_env: Other environment of the jobs.
    """

    num_cpus: float
    num_gpus: float
    n_jobs: int | None
    max_retries: int
    runtime_env: dict[str, Any]

    def connect(self, address: str | None) -> None:
        """Connect to a cluster, and check that it can run the jobs.

        Raises:
            UserError: Ray is not installed, the cluster cannot be reached, or no node has enough CPU cores or GPUs.
        """
        self.check_resources(_connect(address or os.environ.get("RAY_ADDRESS")).nodes())

    def check_resources(self, nodes: list[dict[str, Any]]) -> None:
        """Check that a job can run on at least one node, because Ray would wait for such a node forever.

        Args:
            nodes: The nodes of the cluster, as listed by ``ray.nodes()``.

        Raises:
            UserError: No node has enough CPU cores or GPUs.
        """
        resources = [node["Resources"] for node in nodes if node["Alive"]]
        if not any(r.get("CPU", 0) >= self.num_cpus and r.get("GPU", 0) >= self.num_gpus for r in resources):
            raise UserError(
                f"None of the {len(resources)} nodes of the Ray cluster has hydra.launcher.num_cpus={self.num_cpus} and"
                f" hydra.launcher.num_gpus={self.num_gpus}. Request less, or connect to another cluster."
            )

    def run(
        self,
        job_overrides: Sequence[Sequence[str]],
        first: int,
        context: HydraContext,
        config: DictConfig,
        task: TaskFunction,
    ) -> list[JobReturn]:
        """Run jobs, and return their results in the same order.

        Args:
            job_overrides: Overrides of each job.
            first: Number of the first job.
            context: Hydra's state, which composes the configuration of each job.
            config: Configuration of the sweep.
            task: Function that runs a job.
        """
        import ray

        remote = self._task(ray)
        shared = ray.put((Path.cwd(), self.num_cpus, context, config, task, Singleton.get_state()))
        waiting = list(enumerate(job_overrides))[::-1]
        running: dict[Any, int] = {}
        results: dict[int, JobReturn] = {}
        try:
            while waiting or running:
                while waiting and (self.n_jobs is None or len(running) < self.n_jobs):
                    index, overrides = waiting.pop()
                    running[remote.remote(first + index, list(overrides), shared)] = index
                [ended], _ = ray.wait(list(running))
                index = running.pop(ended)
                results[index] = result = _result(ray, ended)
                if isinstance(result, LostJob):
                    record_lost(Path(str(config.hydra.sweep.dir)), first + index, job_overrides[index], result.reason)
        except BaseException:
            for reference in running:
                ray.cancel(reference)  # This has the effect of Ctrl-C: the jobs save a checkpoint.
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=_SECONDS_TO_STOP)
            raise
        return [results[index] for index in range(len(job_overrides))]

    def _task(self, ray: Any) -> Any:
        """Return the task of Ray that runs a job."""
        environment = worker_environment() | {"OMP_NUM_THREADS": str(max(1, int(self.num_cpus)))}
        environment |= self.runtime_env.get("env_vars") or {}
        # A process is not used for a second job, whose settings of threads and random numbers could differ.
        return ray.remote(max_calls=1, scheduling_strategy="SPREAD")(_run).options(
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus,
            max_retries=self.max_retries,
            runtime_env=self.runtime_env | {"env_vars": environment},
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
    atexit.register(ray.shutdown)  # Ray stops before its folder is removed.
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
