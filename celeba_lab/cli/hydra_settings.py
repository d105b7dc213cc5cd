"""Check the settings of Hydra itself, because a configuration file can change them and Hydra acts on them first.

Hydra calls its callbacks, opens log files, sets environment variables and imports packages before any code of
celeba_lab runs. A file may therefore change only the settings of a sweep and trusted callbacks. All other settings of
Hydra must be the same as without the file, unless they were given on the command line.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from textwrap import shorten
from typing import Any
from unittest.mock import patch

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, RangeSweep
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from celeba_lab.cli.config_files import check_config_file, check_interpolations
from celeba_lab.cli.launcher_settings import check_launcher
from celeba_lab.cli.run_folder import list_claims
from celeba_lab.cli.sweep_plan import BASIC_SWEEPER
from celeba_lab.cli.targets import is_trusted
from celeba_lab.config import leaves_of, locate, one_line
from celeba_lab.console import format_override
from celeba_lab.errors import SettingError, UserError

# Name of a configuration that contains only the settings of Hydra.
_CONFIG = "hydra_settings"
_LONGEST = 200  # Most characters of a message of another library.
_OWN_CALLBACK = "celeba_lab.cli.run_folder.ExclusiveFolder"
# Sections that a file may change. Their contents are checked, also if they were given on the command line.
_KINDS: dict[str, type] = {"callbacks": Callback, "launcher": Launcher, "sweeper": Sweeper}
_CHECKED = ("mode", "overrides", "runtime", *_KINDS)
# Hydra overwrites these settings when it has composed the configuration, whatever a file contains.
_SET_BY_HYDRA = ("hydra.job.override_dirname", "hydra.job.config_name")
# An interpolation could choose another target after the check. References to settings that no file can change cannot.
_REFERENCE = re.compile(r"\$\{hydra\.(?:job|run|sweep)\.\w+\}")
# Overrides that the parameters of a sweep must not contain.
_NOT_SWEPT = ("hydra", "resume", "trusted_modules")
_MOST_JOBS = 10_000
_IMPORT = re.compile(r"\s*(?:ext|cfg)://")
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
def checked_hydra_settings(arguments: Sequence[str], typed_now: Sequence[str] = ()) -> Iterator[None]:
    """Within this block, Hydra's own settings are checked as soon as Hydra has composed them, also for jobs of a sweep.

    Args:
        arguments: Command-line arguments. Settings of Hydra among them are permitted.
        typed_now: Those arguments that are not stored in the folder of a resumed run or sweep.
    """
    ConfigStore.instance().store(_CONFIG, {"defaults": [{"hydra": "default"}]})
    load = ConfigLoaderImpl.load_configuration
    typed = [text for text in arguments if _is_fixed(text)]
    plain: dict[tuple[str, ...], DictConfig] = {}  # Hydra composes several times for one command.

    @wraps(load)
    def checked(loader: ConfigLoaderImpl, config_name: str | None, overrides: list[str], **named: Any) -> DictConfig:
        _check_search_path(loader, config_name)
        try:
            cfg = load(loader, config_name=config_name, overrides=overrides, **named)
        except (UserError, HydraException, OmegaConfBaseException, YAMLError, OSError):
            raise
        except Exception as error:  # Hydra does not check everything, for example +hydra.sweeper.params.x=1 or =1.
            reason = f"{type(error).__name__}: {shorten(one_line(error), _LONGEST)}"
            hint = "Check the overrides on the command line and the files that they choose."
            raise UserError(f"Hydra cannot compose these settings ({reason}). {hint}") from error
        # ExclusiveFolder adds the folder of a sweep to the overrides of its jobs.
        claimed = [format_override("hydra.sweep.dir", folder) for folder in list_claims()]
        given = tuple(text for text in overrides if text in [*typed, *claimed])
        if given not in plain:
            plain[given] = load(loader, _CONFIG, list(given), RunMode.RUN, validate_sweep_overrides=False)
        check_hydra(cfg.hydra, plain[given].hydra, overrides)
        hydra: Any = OmegaConf.to_container(cfg.hydra, resolve=False)
        check_launcher(hydra.get("launcher"), cfg.hydra.runtime.choices.get("hydra/launcher"), typed_now)
        check_interpolations(cfg)
        _check_name(cfg)
        return cfg

    read = ConfigRepository.load_config

    @wraps(read)
    def checked_file(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
        for source in repository.get_sources():
            if source.scheme() == "file":
                check_config_file(source.path, config_path)
        return read(repository, config_path)

    with (
        patch.object(ConfigLoaderImpl, "load_configuration", checked),
        patch.object(ConfigRepository, "load_config", checked_file),
    ):
        yield


def _is_fixed(argument: str) -> bool:
    """Return whether an argument is a setting of Hydra in a section that no file can change."""
    key = argument.lstrip("+~").partition("=")[0]
    sections = key.removeprefix("hydra").lstrip("./")
    return key.startswith(("hydra.", "hydra/")) and re.split(r"[./@]", sections)[0] not in _CHECKED


def _check_search_path(loader: ConfigLoaderImpl, config_name: str | None) -> None:
    """Check that a file that was chosen by ``--config-name`` adds no folders or packages, which would be imported."""
    loaded = loader.repository.load_config(config_name) if config_name else None
    found = OmegaConf.select(loaded.config, "hydra.searchpath") if loaded else None
    if found is not None:
        _refuse("hydra.searchpath", found)


def _check_name(cfg: DictConfig) -> None:
    """Check that the name of an experiment, which can be set in a file, does not lead out of ``outputs/``.

    Raises:
        SettingError: A part of the name is empty or refers to another folder.
    """
    try:
        name = OmegaConf.select(cfg, "name")
    except OmegaConfBaseException:
        return  # The same error is explained when the folder of the run is named.
    text = str(name if name is not None else "")
    if any(part.strip() in ("", ".", "..") for part in text.split("/")) or not text.isprintable():
        rule = "must be the name of a folder, such as smile or paper/smile, which is created in outputs/"
        raise SettingError("name", name, rule, is_absolute=True)


def _refuse(path: str, value: object) -> None:
    raise SettingError(
        path, value, "cannot be set in a configuration file", "Set it on the command line.", is_absolute=True
    )


def check_hydra(hydra: DictConfig, without_files: DictConfig, overrides: Sequence[str]) -> None:
    """Check the settings of Hydra itself, which it uses before a task starts.

    Args:
        hydra: The settings of Hydra.
        without_files: The settings of Hydra without files of the user, but with the settings on the command line.
        overrides: The overrides from which ``hydra`` was composed.

    Raises:
        SettingError: A file has changed a setting that it must not change, a target is neither a callback, launcher or
            sweeper of Hydra or its plugins nor trusted, or a logging setting imports an object or opens another file.
    """
    raw: Any = OmegaConf.to_container(hydra, resolve=False)
    plain: Any = OmegaConf.to_container(without_files, resolve=False)
    for section in _KINDS:
        _check_called(raw.get(section), section)
    sweeper = raw.get("sweeper")
    if isinstance(sweeper, dict):
        # Other sweepers search in the parameters, and do not try every combination.
        check_swept(sweeper.get("params"), is_counted=sweeper.get("_target_") == BASIC_SWEEPER)
    _check_recorded(raw, overrides)
    allowed = dict(leaves_of({key: value for key, value in plain.items() if key not in _CHECKED}, "hydra"))
    found = dict(leaves_of({key: value for key, value in raw.items() if key not in _CHECKED}, "hydra"))
    for path in [*found, *(path for path in allowed if path not in found)]:
        if path not in _SET_BY_HYDRA and (path not in allowed or found.get(path) != allowed[path]):
            _refuse(path, found.get(path))
    if "/" in str((raw.get("job") or {}).get("name")):
        raise SettingError("hydra.job.name", raw["job"]["name"], "must not contain a slash", is_absolute=True)
    if not isinstance(raw.get("verbose"), bool | str | list):
        rule = "must be true, false, the name of a logger or a list of names"
        raise SettingError("hydra.verbose", raw.get("verbose"), rule, is_absolute=True)
    for section in ("job_logging", "hydra_logging"):
        _check_logging(raw.get(section), f"hydra.{section}")


def _check_called(node: Any, section: str) -> None:
    """Check the objects that Hydra builds from one of its sections."""
    own = rf"hydra\.{section}\.[^.]+\._target_" if section == "callbacks" else rf"hydra\.{section}\._target_"
    for path, value in leaves_of(node, f"hydra.{section}"):
        if isinstance(value, str) and "${" in _REFERENCE.sub("", value):
            rule = "must not contain an interpolation except of hydra.job, hydra.run and hydra.sweep"
            raise SettingError(path, value, rule, is_absolute=True)
        if "._target_" in path:
            _check_target(path, value, _KINDS[section] if re.fullmatch(own, path) else None)


def _check_target(path: str, target: object, kind: type | None) -> None:
    if target == _OWN_CALLBACK or (isinstance(target, str) and is_trusted(target)):
        return
    found = None
    if kind and isinstance(target, str) and target.partition(".")[0] in ("hydra", "hydra_plugins"):
        try:
            found = locate(target)
        except Exception as error:
            raise SettingError(path, target, "cannot be imported", is_absolute=True) from error
    if not isinstance(found, type) or kind is None or not issubclass(found, kind):
        rule = f"is not a {kind.__name__.lower()} of Hydra" if kind else "is not permitted in the settings of Hydra"
        hint = "If you wrote or read its module, add the module to trusted_modules on the command line."
        raise SettingError(path, target, rule, hint, is_absolute=True)


def check_swept(parameters: Any, is_counted: bool) -> None:
    """Check the parameters of a sweep, which become overrides of its jobs.

    Args:
        parameters: Values by override, as in ``hydra.sweeper.params``.
        is_counted: Whether the sweep contains every combination, whose number is therefore limited.

    Raises:
        SettingError: A parameter cannot be swept, or there are too many combinations.
    """
    jobs = 1.0
    for key, value in parameters.items() if isinstance(parameters, dict) else ():
        try:
            [override] = OverridesParser.create().parse_overrides([f"{key}={value}"])
        except HydraException:
            continue  # Hydra explains this error.
        if re.split(r"[./@]", override.key_or_group)[0] in _NOT_SWEPT:
            raise SettingError("hydra.sweeper.params", key, "cannot be a parameter of a sweep", is_absolute=True)
        if not str(value).isprintable():
            raise SettingError(f"hydra.sweeper.params.{key}", value, "must not contain control characters")
        jobs *= _count_values(override.value())
        if is_counted and jobs > _MOST_JOBS:
            rule = f"starts more than {_MOST_JOBS:,} runs, which a configuration file must not do"
            raise SettingError("hydra.sweeper.params", key, rule, is_absolute=True)


def _count_values(values: Any) -> float:
    """Return the number of values of a parameter of a sweep."""
    if isinstance(values, RangeSweep):
        start, stop, step = (float(part or 0) for part in (values.start, values.stop, values.step))
        return abs((stop - start) / step) if step else math.inf
    return len(values.list) if isinstance(values, ChoiceSweep) else 1


def _check_recorded(raw: dict[str, Any], overrides: Sequence[str]) -> None:
    """Check the settings in which Hydra records the overrides and the choices of groups."""
    for path, value in leaves_of(raw.get("overrides"), "hydra.overrides"):
        if value not in ([], {}, None, *overrides):
            _refuse(path, value)
    runtime = raw.get("runtime") or {}
    for path, value in leaves_of(runtime.get("choices"), "hydra.runtime.choices"):
        if "${" in str(value):
            _refuse(path, value)
    if runtime.get("output_dir") != "???":
        _refuse("hydra.runtime.output_dir", runtime["output_dir"])


def _check_logging(settings: Any, path: str) -> None:
    """Check the settings of Python's logging, which can import objects and open files."""
    if not isinstance(settings, dict):
        raise SettingError(path, settings, "does not contain settings of logging", is_absolute=True)
    for where, value in leaves_of(settings, path):
        if isinstance(value, str) and _IMPORT.match(value) and value not in _STREAMS:
            raise SettingError(where, value, "must not import an object", is_absolute=True)
    for section, permitted in (("handlers", _HANDLER), ("formatters", _FORMATTER), ("filters", {})):
        for name, values in _sections_of(settings.get(section), f"{path}.{section}"):
            for key, value in _sections_of(values, f"{path}.{section}.{name}"):
                where = f"{path}.{section}.{name}.{key}"
                if key not in permitted:
                    raise SettingError(where, value, "is not permitted for logging", is_absolute=True)
                choices = permitted[key]
                if choices is not None and value not in choices:
                    raise SettingError(where, value, f"must be {' or '.join(choices)}", is_absolute=True)


def _sections_of(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if node is not None and not isinstance(node, dict):
        raise SettingError(path, node, "does not contain settings of logging", is_absolute=True)
    yield from (node or {}).items()
