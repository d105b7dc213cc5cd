"""Hydra builds only launchers that are defined in the package ``hydra_plugins``, in which it searches for plugins."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from celeba_lab.errors import check_above, check_at_least, settings_of


class RayLauncher(Launcher):
    """Run each job of a sweep as a task of Ray, in a process of its own; see ``celeba_lab/cli/ray_jobs.py``.

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
        from celeba_lab.cli.ray_jobs import RayJobs

        jobs = RayJobs(self.num_cpus, self.num_gpus, self.n_jobs, self.max_retries, self.runtime_env)
        jobs.connect(self.address)
        return jobs.run(job_overrides, initial_job_idx, self._context, self._config, self._task)
