"""Check the settings of Hydra itself, because a configuration file can change them and Hydra acts on them first."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from celeba_lab.cli.targets import is_trusted
from celeba_lab.config import locate
from celeba_lab.errors import SettingError

_OWN_CALLBACK = "celeba_lab.cli.run_folder.ExclusiveFolder"
# Interpolations could choose another target after the check. References to Hydra's own settings cannot.
_REFERENCE = re.compile(r"\$\{hydra\.[\w.]+\}")
_CALLED = ("callbacks", "launcher", "sweeper")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_LOG_FILES = ("${hydra.runtime.output_dir}/${hydra.job.name}.log", "hydra-${hydra.job.name}.log")
# Permitted values of the settings from which Python's logging imports objects or opens files. None permits all.
_HANDLER: dict[str, tuple[str, ...] | None] = {
    "class": ("logging.StreamHandler", "logging.FileHandler", "logging.NullHandler"),
    "stream": _STREAMS,
    "filename": _LOG_FILES,
    "formatter": None,
    "level": None,
    "mode": ("a", "w"),
    "delay": None,
}
_FORMATTER: dict[str, tuple[str, ...] | None] = {
    "()": ("colorlog.ColoredFormatter",),
    "format": None,
    "datefmt": None,
    "style": None,
    "validate": None,
    "log_colors": None,
}


@contextmanager
def checked_hydra_settings() -> Iterator[None]:
    """Within this block, Hydra's own settings are checked as soon as Hydra has composed them.

    Hydra calls the targets of its callbacks and sets up logging before any code of celeba_lab runs, and has no other
    place for this check.
    """
    load = ConfigLoaderImpl.load_configuration

    @wraps(load)
    def checked(*arguments: Any, **named: Any) -> DictConfig:
        cfg = load(*arguments, **named)
        check_hydra(cfg.hydra)
        return cfg

    with patch.object(ConfigLoaderImpl, "load_configuration", checked):
        yield


def check_hydra(hydra: DictConfig) -> None:
    """Check the settings of Hydra itself, which it uses before a task starts.

    Raises:
        SettingError: A target is neither a callback, launcher or sweeper of Hydra or its plugins nor trusted, a logging
            setting imports an object or opens another file, or the environment is changed.
    """
    raw: Any = OmegaConf.to_container(hydra, resolve=False)
    for name in _CALLED:
        _check_references(raw.get(name), f"hydra.{name}")
    for path, target in _targets_in(raw, "hydra"):
        _check_target(path, target)
    job = raw.get("job") or {}
    if job.get("env_set"):
        hint = "Set environment variables before you start the program."
        raise SettingError("hydra.job.env_set", job["env_set"], "is not supported", hint, is_absolute=True)
    if "/" in str(job.get("name")):
        raise SettingError("hydra.job.name", job["name"], "must not contain a slash", is_absolute=True)
    for name in ("job_logging", "hydra_logging"):
        _check_logging(raw.get(name) or {}, f"hydra.{name}")


def _check_references(node: Any, path: str) -> None:
    for where, value in _leaves_of(node, path):
        if isinstance(value, str) and "$" in _REFERENCE.sub("", value):
            rule = "must not contain an interpolation except of Hydra's own settings"
            raise SettingError(where, value, rule, is_absolute=True)


def _targets_in(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield from ((where, value) for where, value in _leaves_of(node, path) if where.endswith("._target_"))


def _leaves_of(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield all values of nested dictionaries and lists with their paths."""
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves_of(value, f"{path}.{key}")
    else:
        yield path, node


def _check_target(path: str, target: object) -> None:
    if target == _OWN_CALLBACK or (isinstance(target, str) and is_trusted(target)):
        return
    found = None
    if isinstance(target, str) and target.partition(".")[0] in ("hydra", "hydra_plugins"):
        try:
            found = locate(target)
        except Exception as error:
            raise SettingError(path, target, "cannot be imported", is_absolute=True) from error
    if not isinstance(found, type) or not issubclass(found, Callback | Launcher | Sweeper):
        hint = "If you wrote or read its module, add the module to trusted_modules on the command line."
        raise SettingError(path, target, "is not a callback, launcher or sweeper of Hydra", hint, is_absolute=True)


def _check_logging(settings: dict[str, Any], path: str) -> None:
    for section, permitted in (("handlers", _HANDLER), ("formatters", _FORMATTER), ("filters", {})):
        for name, values in (settings.get(section) or {}).items():
            for key, value in (values or {}).items():
                where = f"{path}.{section}.{name}.{key}"
                if key not in permitted:
                    raise SettingError(where, value, "is not permitted for logging", is_absolute=True)
                choices = permitted[key]
                if choices is not None and value not in choices:
                    raise SettingError(where, value, f"must be {' or '.join(choices)}", is_absolute=True)
