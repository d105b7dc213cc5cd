"""Create and claim the folder of a run or a sweep before Hydra does, so that each folder is used only once."""

import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from celeba_lab.cli.job_names import key_of
from celeba_lab.cli.output_paths import list_given
from celeba_lab.cli.processes import await_folder, error_prefix, name_after_job, publish_folder
from celeba_lab.cli.requeue import is_mark, mark_folder
from celeba_lab.cli.sweep import begin_sweep
from celeba_lab.cli.sweep_processes import refuse_launched_sweep
from celeba_lab.config import overrides_of
from celeba_lab.console import display_path, format_override, is_main_process
from celeba_lab.errors import UserError, readable
from celeba_lab.runs.settings import RESUME, SETTINGS
from celeba_lab.runs.summary import SUMMARY
from celeba_lab.runs.sweep import Sweep
from celeba_lab.runs.threads import RECORD

# Files that show that a folder contains a run or a sweep.
_TRACES = (SETTINGS, SUMMARY, "multirun.yaml")


class ExclusiveFolder(Callback):
    """Give each run and each sweep its own folder, and let only one process use it.

    Hydra names folders after the start time in seconds, and reuses existing folders. Without this callback, two runs
    that start in the same second would write to the same folder.

    If ``hydra.run.dir`` or ``hydra.sweep.dir`` is set on the command line, that folder is used, unless it already
    contains a run. A resumed run uses its own folder. All processes of a distributed run share the folder of the first
    process.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Create and claim the folder of a run, or in other processes than the main process, use the same folder."""
        if is_main_process():
            _prepare(config, "run")
        else:
            _follow(config)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Create and claim the folder of a sweep, and start to follow its jobs, each of which has its own subfolder."""
        try:
            refuse_launched_sweep()
        except UserError as error:
            _refuse(error.sentence)
        _prepare(config, "sweep")
        try:
            begin_sweep(config)
        except UserError as error:
            release_claims()
            for folder in _created_folders:  # A sweep that is refused leaves nothing behind.
                with suppress(OSError):
                    folder.rmdir()
            _refuse(error.sentence)
        if config.get(RESUME) is None:
            mark_folder(Path(config.hydra.sweep.dir), list_given())

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Release the folder of a run of a sweep."""
        if config.hydra.mode == RunMode.MULTIRUN:
            release(Path(config.hydra.runtime.output_dir))


