"""Load pretrained backbone weights by name or from a file."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from filelock import FileLock
from torch import Tensor

from celeba_lab.console import Progress
from celeba_lab.engine.torch_files import OldFormatError, UnreadableFileError, read_torch_file
from celeba_lab.errors import SettingError, UserError, did_you_mean, enumerate_names
from celeba_lab.files import file_fault
from celeba_lab.models.checkpoint_format import DamagedError, check_content, is_state_dict
from celeba_lab.models.classifier.backbones import check_backbone_name, list_weights


def fetch_weights(
    weights: str | None, backbone: str, setting: str = "weights"
) -> tuple[Mapping[str, Tensor] | None, str]:
    """Load pretrained weights for a backbone.

    Args:
        weights: ``auto`` for ImageNet weights, with random weights as a fallback; the name of torchvision weights for
            this backbone, such as ``IMAGENET1K_V1`` or ``DEFAULT``; the path to a state dict or classifier checkpoint;
            or None for random weights.
        backbone: Name of the backbone.
        setting: Name of the setting that specifies the weights, for use in error messages.

    Returns:
        The state dict (None for random weights) and a short description of the weights' origin.

    Raises:
        SettingError: The backbone is unknown, or the weights could not be loaded from the given name or path.
    """
    check_backbone_name(backbone)
    if weights is None:
        return None, "random weights (model.weights=null)"
    if weights == "auto":
        try:
            return _download(backbone, "DEFAULT", setting), "ImageNet weights (torchvision DEFAULT)"
        except (OSError, RuntimeError) as error:
            return None, f"RANDOM weights: the ImageNet weights could not be downloaded ({_reason(error)})"
        except UserError:  # torchvision has no weights for user-registered backbones.
            return None, f"RANDOM weights: torchvision has no weights for {backbone}"
    if not _is_name(weights):
        return _read(Path(weights), setting), str(weights)
    try:
        return _download(backbone, weights, setting), f"torchvision {weights}"
    except (OSError, RuntimeError) as error:
        hint = "Check the network connection, or specify the path to a state dict."
        hint += " To start from random weights, set model.weights=null." if setting == "weights" else ""
        raise SettingError(setting, weights, f"could not be downloaded ({_reason(error)})", hint) from error


def check_weights_name(weights: str | None, backbone: str, setting: str = "weights") -> None:
    """Check that weights specified by name exist in torchvision, without downloading them.

    Args:
        weights: See :func:`fetch_weights`. Paths, ``auto`` and None are not checked.
        backbone: Name of a known backbone.
        setting: Name of the setting, used in the error message.

    Raises:
        SettingError: torchvision does not have any weights with this name for the backbone.
    """
    if weights is not None and weights != "auto" and _is_name(weights):
        _find_weights(backbone, weights, setting)


def _is_name(weights: str) -> bool:
    """Return whether weights are specified by name, such as ``MobileNet_V2_Weights.IMAGENET1K_V1``, and not by path."""
    has_prefix = weights.partition(".")[0].endswith("_Weights")
    return not Path(weights).exists() and (has_prefix or not Path(weights).suffix)


def _reason(error: BaseException) -> str:
    return str(error.reason) if isinstance(error, URLError) else str(error) or type(error).__name__


def _find_weights(backbone: str, name: str, setting: str) -> Any:
    choices = list_weights(backbone)
    name = name.rpartition(".")[2]
    if name not in choices:
        rule = f"is neither a file nor the name of torchvision weights for {backbone}"
        available = enumerate_names(choices) if choices else "none"
        raise SettingError(setting, name, rule, f"{did_you_mean(name, choices)} Available weights: {available}.")
    return choices[name]


def _download(backbone: str, name: str, setting: str) -> Mapping[str, Tensor]:
    weights = _find_weights(backbone, name, setting)
    megabytes = weights.meta.get("_file_size")
    size = "" if megabytes is None else f" ({megabytes:.0f} MB)"
    # torchvision's own progress bar would interfere with this progress line and clutter log files.
    name = PurePosixPath(urlparse(weights.url).path).name
    with short_timeout(), Progress(f"downloading the weights of {backbone}{size}"), downloading(name):
        state_dict: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    return state_dict


@contextmanager
def downloading(name: str) -> Iterator[None]:
    """Within this block, no other process downloads a file. The others wait and then use the same file.

    Runs that start at the same time, such as jobs of a sweep, would otherwise each download it.

    Args:
        name: Name of the file in the folder in which torch keeps downloaded weights.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", name)
    if path.is_file():
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        yield


@contextmanager
def short_timeout() -> Iterator[None]:
    """Within this block, connections time out after ten seconds.

    A network that drops packets would otherwise block the run for minutes.
    """
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)


def _read(path: Path, setting: str) -> Mapping[str, Tensor]:
    if (fault := file_fault(path)) is not None:
        raise SettingError(setting, str(path), fault, "Check the path.")
    try:
        content = read_torch_file(path)
    except OldFormatError as error:
        raise SettingError(setting, str(path), str(error), error.hint) from error
    except UnreadableFileError as error:
        hint = "Create a state dict with torch.save(model.state_dict(), path)."
        raise SettingError(setting, str(path), f"is not a state dict that torch can read ({error})", hint) from error
    if isinstance(content, Mapping) and "state_dict" in content:  # The file is a classifier checkpoint.
        return _backbone_weights(content, path, setting)
    if not is_state_dict(content):
        raise SettingError(setting, str(path), "does not contain a state dict, which maps names to tensors")
    weights: Mapping[str, Tensor] = content
    return weights


def _backbone_weights(checkpoint: Mapping[str, Any], path: Path, setting: str) -> dict[str, Tensor]:
    try:
        # Checkpoints of other projects can lack hyperparameters, which are not used here.
        check_content({"hyper_parameters": {}} | dict(checkpoint))
    except DamagedError as error:
        raise SettingError(setting, str(path), f"is damaged ({error})", "Use another file.") from error
    prefix = "backbone.network."
    weights = checkpoint["state_dict"]
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
