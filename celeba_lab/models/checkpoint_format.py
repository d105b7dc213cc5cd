"""Model kind, format version and content of checkpoints."""

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

FORMAT = 1
"""Version of the checkpoint format. Checkpoints with a higher version cannot be read by this version of celeba_lab."""

KEY = "celeba_lab"
"""Key under which a checkpoint stores its model kind and format version."""


def mark_checkpoint(checkpoint: dict[str, Any], kind: str, **facts: str) -> None:
    """Store the model kind and the format version in a checkpoint.

    Args:
        checkpoint: Checkpoint that Lightning is about to save.
        kind: Model kind, ``classifier`` or ``gan``.
        **facts: More facts about the model.

    Example:
        >>> checkpoint = {}
        >>> mark_checkpoint(checkpoint, "gan")
        >>> checkpoint
        {'celeba_lab': {'kind': 'gan', 'format': 1}}
    """
    checkpoint[KEY] = {"kind": kind, "format": FORMAT, **facts}


def is_count(value: Any) -> bool:
    """Return whether a value in a checkpoint is a number of steps, epochs or batches that Lightning can store.

    Example:
        >>> [is_count(value) for value in (3, -1, 10**30, 2.0, True)]
        [True, False, False, False, False]
    """
    return type(value) is int and 0 <= value < 2**62


class DamagedError(Exception):
    """Raised if a checkpoint's content has the wrong types. The message is a short description of the fault."""


def is_state_dict(value: Any) -> TypeGuard[Mapping[str, Tensor]]:
    """Return whether a value maps names to dense tensors that hold all their numbers.

    A few bytes in a file can otherwise describe a tensor of any size.

    Example:
        >>> weight = torch.zeros(1)
        >>> [is_state_dict({"weight": tensor}) for tensor in (weight, weight.expand(10**9), weight.to("meta"))]
        [True, False, False]
    """
    return _maps_names(value) and all(map(_is_plain, value.values()))


def _is_plain(value: Any) -> bool:
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type == "meta":
        return False
    if value.is_quantized or value.is_complex():
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def check_content(content: Mapping[str, Any]) -> None:
    """Check the types of everything in a checkpoint that celeba_lab itself reads.

    Args:
        content: Content of a checkpoint, with at least a state dict and hyperparameters.

    Raises:
        DamagedError: A part of the checkpoint is missing or has the wrong type.

    Example:
        >>> check_content({"state_dict": {"weight": 1}, "hyper_parameters": {}})
        Traceback (most recent call last):
        ...
        celeba_lab.models.checkpoint_format.DamagedError: state_dict does not map names to tensors
    """
    state, settings, mark = content["state_dict"], content["hyper_parameters"], content.get(KEY, {})
    if not is_state_dict(state):
        raise DamagedError("state_dict does not map names to tensors")
    if not _maps_names(settings):
        raise DamagedError("hyper_parameters does not map names to values")
    if not _maps_names(mark) or not isinstance(mark.get("format", 0), int) or not isinstance(mark.get("kind", ""), str):
        raise DamagedError(f"{KEY} does not contain a kind and a format")
    if KEY in content and not {"kind", "format"} <= mark.keys():
        raise DamagedError(f"{KEY} does not contain a kind and a format")
    for name in ("epoch", "global_step"):
        if not is_count(content.get(name, 0)):
            raise DamagedError(f"{name} is not a number of steps")
    labels = content.get("training_labels")
    if labels is not None and not (isinstance(labels, Tensor) and labels.dtype == torch.uint8 and labels.ndim == 2):
        raise DamagedError("training_labels is not a table of bytes")
    if not isinstance(content.get("trained_on"), str | None):
        raise DamagedError("trained_on is not a name")


def check_fit(build: Callable[[], nn.Module], weights: Mapping[str, Tensor]) -> None:
    """Check that weights fit a network, without using any memory for the network.

    The settings in a file determine the size of the network, which could exceed the memory of the computer.

    Args:
        build: Function that builds the network.
        weights: State dict of the network.

    Raises:
        RuntimeError: A name or a shape in ``weights`` differs from those of the network.

    Example:
        >>> weights = nn.Linear(10, 10).state_dict()
        >>> check_fit(lambda: nn.Linear(10, 10), weights)
        >>> check_fit(lambda: nn.Linear(10**6, 10**6), weights)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        RuntimeError: Error(s) in loading state_dict for Linear:
        ...
    """
    try:
        with torch.device("meta"):
            network = build()
    except NotImplementedError:  # The network computes its own shapes with tensors, as RegNet does.
        return
    except RuntimeError as error:
        if "meta tensor" not in str(error):
            raise
        return  # A part that the user has registered, such as a loss, reads the values of its tensors.
    network.load_state_dict(weights, assign=True)  # Without assign, torch would warn that it does not copy anything.


def _maps_names(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
