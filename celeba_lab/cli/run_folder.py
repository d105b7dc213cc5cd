"""The folder of a run or a sweep: created before Hydra creates it, so that no other run has the same one."""

import shutil
from pathlib import Path
from typing import Any, Literal

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from celeba_lab.console import is_main_process, override


class ExclusiveFolder(Callback):
    """Give each run, or each sweep, a folder that did not exist before.

    Hydra names a folder after the second in which a run starts, and takes the folder as it is if it exists. Without
    this callback, two runs of the same second would write into one folder.

    A folder that was typed as ``hydra.run.dir`` or ``hydra.sweep.dir`` is used as it is: a continued run uses its old
    folder again, and the other processes of a distributed run are given the folder of the first one.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Create the folder of a run."""
        _claim(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Create the folder of a sweep. Its runs have subfolders with different numbers."""
        _claim(config, "sweep")


def create_folder(path: Path) -> Path:
    """Create a new folder and return its path: ``path``, or ``path_2``, ``path_3`` and so on where that exists."""
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
    """Remove the folder of the running job if it holds only what is written before a task starts.

    A run that is refused because of a wrong setting leaves nothing behind. The folders of a sweep are kept, and so is a
    folder that was typed.
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
    """Return whether this process creates the folder, and nobody typed where it is."""
    return is_main_process() and not any(text.lstrip("+").startswith(f"{key}=") for text in hydra.overrides.hydra)


def _claim(config: DictConfig, kind: Literal["run", "sweep"]) -> None:
    key = f"hydra.{kind}.dir"
    if not _is_ours(config.hydra, key):
        return
    try:
        folder = create_folder(Path(str(OmegaConf.select(config, key))))
    except (OSError, OmegaConfBaseException):
        return  # Hydra meets the same error next, and reports it.
    with read_write(config), read_write(config.hydra), open_dict(config.hydra):
        config.hydra[kind].dir = str(folder)
        if kind == "sweep":  # Hydra composes each job of a sweep anew, from the overrides.
            config.hydra.overrides.hydra.append(override(key, folder))
