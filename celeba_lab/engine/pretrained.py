"""Pretrained weights of a backbone, by name or from a file."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from celeba_lab.errors import UserError, did_you_mean, enumerate_names
from celeba_lab.models.classifier.backbones import check_backbone_name, list_weights


def fetch_weights(
    weights: str | None, backbone: str, setting: str = "model.weights"
) -> tuple[Mapping[str, Tensor] | None, str]:
    """Find pretrained weights for a backbone.

    Args:
        weights: ``auto`` (ImageNet weights where they can be had, else none), a name among torchvision's weights for
            this backbone such as ``IMAGENET1K_V1`` or ``DEFAULT`` (must be had), the path of a state dict or of a
            checkpoint of ours (must be there), or None.
        backbone: the torchvision name.
        setting: what errors call the first.

    Returns:
        The state dict, or None for a random start, and one phrase that says which it is.

    Raises:
        UserError: weights asked for by name or path cannot be had.
    """
    check_backbone_name(backbone)
    if weights is None:
        return None, "random weights (model.weights=null)"
    if weights == "auto":
        try:
            return _download(backbone, "DEFAULT", setting), "ImageNet weights (torchvision DEFAULT)"
        except (OSError, RuntimeError) as error:
            return None, f"RANDOM weights: the ImageNet weights could not be downloaded ({_reason(error)})"
        except UserError:  # a backbone registered by the user
            return None, f"RANDOM weights: torchvision has none for {backbone}"
    is_name = weights.partition(".")[0].endswith("_Weights")  # as in MobileNet_V2_Weights.IMAGENET1K_V1
    if Path(weights).exists() or (Path(weights).suffix and not is_name):
        return _read(Path(weights), setting), str(weights)
    try:
        return _download(backbone, weights, setting), f"torchvision {weights}"
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{setting}={weights} could not be downloaded ({_reason(error)}). Connect to the network, or give the path"
            " of a state dict." + (" model.weights=null starts from random ones." if setting == "model.weights" else "")
        ) from error


def _reason(error: BaseException) -> str:
    return str(error.reason) if isinstance(error, URLError) else str(error) or type(error).__name__


def _download(backbone: str, name: str, setting: str) -> Mapping[str, Tensor]:
    choices = list_weights(backbone)
    name = name.rpartition(".")[2]
    if name not in choices:
        raise UserError(
            f"{setting}={name}: torchvision has no such weights for {backbone}, and there is no such file."
            f"{did_you_mean(name, choices)} It has {enumerate_names(choices) or 'none'}."
        )
    with short_timeout():
        return choices[name].get_state_dict(progress=True, check_hash=True)


@contextmanager
def short_timeout() -> Iterator[None]:
    """Give up a connection after ten seconds: a network that drops packets would otherwise keep us for minutes."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)


def _read(path: Path, setting: str) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise UserError(f"{setting}={path}: there is no such file. Check the path.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen unrelated types for a file that is not its own
        raise UserError(
            f"{setting}={path} is not a state dict that torch can read safely ({type(error).__name__})."
            " Save one with torch.save(model.state_dict(), path)."
        ) from error
    if isinstance(content, Mapping) and "state_dict" in content:  # a checkpoint of ours
        prefix = "backbone.network."
        content = {
            key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)
        }
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{setting}={path} holds no state dict (a mapping from names to tensors).")
    return content
