"""Create the folder of a run or a sweep before Hydra does, so that each folder is used only once."""

import shutil
from pathlib import Path
from typing import Any, Literal

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from celeba_lab.console import format_override, is_main_process


class ExclusiveFolder(Callback):
    """Give each run and each sweep a new folder.

    Hydra names folders after the start time in seconds, and reuses existing folders. Without this callback, two runs
    that start in the same second would write to the same folder.

    If ``hydra.run.dir`` or ``hydra.sweep.dir`` is set on the command line, that folder is used even if it already
    exists. This allows a continued run to reuse its folder, and all processes of a distributed run to share the folder
    of the first process.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Create the folder of a run."""
        _claim(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Create the folder of a sweep. Each run of the sweep has a numbered subfolder."""
        _claim(config, "sweep")


def create_folder(path: Path) -> Path:
    """Create a new folder and return its path: ``path``, or ``path_2``, ``path_3`` and so on if ``path`` exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = path if number == 1 else path.with_name(f"{path.name}_{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def discard_unused_folder() -> None:
    """Remove the current run folder if it contains only files that are written before the task starts.

    A run that fails because of an invalid setting therefore leaves no folder behind. Sweep folders are not
    removed, and neither are folders that were set on the command line.
    """
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.RUN or not _is_ours(hydra, "hydra.run.dir"):
        return
    folder = Path(hydra.runtime.output_dir)
    log = folder / f"{hydra.job.name}.log"
    unused = {folder / ".hydra" / name for name in ("config.yaml", "hydra.yaml", "overrides.yaml")}
    unused |= {folder / "config.yaml"} | ({log} if log.is_file() and not log.stat().st_size else set())
    files = {path for path in folder.rglob("*") if not path.is_dir()}
    if files <= unused:
        shutil.rmtree(folder, ignore_errors=True)


def _is_ours(hydra: HydraConf, key: str) -> bool:
    """Return whether this is the main process and the folder was not set on the command line."""
    return is_main_process() and not any(text.lstrip("+").startswith(f"{key}=") for text in hydra.overrides.hydra)


def _claim(config: DictConfig, kind: Literal["run", "sweep"]) -> None:
    key = f"hydra.{kind}.dir"
    if not _is_ours(config.hydra, key):
        return
    try:
        folder = create_folder(Path(str(OmegaConf.select(config, key))))
    except (OSError, OmegaConfBaseException):
        return  # Hydra will encounter the same error and report it.
    with read_write(config), read_write(config.hydra), open_dict(config.hydra):
        config.hydra[kind].dir = str(folder)
        if kind == "sweep":  # Hydra composes the configuration of each job from the overrides.
            config.hydra.overrides.hydra.append(format_override(key, folder))
