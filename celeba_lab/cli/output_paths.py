"""Check that a configuration file does not make callbacks, loggers or the Trainer write outside the run folder.

A borrowed experiment could otherwise overwrite or delete any file of the user. A path outside the run folder must be
given on the command line. Modules that the user trusts are not checked.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from celeba_lab.cli.job_names import key_of
from celeba_lab.cli.targets import is_trusted
from celeba_lab.config import children_of
from celeba_lab.console import format_override
from celeba_lab.errors import SettingError

_GROUPS = ("callbacks", "logger", "trainer")
_SETTINGS = ("data.cache", "task.output")  # other settings that are paths to which files are written
# Arguments of callbacks, loggers and profilers that are paths. A relative path would lead to the current folder.
_PATHS = ("dirpath", "path", "folder", "dir", "save_dir", "root_dir", "log_dir", "output_dir", "default_root_dir")

_arguments: list[str] = []  # arguments on the command line
_given: list[str] = []  # settings among them, which may lead anywhere
_permitted: dict[str, str] = {}  # settings that lead out of the run folder, with their values


@contextmanager
def given_on_command_line(arguments: Iterable[str]) -> Iterator[None]:
    """Within this block, the settings among the arguments may lead anywhere.

    Args:
        arguments: Command-line arguments, without those that are stored in the folder of a resumed run.
    """
    before, keys_before = list(_arguments), list(_given)
    _arguments[:] = arguments
    _given[:] = [key for key, value in map(_split, _arguments) if _is_setting(key, value)]
    _permitted.clear()
    try:
        yield
    finally:
        _arguments[:], _given[:] = before, keys_before


def _split(argument: str) -> tuple[str, str | None]:
    """Return the key and the value of an argument, or None as the value if it removes a setting or is an option."""
    _, sign, value = argument.partition("=")
    return key_of(argument), value if sign and not argument.startswith("~") else None


def _is_setting(key: str, value: str | None) -> bool:
    """Return whether an argument is a setting. For example, ``trainer=cpu`` only chooses a file of settings."""
    return value is not None and (key not in _GROUPS or value.startswith("{"))


def list_given() -> list[str]:
    """Return the arguments on the command line, without those that are stored in the folder of a resumed run."""
    return list(_arguments)


def is_output_setting(argument: str) -> bool:
    """Return whether an argument is a setting that may lead out of the run folder, judged by its text alone.

    Example:
        >>> arguments = ("logger.mlflow.tracking_uri=http://x", "callbacks.best.dirpath=a,b", "trainer.max_epochs=3")
        >>> [is_output_setting(text) for text in arguments]
        [True, True, False]
    """
    key, value = _split(argument)
    if not _is_setting(key, value) or not key.startswith(tuple(f"{group}." for group in _GROUPS) + _GROUPS):
        return False
    return key.rpartition(".")[2] in _PATHS or any(sign in str(value) for sign in ("/", "\\", "~", "..", "$", "{"))


def list_permitted() -> list[str]:
    """Return overrides for the settings on the command line that lead out of the run folder."""
    return [format_override(path, value) for path, value in _permitted.items()]


def check_output_paths(cfg: DictConfig) -> None:
    """Check all paths in the settings of callbacks, loggers and the Trainer.

    Args:
        cfg: The configuration, without interpolations.

    Raises:
        SettingError: A path leads out of the run folder and was not given on the command line.
    """
    folder = Path(HydraConfig.get().runtime.output_dir).resolve()
    content: Any = OmegaConf.to_container(cfg, resolve=False)
    for group in (*_GROUPS, *(setting.partition(".")[0] for setting in _SETTINGS)):
        for path, value in _untrusted_texts(content.get(group), group):
            if group not in _GROUPS and path not in _SETTINGS:
                continue
            is_path = (path.rpartition(".")[2] in _PATHS or path in _SETTINGS) and value
            if _leads_away(value, folder) or (is_path and not Path(value).resolve().is_relative_to(folder)):
                if any(path == key or path.startswith(f"{key}.") for key in _given):
                    _permitted[path] = value
                    continue
                rule = "leads out of the run folder, which a configuration file must not do"
                hint = f"If you want this, add it to the command: {format_override(path, value)}"
                raise SettingError(path, value, rule, hint, is_absolute=True)


def _untrusted_texts(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield all texts in nested settings with their paths, except in the settings of trusted modules."""
    if isinstance(node, str):
        yield path, node
    elif not (isinstance(node, dict) and is_trusted(str(node.get("_target_")))):
        for where, value in children_of(node, path):
            yield from _untrusted_texts(value, where)


def _leads_away(text: str, folder: Path) -> bool:
    """Return whether a text is an address, or a path that leads out of a folder wherever it begins."""
    path = PurePath(text)
    is_away = text.startswith("~") or "://" in text or ".." in path.parts
    return is_away or (path.is_absolute() and not Path(text).resolve().is_relative_to(folder))
