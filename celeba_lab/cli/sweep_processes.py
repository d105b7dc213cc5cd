"""Refuse sweeps whose jobs would use several processes, or that were started with several processes themselves."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hydra.core.config_loader import ConfigLoader
from omegaconf.errors import OmegaConfBaseException

from celeba_lab.cli.job_names import key_of
from celeba_lab.console import is_main_process
from celeba_lab.errors import SettingError, UserError
from celeba_lab.runs.processes import Launch

if TYPE_CHECKING:
    from omegaconf import DictConfig

_SWEPT = ("-m", "--multirun", "hydra.mode=MULTIRUN")


def is_named_sweep(arguments: Iterable[str]) -> bool:
    """Return whether the arguments themselves say that they start a sweep, without reading any file.

    Example:
        >>> [is_named_sweep([text]) for text in ("-m", "search=smile", "search=null", "seed=1,2")]
        [True, True, False, False]
    """
    return any(text in _SWEPT or (text.startswith("search=") and text != "search=null") for text in arguments)


def refuse_launched_sweep() -> None:
    """Check that another program has not started several processes, of which each would run the whole sweep.

    Raises:
        UserError: torchrun or srun has started several processes, of which this is the main process.
    """
    launch = Launch.find()
    if launch is not None:
        program, count = launch.launcher, launch.world_size
    else:  # A program other than torchrun may set the same variables, which Launch.find() has checked.
        program, count = "RANK and WORLD_SIZE", int(os.environ["WORLD_SIZE"]) if "RANK" in os.environ else 1
    if count > 1:
        if not is_main_process():
            sys.exit(1)  # The main process says why.
        raise UserError(
            f"A sweep cannot be combined with {program}, because each of the {count} processes would run the whole"
            f" sweep. Start the sweep without {program}."
        )


def refuse_distributed_jobs(cfg: "DictConfig") -> None:
    """Check that a job of a sweep uses a single process.

    Raises:
        SettingError: The job uses several processes, or as many as there are devices.
    """
    if cfg.get("trainer") is None:
        return
    try:
        devices, nodes = cfg.trainer.get("devices", 1), cfg.trainer.get("num_nodes", 1)
    except OmegaConfBaseException:
        return  # The job itself explains an interpolation that cannot be resolved.
    one = str(devices) == "1" or (isinstance(devices, Sequence) and not isinstance(devices, str) and len(devices) == 1)
    if one and nodes == 1:
        return
    name, value = ("trainer.devices", devices) if not one else ("trainer.num_nodes", nodes)
    rule = "cannot be used in a sweep, because every process of a distributed run would start the whole sweep again"
    raise SettingError(name, value, rule, f"Use {name}=1, or start the runs one by one.", is_absolute=True)


def jobs_that_choose_devices(jobs: Iterable[Sequence[str]], loader: ConfigLoader) -> list[list[str]]:
    """Return one job with each choice of a group and each value of a setting of the Trainer that the first job lacks.

    Only these overrides determine how many processes a job uses, so the other jobs need not be composed.

    Args:
        jobs: Overrides of each job.
        loader: Hydra's loader, which knows the groups.
    """
    found: list[list[str]] = []
    can_choose: dict[str, bool] = {}
    seen: set[str] = set()
    for number, job in enumerate(jobs):
        new = [text for text in job if text not in seen]
        seen.update(new)
        for key in (key_of(text).partition("@")[0] for text in new):
            if key not in can_choose:
                can_choose[key] = key.startswith("trainer.") or bool(loader.get_group_options(key))
        if number > 0 and any(can_choose[key_of(text).partition("@")[0]] for text in new):
            found.append(list(job))
    return found
