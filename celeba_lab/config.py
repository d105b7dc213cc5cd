"""The typed root of the configuration, building objects from it, and Hydra's errors as one sentence."""

import inspect
import re
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.utils import get_object, instantiate
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import (
    InterpolationResolutionError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
    ValidationError,
)
from yaml import YAMLError

from celeba_lab.errors import UserError, did_you_mean


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


def build(node: DictConfig | None, **arguments: Any) -> Any:
    """Instantiate a node of the configuration, or None for none.

    ``hydra.utils.instantiate`` with two differences: values are checked against the type hints of what they
    configure, and an exception inside a constructor stays what it was.

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
        raise UserError(f"{where}._target_={node._target_} cannot be imported: {_one_line(error)}.") from error
    function = getattr(target, "__init__", target) if isinstance(target, type) else target  # perhaps inherited
    parameters = inspect.signature(target).parameters
    try:
        hints = get_type_hints(function)
    except NameError:  # a library's hints that only its type checker can see
        hints = {}
    if node.get("_partial_"):  # a task: main gives it the configuration, and nothing else
        for name, parameter in list(parameters.items())[1:]:
            if parameter.default is parameter.empty and name not in node:
                raise UserError(_no_value(f"{where}.{name}"))
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key in map(str, node):
        if key.startswith("_"):  # Hydra's own
            continue
        if OmegaConf.is_missing(node, key):
            raise UserError(_no_value(f"{where}.{key}"))
        value = OmegaConf.to_object(node[key]) if OmegaConf.is_config(node[key]) else node[key]
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


def explain(error: Exception) -> str | None:
    """Turn a user's mistake into one sentence, with the nearest match; return None for a bug of ours.

    Args:
        error: what ended the run: a ``UserError``, or what Hydra, OmegaConf, the YAML reader and Lightning raise when
            the configuration is wrong.
    """
    if isinstance(error, UserError):
        return error.sentence
    cause: BaseException = error
    while isinstance(cause, ConfigCompositionException) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, MissingConfigException) and cause.missing_cfg_file:
        return _explain_missing_file(cause)
    if isinstance(cause, YAMLError):
        return f"Broken YAML: {_one_line(cause)}."
    if isinstance(cause, OverrideParseException):
        return (
            f"'{cause.override}' on the command line cannot be read. Write key=value, and quote a value that holds"
            " spaces, commas or brackets twice: 'key=\"a b\"'."
        )
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _explain_key(cause)
    if isinstance(cause, HydraException | OmegaConfBaseException) or _is_misconfiguration(error):
        return _one_line(error) + "."
    return None


def _is_misconfiguration(error: Exception) -> bool:
    # Lightning's word for contradictory Trainer settings; by name, because importing Lightning takes seconds.
    return any(kind.__name__ == "MisconfigurationException" for kind in type(error).__mro__)


def _explain_missing_file(error: MissingConfigException) -> str:
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    options = sorted(error.options or [])
    choices = f" Choose from: {', '.join(options)}." if options else ""
    return f"There is no {group or 'configuration'} '{name}'.{did_you_mean(name, options)}{choices}"


def _explain_key(error: OmegaConfBaseException) -> str:
    full_key = str(error.full_key)
    if isinstance(error, ValidationError):
        return f"{full_key}: {str(error).splitlines()[0]}."
    if isinstance(error, InterpolationToMissingValueError):
        return _no_value(str(error).splitlines()[0].rpartition(" ")[2].rstrip("."))
    if isinstance(error, InterpolationResolutionError):
        return f"{full_key} cannot be resolved: {str(error).splitlines()[0]}."
    parent, _, key = full_key.rpartition(".")
    siblings: list[str] = []
    if isinstance(error.parent_node, DictConfig):
        siblings = [str(name) for name in error.parent_node]
    hint = did_you_mean(key, siblings) or (
        f" {parent or 'The configuration'} has {', '.join(siblings)}." if siblings else ""
    )
    return f"There is no setting '{full_key}'.{hint}"


def _no_value(key: str) -> str:
    return f"{key} has no value. Give one: {key}=..."


def _one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)).strip().rstrip(".")
