"""The score that ranks the runs of a sweep, and a check that sweeps are not distributed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig


def score_of(cfg: "DictConfig", metrics: dict[str, float]) -> float | None:
    """Return the metric selected by ``score``, or None if the task does not report this metric.

    In a sweep, a warning is printed if the metric is missing.
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
            f"score={cfg.score} is not a metric of this task, so the runs are not ranked.{hint}", style="yellow"
        )
    return None


def refuse_distributed_sweep(cfg: "DictConfig") -> None:
    """Check that each run of a sweep uses a single process.

    Raises:
        UserError: The runs use several processes.
    """
    from celeba_lab.errors import UserError

    if cfg.trainer is None:
        return
    devices = cfg.trainer.devices
    one = str(devices) == "1" or (isinstance(devices, Sequence) and not isinstance(devices, str) and len(devices) == 1)
    if not one or cfg.trainer.num_nodes != 1:
        raise UserError(
            f"-m cannot be combined with trainer.devices={devices}, because every process of a distributed run would"
            " start the whole sweep again. Use trainer.devices=1, or start the runs one by one."
        )
