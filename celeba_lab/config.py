"""The schema of the root keys, and functions that validate and instantiate configuration nodes."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from textwrap import shorten
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra._internal.utils import _locate
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.resolvers.oc import env

from celeba_lab.errors import SettingError, UserError, did_you_mean, format_value

RENAMED = {
    "data.in_memory": "data.store=memory (for true) or data.store=jpeg (for false)",
    "task.classifier": "task.estimator (in task=logistic) or task.auditor (in task=generate and task=train_gan)",
    "task.report.classifier": "task.report.estimator",
    "task/classifier": "task/estimator",
    "task.distances.features": "task.distances.feature_extractor",
    "task.filter": "task.upscale_filter",
    "task.weights": "task.generator_weights",
    "model.normalise": "model.normalization",
}
"""Full keys of settings from earlier versions, mapped to their replacements."""


@dataclass
class Recipe:
    """Trainer settings in a recipe. Recipes also change settings in other groups, such as ``model``."""

    max_epochs: int | None = 3
    precision: str = "32-true"
    gradient_clip_val: float | None = None


@dataclass
class Config:
    """Root keys of the configuration. :func:`build` checks each group against the signature of its ``_target_``."""

    name: str = MISSING
    seed: int = 42
    score: str | None = None
    direction: str = "maximize"
    fail_fast: bool = False
    checkpoint: str | None = None
    resume: str | None = None
    repeat: str | None = None
    trusted_modules: list[str] = field(default_factory=list)
    print_config: str = "changed"
    debug: str | None = None
    data: Any = None
    model: Any = None
    recipe: Recipe = field(default_factory=Recipe)
    trainer: Any = None
    callbacks: Any = None
    logger: Any = None
    task: Any = None


# What Lightning's callbacks call the choices of ``direction``, which has been checked by then.
_MODES = {"maximize": "max", "minimize": "min"}


def register_schema() -> None:
    """Register the schema of the root keys. Call this function before composing the configuration."""
    ConfigStore.instance().store("schema", Config)
    # ${hydra:runtime.choices.task} would be simpler, but it cannot be resolved yet when a sweep creates its folder.
    OmegaConf.register_new_resolver("task_name", lambda target: target.rpartition(".")[2], replace=True)
    OmegaConf.register_new_resolver("mode_of", _MODES.get, replace=True)
    OmegaConf.register_new_resolver("folder_of", lambda debug: "debug/" if debug else "", replace=True)
    OmegaConf.register_new_resolver("oc.env", _environment_variable, replace=True)


_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)


def _environment_variable(name: str, *default: Any) -> str | None:
    """Return an environment variable, unless it is secret, because all settings are stored as plain text.

    Raises:
        UserError: The name is that of a secret.
    """
    if _SECRET.search(name):
        raise UserError(
            f"The environment variable {name} cannot be a setting, because settings are stored as plain text"
        )
    return env(name, *default)


def overrides_of(hydra: HydraConf | DictConfig, kind: Literal["task", "hydra"]) -> list[str]:
    """Return the overrides on the command line as they were typed.

    Hydra would resolve an interpolation in them, such as ``${seed}``, among its own settings, where it has no value.

    Args:
        hydra: Settings of Hydra.
        kind: Overrides of the task or of Hydra itself.
    """
    content: Any = OmegaConf.to_container(hydra.overrides, resolve=False)
    return list(content[kind])


def check_root_keys(cfg: DictConfig) -> None:
    """Check that the configuration contains no unknown root keys, which ``+key=value`` can add.

    Raises:
        UserError: A root key is unknown.
    """
    known = [field.name for field in fields(Config)]
    for key in map(str, cfg):
        if key not in known:
            raise UserError(f"{key} is not a setting of celeba_lab.{did_you_mean(key, known)}")


# Groups whose choices are nodes with a _target_, or nodes that contain such nodes
_GROUPS = ("data", "model", "trainer", "callbacks", "logger", "task")
_NAMED = ("callbacks", "logger")  # groups of nodes with names
_RESERVED = ("_target_", "_partial_")


def check_nodes(cfg: DictConfig) -> None:
    """Check that the groups of a configuration are nodes, and that nodes do not change how Hydra builds objects.

    Raises:
        UserError: A group, a callback or a logger is not a node, the task has no ``_target_``, or a key begins with an
            underscore that is neither ``_target_`` nor the task's ``_partial_``.
    """
    content: Any = OmegaConf.to_container(cfg, resolve=False)
    if not isinstance(content.get("task"), dict) or "_target_" not in content["task"]:
        raise UserError(f"task={content.get('task')} has no _target_. Choose a task, for example task=train.")
    for name in _GROUPS:
        group = content.get(name)
        for path, node in [(name, group), *children_of(group if name in _NAMED else None, name)]:
            if node is not None and not isinstance(node, dict):
                raise SettingError(path, node, "must be null or settings in braces, with a _target_", is_absolute=True)
            kind = {"callbacks": "callback", "logger": "logger"}.get(path.partition(".")[0])
            if kind and "." in path and node and "_target_" not in node:
                raise UserError(f"{path} has no _target_, so no {kind} can be built.")
    _check_keys(content, "")


def _check_keys(node: Any, path: str) -> None:
    for where, value in children_of(node, path):
        name = where.removeprefix(f"{path}.")
        if "." in name:
            raise UserError(f"{path} contains {name!r}, but the name of a setting must not contain a dot.")
        is_partial = where == "task._partial_" and value is True
        if name.startswith("_") and name != "_target_" and not is_partial:
            raise UserError(
                f"{where}={value} is not supported. Of the keys with an underscore, only _target_ can be set."
            )
        _check_keys(value, where)


def build(node: DictConfig | None, **arguments: Any) -> Any:
    """Instantiate a configuration node, or return None if the node is None.

    This function differs from ``hydra.utils.instantiate`` in three ways. Values are checked against the constructor's
    type hints. If a constructor raises a :class:`~celeba_lab.errors.SettingError`, the path of the node is added to the
    error. Any other exception raised by a constructor is propagated unchanged.

    Args:
        node: Node whose ``_target_`` is the dotted path of a class or function.
        arguments: Additional arguments, which override the values in the node.

    Raises:
        UserError: A key is not an argument of the target, or a value has the wrong type.
    """
    if node is None:
        return None
    check_arguments(node)
    try:
        return instantiate(node, **arguments, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, SettingError):
            path = str(error).rpartition("full_key: ")[2].strip()  # path of the failed node, which may be nested
            raise error.__cause__.within(path, is_absolute=True) from error.__cause__.__cause__
        if isinstance(error.__cause__, ImportError):  # a library that is not installed, such as wandb
            raise UserError(f"{node._get_full_key(None)} cannot be built: {one_line(error.__cause__)}.") from error
        raise error.__cause__ or error from None


@dataclass(frozen=True)
class Signature:
    """Signature of a class or function.

    Attributes:
        hints: Type hint of each argument by name, or ``Any`` if the argument has no type hint.
        required: Names of the arguments without a default value.
        takes_any: If true, arguments with other names are also accepted (``**kwargs``).
        is_complete: If false, some type hints could not be determined and are ``Any``.
    """

    hints: dict[str, Any]
    required: list[str]
    takes_any: bool = False
    is_complete: bool = True


def locate(target: str) -> Any:
    """Import the object at a dotted path. Unlike ``hydra.utils.get_object``, this function does not log errors.

    Raises:
        Exception: Any exception raised by the import.
    """
    return _locate(target)


def import_signature(target: str) -> Signature:
    """Import the class or function at a dotted path, and return its signature.

    Raises:
        Exception: Any exception raised by the import.
    """
    found = locate(target)
    function = getattr(found, "__init__", found) if isinstance(found, type) else found  # __init__ may be inherited
    parameters = inspect.signature(found).parameters.values()
    try:
        hints = get_type_hints(function)
    except NameError:  # some libraries import the types in their hints only for type checking
        hints = {}
    named = [
        parameter for parameter in parameters if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    return Signature(
        hints={parameter.name: hints.get(parameter.name, Any) for parameter in named},
        required=[parameter.name for parameter in named if parameter.default is parameter.empty],
        takes_any=any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters),
    )


def resolve(cfg: DictConfig) -> None:
    """Replace all interpolations in a configuration by their values.

    Raises:
        omegaconf.errors.InterpolationResolutionError: An interpolation has no value.
        SettingError: A value still contains an interpolation, because it was escaped.
    """
    OmegaConf.missing_keys(cfg)  # Raises this error also if an interpolation refers to a missing value.
    OmegaConf.resolve(cfg)
    for key, value in flatten(OmegaConf.to_container(cfg, resolve=False), "").items():
        if "${" in str(value):  # An escaped interpolation is now an interpolation, whose value can change later.
            raise SettingError(key, value, "must not contain an escaped interpolation", is_absolute=True)


ReadSignature = Callable[[str], Signature | None]
"""A function that takes the dotted path of a target and returns its signature, or None if it cannot be determined."""


def check_types(cfg: Config | DictConfig, read: ReadSignature = import_signature) -> None:
    """Check all nodes that have a ``_target_`` before any object is built.

    Args:
        cfg: The configuration or one of its nodes.
        read: Function that returns the signature of a target. By default, the target is imported.

    Raises:
        UserError: A node is invalid. See :func:`check_arguments`.
    """
    for node in cfg.values():  # type: ignore[union-attr]
        if not isinstance(node, DictConfig):
            continue
        if "_target_" in node:
            check_arguments(node, read)
        else:
            check_types(node, read)


def check_arguments(node: DictConfig, read: ReadSignature = import_signature) -> None:
    """Check the keys and values of a node against the signature of its ``_target_``.

    Args:
        node: Node to check.
        read: Function that returns the signature of the target. See :func:`check_types`.

    Raises:
        UserError: The target cannot be imported, a key is not an argument of the target, or a value is missing or has
            the wrong type.
    """
    where = node._get_full_key(None)
    try:
        signature = read(node._target_)
    except Exception as error:
        raise UserError(f"{where}._target_={node._target_} cannot be imported: {one_line(error)}.") from error
    # A task is called with only the configuration, so its node must provide all other required arguments.
    if signature is not None and node.get("_partial_"):
        for name in signature.required[1:]:
            if name not in node:
                raise UserError(no_value(f"{where}.{name}"))
    for key in map(str, node):
        path = f"{where}.{key}"
        if key in _RESERVED:
            continue
        if OmegaConf.is_missing(node, key):
            raise UserError(no_value(path))
        value = OmegaConf.to_object(node[key]) if OmegaConf.is_config(node[key]) else node[key]
        if path in RENAMED:
            raise SettingError(path, value, f"has been replaced by {RENAMED[path]}", is_absolute=True)
        if signature is not None and key not in signature.hints and not signature.takes_any:
            raise UserError(f"{path} is not a setting of {node._target_}.{did_you_mean(key, signature.hints)}")
        if isinstance(value, dict) and "_target_" in value:
            check_arguments(node[key], read)
        elif signature is not None:
            check_type(path, value, signature.hints.get(key, Any))


def check_type(path: str, value: object, hint: Any) -> None:
    """Check that a value has the type given by a type hint.

    Args:
        path: Path to the value in the configuration, used in the error message.
        value: The value.
        hint: The type hint.

    Raises:
        UserError: The value has another type.

    Example:
        >>> check_type("threshold", None, float)
        Traceback (most recent call last):
        ...
        celeba_lab.errors.UserError: threshold=None has the wrong type: it must be a number.
    """
    import typeguard  # takes 0.1 s, and --cfg job does not need it

    try:
        typeguard.check_type(value, hint)
    except typeguard.TypeCheckError as error:
        wanted = describe_type(hint)
        example = f", for example {path}=[{value}]" if isinstance(value, str) and "a list" in wanted else ""
        raise UserError(f"{path}={value!r} has the wrong type: it must be {wanted}{example}.") from error


_PLAIN_TYPES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a string",
    NoneType: "null",
}


def describe_type(hint: Any) -> str:
    """Describe a type hint in words.

    Example:
        >>> describe_type(int | None), describe_type(list[str]), describe_type(Literal["min", "max"])
        ('an integer or null', 'a list of str', 'min or max')
    """
    arguments = get_args(hint)
    if hint in _PLAIN_TYPES:
        words = _PLAIN_TYPES[hint]
    elif get_origin(hint) is Literal:
        words = " or ".join(map(str, arguments))
    elif get_origin(hint) in (Union, UnionType):
        words = " or ".join(dict.fromkeys(map(describe_type, arguments)))
    elif get_origin(hint) is list:
        words = f"a list of {getattr(arguments[0], '__name__', arguments[0])}"
    else:
        words = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
    return shorten(words, 200)


def no_value(key: str) -> str:
    """Return the error message for a setting without a value."""
    return f"{key} has no value. Set it with {key}=..."


def one_line(error: BaseException) -> str:
    """Return an error message on one line, without the final full stop."""
    return re.sub(r"\s+", " ", str(error)).strip().rstrip(".")


def children_of(node: Any, path: str) -> list[tuple[str, Any]]:
    """Return the items of a dictionary or a list with their paths, or an empty list for any other value.

    Example:
        >>> children_of({"lr": 0.1, "betas": [0.5, 0.9]}, "model")
        [('model.lr', 0.1), ('model.betas', [0.5, 0.9])]
    """
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [(f"{path}.{key}" if path else str(key), value) for key, value in items]


def leaves_of(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield all values in nested dictionaries and lists with their paths. An empty dictionary or list is a value.

    Example:
        >>> list(leaves_of({"lr": 0.1, "betas": [0.5, 0.9]}, "model"))
        [('model.lr', 0.1), ('model.betas.0', 0.5), ('model.betas.1', 0.9)]
    """
    children = children_of(node, path)
    for where, value in children:
        yield from leaves_of(value, where)
    if not children:
        yield path, node


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries into one with dotted keys, and write lists as on the command line, such as [a,b]."""
    if not isinstance(node, dict):
        return {prefix: format_value(node) if isinstance(node, list) else node}
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        leaves |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return leaves
