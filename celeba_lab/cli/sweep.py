"""Sweeps: the score that ranks their runs, and the check that they are not distributed."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig


def score_of(cfg: "DictConfig", metrics: dict[str, float]) -> float | None:
    """Return the metric that ``score`` names.

    If the task has no such metric, return None; in a sweep, also print a warning.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from celeba_lab.console import console
    from celeba_lab.errors import did_you_mean

    if cfg.score in metrics:
        return metrics[cfg.score]
    if HydraConfig.get().mode == RunMode.MULTIRUN and cfg.score is not None:
        hint = did_you_mean(cfg.score, metrics)
        console.print(
            f"score={cfg.score} is not a metric of this task, so the sweep ranks nothing.{hint}", style="yellow"
        )
    return None


def refuse_distributed_sweep(cfg: "DictConfig") -> None:
    """Check that each run of a sweep has one process.

    Raises:
        UserError: The runs have several processes.
    """
    from celeba_lab.errors import UserError

    if cfg.trainer is None:
        return
    devices = cfg.trainer.devices
    one = str(devices) == "1" or (not isinstance(devices, str | int) and len(devices) == 1)
    if not one or cfg.trainer.num_nodes != 1:
        raise UserError(
            f"-m and trainer.devices={devices} contradict each other: every process of a distributed run would start"
            " the whole sweep again. Sweep with trainer.devices=1, or start the runs one by one."
        )
