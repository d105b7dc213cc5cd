"""Check every ``_target_`` before it is called, because configuration files must not be able to act as programs.

Hydra calls whatever a ``_target_`` names, so an experiment file from somebody else could delete files or run commands.
celeba_lab calls only targets of certain kinds, and imports only the libraries that it uses and modules that the user
trusts. ``docs/safety.md`` describes what this promises.
"""

import ast
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf

from celeba_lab.cli.signatures import UnknownError, ancestors_of, find_name
from celeba_lab.config import locate, one_line
from celeba_lab.errors import SettingError, UserError

VARIABLE = "CELEBA_LAB_TRUSTED_MODULES"
"""Environment variable with the names of trusted modules, separated by commas. Processes of a run inherit it."""

KINDS: dict[str, tuple[str, ...]] = {
    "callbacks": ("lightning.pytorch.callbacks.Callback",),
    "logger": ("lightning.pytorch.loggers.Logger", "celeba_lab.runs.events.EventLogger"),
    "data": ("celeba_lab.data.celeba.CelebA", "lightning.pytorch.LightningDataModule"),
    "model": ("lightning.pytorch.LightningModule",),
    "trainer": ("lightning.pytorch.Trainer",),
    "trainer.profiler": ("lightning.pytorch.profilers.Profiler",),
    "trainer.strategy": ("lightning.pytorch.strategies.Strategy",),
    "trainer.accelerator": ("lightning.pytorch.accelerators.Accelerator",),
}
"""Classes from which the target of each group, of each callback and of parts of the Trainer must be derived."""

# Classes from which the other targets, which are nested in these groups, must be derived.
_NESTED = (
    *(kind for kinds in KINDS.values() for kind in kinds),
    "sklearn.base.BaseEstimator",
    "torch.nn.Module",
    "torch.optim.Optimizer",
    "torch.optim.lr_scheduler.LRScheduler",
    "lightning.pytorch.plugins.Precision",
    "lightning.pytorch.plugins.CheckpointIO",
    "lightning.pytorch.plugins.LayerSync",
    "lightning.fabric.plugins.ClusterEnvironment",
    "datetime.timedelta",
)
_LIBRARIES = ("lightning", "torch", "torchvision", "torchmetrics", "sklearn", "datetime")
# Packages of celeba_lab whose classes may be targets. Only functions of the tasks may be targets.
_OWN = ("data", "models", "engine", "reports", "runs", "tasks")
_OWN_TASKS = "celeba_lab.tasks"
_HINT = "If you wrote or read this module, add trusted_modules=[{}] to the command."


def trust_from_arguments(arguments: Iterable[str]) -> list[str]:
    """Return the modules that the arguments typed by the user declare as trusted.

    These are the modules in ``trusted_modules=[...]``, and the user's own modules in ``..._target_=module.Name``.
    Modules of Python and of installed libraries are not trusted only because they are named in a target.

    Args:
        arguments: Command-line arguments, without those that are stored in the folder of a resumed run.

    Raises:
        UserError: ``trusted_modules`` contains a module of Python's standard library.
    """
    trusted: list[str] = []
    for text in arguments:
        key, _, value = text.lstrip("+").partition("=")
        if key == "trusted_modules":
            [parsed] = OverridesParser.create().parse_overrides([f"{key}={value}"])
            names = parsed.value()
            trusted += [str(name) for name in (names if isinstance(names, list) else [names])]
        elif key.endswith("_target_") and value and _is_own_module(value):
            trusted.append(value.rpartition(".")[0])
    for name in trusted:
        if name.partition(".")[0] in sys.stdlib_module_names:
            rule = f"contains {name}, which is part of Python and cannot be trusted as a whole"
            raise SettingError("trusted_modules", f"[{name}]", rule, is_absolute=True)
    return trusted


@contextmanager
def trusting(arguments: Iterable[str], folder: str | None = None) -> Iterator[None]:
    """Within this block, the modules that the arguments declare as trusted may be imported.

    Args:
        arguments: Command-line arguments, without those that are stored in the folder of a resumed run.
        folder: Folder in which trusted modules are also searched for. Default: the current folder.
    """
    before, folder = os.environ.get(VARIABLE), folder or str(Path.cwd())
    with _searching(folder):
        trusted = [*trusted_modules(), *trust_from_arguments(arguments)]
    os.environ[VARIABLE] = ",".join(trusted)
    try:
        with _searching(folder) if trusted else nullcontext():
            yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


@contextmanager
def _searching(folder: str) -> Iterator[None]:
    """Within this block, modules are also searched for in a folder, after all others."""
    if folder in sys.path or "" in sys.path:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def trusted_modules() -> list[str]:
    """Return the names of all modules that the user trusts."""
    return [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]


def check_trust(cfg: DictConfig) -> None:
    """Check that a configuration file does not declare any modules as trusted.

    Raises:
        UserError: ``trusted_modules`` contains a module that the user did not name.
    """
    for name in cfg.trusted_modules or []:
        if name not in trusted_modules():
            raise UserError(
                f"trusted_modules=[{name}] is set in a file. Set it on the command line or in the environment variable"
                f" {VARIABLE}, because a file must not be able to trust its own modules."
            )


