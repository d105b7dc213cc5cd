"""The typed root of the configuration, and building objects from it."""

import inspect
import re
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.errors import (
    InstantiationException,
)
from hydra.utils import get_object, instantiate
from omegaconf import MISSING, DictConfig, OmegaConf

from celeba_lab.errors import SettingError, UserError, did_you_mean

RENAMED = {
    "data.in_memory": "data.store=memory (for true) or data.store=jpeg (for false)",
    "task.classifier": "task.estimator (in task=logistic) or task.auditor (in task=generate and task=train_gan)",
    "task.report.classifier": "task.report.estimator",
    "task/classifier": "task/estimator",
}
"""Settings of earlier versions, by their full key, and what replaces each of them."""


@dataclass
class Recipe:
    """What a recipe says to the Trainer; the rest of it sits under ``model`` and ``callbacks``."""

    max_epochs: int | None = 3
    precision: str = "32-true"
    gradient_clip_val: float | None = None


@dataclass
class Config:
    """The root keys. Groups are checked against the constructor they configure, by :func:`build`."""

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
    """Give Hydra the typed root that ``conf/config.yaml`` starts from; call it before composing."""
    ConfigStore.instance().store("schema", Config)
    # ${task_name:${task._target_}}: ${hydra:runtime.choices.task} would not resolve yet when a sweep makes its folder.
    OmegaConf.register_new_resolver("task_name", lambda target: target.rpartition(".")[2], replace=True)
    OmegaConf.register_new_resolver("without_slashes", lambda name: name.replace("/", "-"), replace=True)


def build(node: DictConfig | None, **arguments: Any) -> Any:
    """Instantiate a node of the configuration, or None for none.

    ``hydra.utils.instantiate`` with three differences: values are checked against the type hints of what they
    configure, a :class:`~celeba_lab.errors.SettingError` of a constructor gets the path of its node, and any other
    exception inside a constructor stays what it was.

    Args:
        node: has a ``_target_``, which a dotted path names.
        arguments: what the caller adds; they win.

    Raises:
        UserError: a key is no argument of the target, or a value has the wrong type.
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


def check_types(cfg: Config | DictConfig) -> None:
    """Check every node that configures something, before anything is built.

    Raises:
        UserError: see :func:`build`.
    """
    for node in cfg.values():  # type: ignore[union-attr]
        if not isinstance(node, DictConfig):
            continue
        if "_target_" in node:
            check_arguments(node)
        else:
            check_types(node)


def check_arguments(node: DictConfig) -> None:
    """Check one node's keys and values against the signature and the type hints of its ``_target_``.

    Raises:
        UserError: see :func:`build`.
    """
    from typeguard import TypeCheckError, check_type  # an import of 0.1 s that --cfg job need not pay

    where = node._get_full_key(None)
    try:
        target = get_object(node._target_)
    except Exception as error:
        raise UserError(f"{where}._target_={node._target_} cannot be imported: {one_line(error)}.") from error
    function = getattr(target, "__init__", target) if isinstance(target, type) else target  # perhaps inherited
    parameters = inspect.signature(target).parameters
    try:
        hints = get_type_hints(function)
    except NameError:  # a library's hints that only its type checker can see
        hints = {}
    if node.get("_partial_"):  # a task: main gives it the configuration, and nothing else
        for name, parameter in list(parameters.items())[1:]:
            if parameter.default is parameter.empty and name not in node:
                raise UserError(no_value(f"{where}.{name}"))
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key in map(str, node):
        if key.startswith("_"):  # Hydra's own
            continue
        if OmegaConf.is_missing(node, key):
            raise UserError(no_value(f"{where}.{key}"))
        value = OmegaConf.to_object(node[key]) if OmegaConf.is_config(node[key]) else node[key]
        if f"{where}.{key}" in RENAMED:
            rule = f"has been replaced by {RENAMED[f'{where}.{key}']}"
            raise SettingError(f"{where}.{key}", value, rule, is_absolute=True)
        if key not in parameters and not takes_any:
            raise UserError(f"{where}.{key} is no setting of {node._target_}.{did_you_mean(key, parameters)}")
        if isinstance(value, dict) and "_target_" in value:
            check_arguments(node[key])
            continue
        try:
            check_type(value, hints.get(key, Any))
        except TypeCheckError as error:
            hint = str(getattr(hints[key], "__name__", hints[key])).replace("typing.", "")
            wanted = shorten(hint, 200)
            example = f", written {where}.{key}=[{value}]" if isinstance(value, str) and "list[" in hint else ""
            raise UserError(f"{where}.{key}={value!r} has the wrong type: it must be {wanted}{example}.") from error


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
