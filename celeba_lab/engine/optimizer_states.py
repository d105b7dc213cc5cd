"""Check the restored states of optimizers before the first training step.

torch does not compare a restored state with the network, and its fused kernels read as many numbers from a state as the
parameter has. A state that is too small would therefore be read and written beyond its end.
"""

import math
from collections.abc import Iterable, Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from celeba_lab.models.optimization import IMPLEMENTATIONS

# Entries of a parameter group that are not settings.
_PARAMETERS = ("params", "param_names")
# Length of each dimension of the small parameters from which the shapes of a state are learned.
_SIDE = 2


def check_optimizers(optimizers: Iterable[Optimizer]) -> None:
    """Check that the states and settings of optimizers are such as the optimizers themselves would create.

    Args:
        optimizers: Optimizers whose state has been restored from a checkpoint.

    Raises:
        TypeError: A value has the wrong type.
        ValueError: A tensor has the wrong shape or layout, a number is not finite, or an entry is missing.
    """
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            _check_group(group, optimizer.defaults)
        is_fused = any(group.get("fused") for group in optimizer.param_groups)
        known = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        models: dict[tuple[Any, ...], Mapping[str, Any] | None] = {}
        for parameter, state in optimizer.state.items():
            if parameter not in known or not isinstance(state, Mapping):
                raise ValueError("an optimizer has a state that does not belong to a parameter")
            kind = (parameter.ndim, parameter.dtype, parameter.device)
            if kind not in models:
                models[kind] = _model_state(optimizer, parameter)
            if state:
                _check_state(state, parameter, models[kind], is_fused)


def _check_group(group: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    for name, default in defaults.items():
        if name not in group:
            if name == "differentiable":  # torch adds this default only while it restores a state.
                continue
            raise ValueError(f"an optimizer lacks {name}")
        value = group[name]
        is_known = value is None or isinstance(value, bool) if name in IMPLEMENTATIONS else _is_like(value, default)
        if not is_known:
            raise TypeError(f"{name} of an optimizer is {_describe(value)}, unlike {_describe(default)}")
    for name in group.keys() - defaults.keys() - set(_PARAMETERS):  # A schedule adds initial_lr, for example.
        is_name = name == "name" and isinstance(group[name], str)  # LearningRateMonitor shows it.
        if not is_name and not _is_finite(group[name]):
            raise TypeError(f"{name} of an optimizer is {_describe(group[name])}, not a finite number")


def _is_like(value: Any, default: Any) -> bool:
    """Return whether a setting has the type of its default, which is equal if it is not a number."""
    if isinstance(default, tuple | list):
        return isinstance(value, tuple | list) and len(value) == len(default) and all(map(_is_like, value, default))
    if isinstance(default, int | float) and not isinstance(default, bool):
        return _is_finite(value)
    if isinstance(default, Tensor):
        return _is_finite(value) or (isinstance(value, Tensor) and value.shape == default.shape)
    return type(value) is type(default) and bool(value == default)


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= 2**62 and math.isfinite(value)


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and type {value.dtype}"
    return repr(value)[:50]


def _model_state(optimizer: Optimizer, parameter: Tensor) -> Mapping[str, Any] | None:
    """Return the state that an optimizer creates in its first step for a small parameter, or None if it cannot.

    Args:
        optimizer: The optimizer.
        parameter: Parameter whose number of dimensions, type and device the small parameter has.
    """
    small = nn.Parameter(torch.zeros([_SIDE] * parameter.ndim, dtype=parameter.dtype, device=parameter.device))
    small.grad = torch.zeros_like(small)
    known = signature(type(optimizer)).parameters
    try:
        twin: Any = type(optimizer)([small], **{k: value for k, value in optimizer.defaults.items() if k in known})
        twin.step()
    except Exception:  # LBFGS requires a closure, and an optimizer of the user may require other arguments.
        return None
    state: Mapping[str, Any] = twin.state[small]
    return state


def _check_state(state: Mapping[str, Any], parameter: Tensor, model: Mapping[str, Any] | None, is_fused: bool) -> None:
    """Compare the state of one parameter with the state of a small parameter."""
    if model is not None and state.keys() != model.keys():
        raise ValueError(f"a state of an optimizer contains {_names(state)} instead of {_names(model)}")
    for name, value in state.items():
        expected = None if model is None else model[name]
        if isinstance(expected, Tensor) and not isinstance(value, Tensor):
            raise TypeError(f"{name} of an optimizer is {_describe(value)}, not a tensor")
        if isinstance(value, Tensor):
            _check_tensor(name, value, parameter, expected, is_fused)
        elif not _is_finite(value) and (model is not None and not _is_like(value, expected)):
            raise TypeError(f"{name} of an optimizer is {_describe(value)}, unlike {_describe(expected)}")


def _names(state: Mapping[str, Any]) -> str:
    return ", ".join(sorted(map(str, state)))[:100] or "nothing"


def _check_tensor(name: str, value: Tensor, parameter: Tensor, expected: Any, is_fused: bool) -> None:
    if isinstance(expected, Tensor):
        # A state has the shape of its parameter, or the length 1 in some dimensions, or is a single number.
        lengths = zip(expected.shape, parameter.shape, strict=False)
        shape = tuple(length if side == _SIDE else side for side, length in lengths)
        is_fitting = value.shape == shape
    elif is_fused:  # Fused kernels do not compare shapes.
        is_fitting = value.ndim == 0 or value.shape == parameter.shape
    else:
        is_fitting = value.ndim <= parameter.ndim and _is_broadcastable(value.shape, parameter.shape)
    if not is_fitting or not value.is_floating_point() or (value.ndim and value.dtype != parameter.dtype):
        raise ValueError(
            f"{name} of an optimizer is {_describe(value)}, for a parameter of shape {tuple(parameter.shape)} and type"
            f" {parameter.dtype}"
        )
    if value.layout != torch.strided or value.is_meta or not _is_dense(value):
        raise ValueError(f"{name} of an optimizer is not a dense tensor")
    if value.ndim == 0 < parameter.ndim and not _is_finite(value.item()):
        raise ValueError(f"{name} of an optimizer is not finite")


def _is_broadcastable(shape: torch.Size, target: torch.Size) -> bool:
    return all(one in (1, other) for one, other in zip(reversed(shape), reversed(target), strict=False))


def _is_dense(tensor: Tensor) -> bool:
    """Return whether the elements fill a block of memory without overlaps, in any order of the dimensions."""
    expected = 1
    for stride, length in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if length > 1:
            if stride != expected:
                return False
            expected *= length
    return True