def create_folder(path: Path) -> Path:
    """Create a new folder and return its path: ``path``, or ``path_2``, ``path_3`` and so on if ``path`` exists."""
    path = _absolute(path)
    _make_folder(path.parent)
    number = 1
    while True:
        folder = path if number == 1 else path.with_name(f"{path.name}_{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            _created_folders.insert(0, folder)
            return folder


def _absolute(path: Path) -> Path:
    """Return an absolute path, because a task can change the current folder (``hydra.job.chdir``)."""
    return Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow links, which Hydra does not


def _make_folder(path: Path) -> None:
    """Create a folder and its parents, if they do not exist."""
    path = _absolute(path)
    created = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    _created_folders[:0] = created


_created_folders: list[Path] = []  # folders that did not exist before this process, innermost first
_earlier_entries: set[Path] = set()  # content of the run folder before this process wrote to it


def claim(folder: Path) -> bool:
    """Claim a folder for this process until it ends, and return False if another process has claimed it.

    The folder itself is locked, so no lock file remains, and a killed process releases its claim. On file systems that
    cannot lock folders, nothing is claimed.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    folder = _absolute(folder)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError:
        os.close(descriptor)
        return True
    _claims[folder] = descriptor
    return True


_claims: dict[Path, int] = {}  # claimed folders with their open descriptors


def list_claims() -> list[Path]:
    """Return the folders that this process has claimed."""
    return list(_claims)


def check_claims() -> None:
    """Check that the folders that this process has claimed have not been deleted, renamed or replaced.

    Raises:
        UserError: A folder no longer exists, or a different folder has its name.
    """
    for folder, descriptor in _claims.items():
        try:
            is_same = os.path.samestat(os.fstat(descriptor), folder.stat())
        except FileNotFoundError:
            is_same = False
        if not is_same:
            where = display_path(folder)
            raise UserError(f"The folder {where} was deleted or renamed during the run, so its results are incomplete.")


def release_claims() -> None:
    """Release all folders that this process has claimed."""
    for folder in list_claims():
        release(folder)


def release(folder: Path) -> None:
    """Release a folder, if this process has claimed it."""
    descriptor = _claims.pop(_absolute(folder), None)
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)


# Loader workers inherit the descriptors. If a run is killed, its workers must not keep the folder claimed.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=release_claims)


def discard_unused_folder() -> None:
    """Remove what a new run has written to its folder before its task has started, unless the task has written more.

    A run that fails because of an invalid setting therefore leaves nothing behind, and the same folder can be used
    again. The folders of resumed runs and of sweeps are not changed.
    """
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.RUN or not is_main_process() or _is_resumed(hydra):
        return
    folder = Path(hydra.runtime.output_dir)
    unused = {folder / ".hydra" / name for name in ("config.yaml", "hydra.yaml", "overrides.yaml")}
    unused |= {folder / SETTINGS, folder / RECORD, folder / f"{hydra.job.name}.log", *filter(is_mark, _list(folder))}
    added = [path for path in _list(folder) if path not in _earlier_entries]
    if any(file not in unused for path in added for file in _files_in(path)):
        return
    for path in added:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # Another run may have used these folders in the meantime.
        for created in _created_folders:
            created.rmdir()


def _is_resumed(hydra: HydraConf) -> bool:
    return any(text.startswith(f"{RESUME}=") for text in overrides_of(hydra, "task"))


def _list(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _files_in(path: Path) -> list[Path]:
    if path.is_symlink() or not path.is_dir():
        return [path]
    return [file for file in path.rglob("*") if file.is_symlink() or not file.is_dir()]


def _is_ours(hydra: HydraConf, key: str) -> bool:
    """Return whether this is the main process and the folder was not set on the command line."""
    return is_main_process() and not _is_given(hydra, key)


def _is_given(hydra: HydraConf, key: str) -> bool:
    return any(key_of(text) == key for text in overrides_of(hydra, "hydra"))


def _prepare(config: DictConfig, kind: Literal["run", "sweep"]) -> None:
    _created_folders.clear()
    _earlier_entries.clear()
    key = f"hydra.{kind}.dir"
    is_new = _is_ours(config.hydra, key)
    try:
        folder = Path(str(OmegaConf.select(config, key)))
        of_job = name_after_job(folder) if is_new and kind == "run" else None
        if of_job is not None:
            folder = _absolute(of_job)
        elif is_new:
            folder = create_folder(folder)
        _make_folder(folder)
        _earlier_entries.update(_list(_absolute(folder)))
    except OmegaConfBaseException:
        return  # Hydra will encounter the same error and report it.
    except OSError as error:
        given = f"{key}={OmegaConf.select(config, key)}"
        _refuse(f"{given} cannot be created ({error.strerror}). Choose another folder with {key}=FOLDER.")
        return
    if config.get(RESUME) is None and _contains_any(folder, _TRACES):
        where = display_path(folder)
        hint = "Choose another folder, or delete this one first."
        if kind == "run" or (folder / Sweep.FILE).is_file():
            resuming = f"resume the {kind}: {format_override(RESUME, where)}"
            hint = f"Choose another folder, delete this one first, or {resuming}"
        _refuse(f"{format_override(key, where)} already contains a {kind}. {hint}")
    _claim_or_refuse(folder)
    if is_new:
        with read_write(config), read_write(config.hydra), open_dict(config.hydra):
            config.hydra[kind].dir = str(folder)
            if kind == "sweep":  # Hydra composes the configuration of each job from the overrides.
                config.hydra.overrides.hydra.append(format_override(key, folder))
    if kind == "run":
        publish_folder(_absolute(folder))
        if config.get(RESUME) is None:
            mark_folder(folder, list_given())


def _follow(config: DictConfig) -> None:
    """Let a process that is not the main process use the folder of the main process, without writing to it."""
    key = "hydra.run.dir"
    folder: Path | None = None
    if not _is_given(config.hydra, key):
        try:
            folder = name_after_job(Path(str(OmegaConf.select(config, key)))) or await_folder()
        except UserError as error:
            _refuse(error.sentence)
        if folder is None:
            _refuse(f"{key}=FOLDER is needed, because the processes of this run cannot agree on a folder.")
            return
    with read_write(config), read_write(config.hydra), open_dict(config.hydra):
        if folder is not None:
            config.hydra.run.dir = str(_absolute(folder))
        config.hydra.output_subdir = None
        logging = config.hydra.job_logging
        if "file" in (logging.get("handlers") or {}):  # The main process writes the log.
            del logging.handlers["file"]
            logging.root.handlers = [name for name in logging.root.handlers if name != "file"]
        if "console" in (logging.get("handlers") or {}):
            logging.handlers.console.level = "ERROR"


def _claim_or_refuse(folder: Path) -> None:
    if not claim(folder):
        _refuse(f"{display_path(folder)} is being used by another process. Wait until it has stopped, then try again.")


def _contains_any(folder: Path, names: Iterable[str]) -> bool:
    return any((folder / name).exists() for name in names)


def _refuse(sentence: str) -> None:
    # Hydra would only warn about an exception in a callback, and then write to the folder.
    prefix = error_prefix()
    if prefix is not None:
        print(f"celeba_lab: error: {prefix}{readable(sentence)}", file=sys.stderr)
    sys.exit(1)
