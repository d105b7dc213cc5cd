"""The typed root of the configuration, and building objects from it."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from textwrap import shorten
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import MISSING, DictConfig, OmegaConf

from celeba_lab.errors import SettingError, UserError, did_you_mean

RENAMED = {
    "data.in_memory": "data.store=memory (for true) or data.store=jpeg (for false)",
    "task.classifier": "task.estimator (in task=logistic) or task.auditor (in task=generate and task=train_gan)",
    "task.report.classifier": "task.report.estimator",
    "task/classifier": "task/estimator",
    "task.distances.features": "task.distances.feature_extractor",
    "task.filter": "task.upscale_filter",
    "model.normalise": "model.normalization",
}
"""Settings of earlier versions, by their full key, and what replaces each of them."""


@dataclass
class Recipe:
    """Settings of a recipe for the Trainer. Its other settings are in the groups ``model`` and ``callbacks``."""

    max_epochs: int | None = 3
    precision: str = "32-true"
    gradient_clip_val: float | None = None


@dataclass
class Config:
    """Root keys of the configuration. :func:`build` checks each group against the constructor that it configures."""

    name: str = MISSING
    seed: int = 42
    score: str | None = None
    checkpoint: str | None = None
    print_config: str = "changed"
    data: Any = None
    model: Any = None
    recipe: Recipe = field(default_factory=Recipe)
    trainer: Any = None
    callbacks: Any = None
    logger: Any = None
    task: Any = None


def register_schema() -> None:
    """Register the typed root that ``conf/config.yaml`` starts from. Call this before composing."""
    ConfigStore.instance().store("schema", Config)
    # ${task_name:${task._target_}}: ${hydra:runtime.choices.task} would not resolve yet when a sweep makes its folder.
    OmegaConf.register_new_resolver("task_name", lambda target: target.rpartition(".")[2], replace=True)
    OmegaConf.register_new_resolver("without_slashes", lambda name: name.replace("/", "-"), replace=True)


def check_root_keys(cfg: DictConfig) -> None:
    """Check that the configuration has no key at its root that nothing reads. ``+key=value`` can add one.

    Raises:
        UserError: There is such a key.
    """
    known = [field.name for field in fields(Config)]
    for key in map(str, cfg):
        if key not in known:
            raise UserError(f"{key} is not a setting of celeba_lab.{did_you_mean(key, known)}")


def build(node: DictConfig | None, **arguments: Any) -> Any:
    """Instantiate a node of the configuration; None gives None.

    This is ``hydra.utils.instantiate`` with three differences: values are checked against the type hints of the
    constructor, a :class:`~celeba_lab.errors.SettingError` of a constructor gets the path of its node, and any other
    exception of a constructor is raised as it is.

    Args:
        node: Node with the dotted path of a class or function as ``_target_``.
        arguments: Further arguments, which take precedence over those of the node.

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
            path = str(error).rpartition("full_key: ")[2].strip()  # of the node that failed, perhaps below this one
            raise error.__cause__.within(path, is_absolute=True) from error.__cause__.__cause__
        raise error.__cause__ or error from None


@dataclass(frozen=True)
class Signature:
    """Arguments of a class or a function.

    Attributes:
        hints: Type hint of each argument by its name; ``Any`` for an argument without one.
        required: Names of the arguments without a default.
        takes_any: If true, arguments of any other name are accepted too.
        is_complete: If false, some of the hints could not be found out and are ``Any``.
    """

    hints: dict[str, Any]
    required: list[str]
    takes_any: bool = False
    is_complete: bool = True


def import_signature(target: str) -> Signature:
    """Import what a dotted path names, and return its signature.

    Raises:
        Exception: The import failed, for whatever reason.
    """
    found = get_object(target)
    function = getattr(found, "__init__", found) if isinstance(found, type) else found  # perhaps inherited
    parameters = inspect.signature(found).parameters.values()
    try:
        hints = get_type_hints(function)
    except NameError:  # a library's hints that only its type checker can see
        hints = {}
    named = [
        parameter for parameter in parameters if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    return Signature(
        hints={parameter.name: hints.get(parameter.name, Any) for parameter in named},
        required=[parameter.name for parameter in named if parameter.default is parameter.empty],
        takes_any=any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters),
    )


ReadSignature = Callable[[str], Signature | None]
"""Returns the signature that a dotted path names, or None if it cannot be found out."""


def check_types(cfg: Config | DictConfig, read: ReadSignature = import_signature) -> None:
    """Check every node that configures something, before anything is built.

    Args:
        cfg: The configuration, or a part of it.
        read: How to find the signature of a target; by default, by an import.

    Raises:
        UserError: See :func:`check_arguments`.
    """
    for node in cfg.values():  # type: ignore[union-attr]
        if not isinstance(node, DictConfig):
            continue
        if "_target_" in node:
            check_arguments(node, read)
        else:
            check_types(node, read)


def check_arguments(node: DictConfig, read: ReadSignature = import_signature) -> None:
    """Check the keys and the values of a node against the signature of its ``_target_``.

    Args:
        node: The node.
        read: How to find the signature; see :func:`check_types`.

    Raises:
        UserError: The target cannot be imported, a key is not one of its arguments, a value has the wrong type, or a
            value is missing.
    """
    where = node._get_full_key(None)
    try:
        signature = read(node._target_)
    except Exception as error:
        raise UserError(f"{where}._target_={node._target_} cannot be imported: {one_line(error)}.") from error
    if signature is not None and node.get("_partial_"):  # a task is given the configuration, and nothing else
        for name in signature.required[1:]:
            if name not in node:
                raise UserError(no_value(f"{where}.{name}"))
    for key in map(str, node):
        if key.startswith("_"):  # Hydra's own
            continue
        path = f"{where}.{key}"
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
            _check_type(path, value, signature.hints.get(key, Any))


def _check_type(path: str, value: object, hint: Any) -> None:
    from typeguard import TypeCheckError, check_type  # an import of 0.1 s that --cfg job need not pay

    try:
        check_type(value, hint)
    except TypeCheckError as error:
        wanted = hint.__name__ if isinstance(hint, type) else shorten(str(hint).replace("typing.", ""), 200)
        example = f", written {path}=[{value}]" if isinstance(value, str) and "list[" in wanted else ""
        raise UserError(f"{path}={value!r} has the wrong type: it must be {wanted}{example}.") from error


def no_value(key: str) -> str:
    """Say that a setting has no value."""
    return f"{key} has no value. Give one: {key}=..."


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line, without the full stop at its end."""
    return re.sub(r"\s+", " ", str(error)).strip().rstrip(".")


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dictionaries under dotted names, lists as text."""
    if not isinstance(node, dict):
        return {prefix: str(node) if isinstance(node, list) else node}
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        leaves |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return leaves