def check_targets(cfg: DictConfig, import_libraries: bool) -> None:
    """Check every ``_target_`` of a configuration, at any depth.

    Args:
        cfg: The configuration, without interpolations, which could choose another target after this check.
        import_libraries: If false, only the module of each target is checked, which takes no time. If true, the
            libraries are imported to check the kind of each target.

    Raises:
        UserError: A target is not of a permitted kind, or its module is neither a library that celeba_lab uses nor
            trusted.
    """
    for path, target, node in _targets_in(cfg, ""):
        _check_module(path, target)
        if not is_trusted(target):
            if target.startswith("sklearn."):
                _check_cache(path.removesuffix("._target_"), node)
            if import_libraries:
                _check_kind(path, target)


def _targets_in(node: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path of every ``_target_`` at any depth, its value, and the node that contains it."""
    for key, value in _items(node):
        where = f"{path}.{key}" if path else key
        if key == "_target_":
            yield where, value, node
        else:
            yield from _targets_in(value, where)


def _check_cache(path: str, node: Any) -> None:
    """Check that an estimator does not use a cache on disk, which scikit-learn stores as pickles.

    A search over settings can also set ``memory``, or ``scaler__memory`` for a part of an estimator.
    """
    for key, value in _items(node):
        where = f"{path}.{key}"
        if (key == "memory" or key.endswith("__memory")) and value is not None:
            rule = "is not supported, because a cache from somebody else could run code"
            raise SettingError(where, value, rule, is_absolute=True)
        _check_cache(where, value)


def _items(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield the items of a mapping or a list, without missing values."""
    if not isinstance(node, DictConfig | ListConfig) or node._is_none() or node._is_missing():
        return
    for key in range(len(node)) if isinstance(node, ListConfig) else list(node):
        if not OmegaConf.is_missing(node, key):
            yield str(key), node[key]


def _check_module(path: str, target: object) -> None:
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")) or "." not in target:
        raise SettingError(path, target, "must be the dotted path of a class", is_absolute=True)
    if is_trusted(target):
        return
    top = target.partition(".")[0]
    if top == "celeba_lab":
        _check_own(path, target)
    elif top in sys.stdlib_module_names and top not in _LIBRARIES:
        raise SettingError(path, target, "is part of Python, and its functions are never called", is_absolute=True)
    elif top not in _LIBRARIES:
        raise SettingError(path, target, "is not in a trusted module", _HINT.format(top), is_absolute=True)
    elif any(part.startswith("_") for part in target.split(".")):  # Importing a module called __main__ runs a program.
        raise SettingError(path, target, f"is not a public name of {top}", is_absolute=True)


def _check_own(path: str, target: str) -> None:
    """Check that a target is a class or a task of celeba_lab, from its source code and without importing it."""
    module, _, name = target.rpartition(".")
    try:
        home, definition = find_name(module, name)
    except UnknownError as error:
        raise UserError(f"{path}={target} cannot be imported: there is no {name} in {module}.") from error
    package = home.name.removeprefix("celeba_lab.").partition(".")[0]
    is_task = isinstance(definition, ast.FunctionDef) and home.name.startswith(f"{_OWN_TASKS}.") and path == _TASK
    is_public = not name.startswith("_") and home.name.startswith("celeba_lab.") and package in _OWN
    if not is_public or not (isinstance(definition, ast.ClassDef) or is_task):
        raise SettingError(path, target, "is not a class or a task of celeba_lab", is_absolute=True)


_TASK = "task._target_"


def _check_kind(path: str, target: str) -> None:
    """Import a target, and check that it is derived from a permitted class."""
    place = path.removesuffix("._target_")
    group = place.partition(".")[0]
    is_named = group in ("callbacks", "logger") and place.count(".") == 1
    kinds = KINDS.get(group if is_named else place, _NESTED)
    is_group = kinds is not _NESTED
    if path == _TASK or (target.startswith("celeba_lab.") and not is_group):
        if not target.startswith("celeba_lab."):
            raise SettingError(path, target, "is not a task of celeba_lab", is_absolute=True)
        return  # _check_own has checked it.
    if target.startswith("celeba_lab.") and not ancestors_of(target).isdisjoint(kinds):
        return  # The source shows it, and analyses of the labels do not need the libraries that an import would load.
    try:
        found = locate(target)
    except Exception as error:
        raise UserError(f"{path}={target} cannot be imported: {one_line(error)}.") from error
    if not isinstance(found, type) or not issubclass(found, tuple(map(locate, _imported(kinds)))):
        names = [kind.rpartition(".")[2] for kind in kinds] if is_group else ["class of a kind that celeba_lab calls"]
        raise SettingError(path, target, f"is not a {' or '.join(names)}", is_absolute=True)


def _imported(kinds: Iterable[str]) -> list[str]:
    """Return the kinds whose libraries have been imported, because a class cannot be derived from the others."""
    return [kind for kind in kinds if kind.partition(".")[0] in sys.modules]


def is_trusted(target: str) -> bool:
    """Return whether a target is in a module that the user trusts."""
    return any(target.startswith(f"{name}.") for name in trusted_modules())


@cache
def _is_own_module(target: str) -> bool:
    """Return whether a target is in a file of the user, and not in Python or an installed library."""
    top = target.partition(".")[0]
    if top in sys.stdlib_module_names or top in (*_LIBRARIES, "celeba_lab"):
        return False
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    places = [spec.origin] if spec and spec.origin else list(spec.submodule_search_locations or []) if spec else []
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")]
    return bool(places) and not any(Path(p).resolve().is_relative_to(folder) for p in places for folder in installed)
