"""Pretrained weights of a backbone, by name or from a file."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from torch import Tensor

from celeba_lab.engine.torch_files import UnreadableFileError, read_torch_file
from celeba_lab.errors import SettingError, UserError, did_you_mean, enumerate_names
from celeba_lab.models.classifier.backbones import check_backbone_name, list_weights


def fetch_weights(
    weights: str | None, backbone: str, setting: str = "weights"
) -> tuple[Mapping[str, Tensor] | None, str]:
    """Find pretrained weights for a backbone.

    Args:
        weights: ``auto`` for ImageNet weights if they can be loaded, else none; one of torchvision's names for the
            weights of this backbone, such as ``IMAGENET1K_V1`` or ``DEFAULT``; the path of a state dict or of a
            checkpoint of a classifier; or None.
        backbone: Name of the backbone.
        setting: Name of the setting that gives the weights, for errors.

    Returns:
        The state dict, or None for random weights; and the origin of the weights in a few words.

    Raises:
        SettingError: The backbone is unknown, or weights with a name or path could not be loaded.
    """
    check_backbone_name(backbone)
    if weights is None:
        return None, "random weights (model.weights=null)"
    if weights == "auto":
        try:
            return _download(backbone, "DEFAULT", setting), "ImageNet weights (torchvision DEFAULT)"
        except (OSError, RuntimeError) as error:
            return None, f"RANDOM weights: the ImageNet weights could not be downloaded ({_reason(error)})"
        except UserError:  # for a registered backbone
            return None, f"RANDOM weights: torchvision has none for {backbone}"
    is_name = weights.partition(".")[0].endswith("_Weights")  # as in MobileNet_V2_Weights.IMAGENET1K_V1
    if Path(weights).exists() or (Path(weights).suffix and not is_name):
        return _read(Path(weights), setting), str(weights)
    try:
        return _download(backbone, weights, setting), f"torchvision {weights}"
    except (OSError, RuntimeError) as error:
        hint = "Connect to the network, or name the path of a state dict."
        hint += " To start from random weights, set it to null." if setting == "weights" else ""
        raise SettingError(setting, weights, f"could not be downloaded ({_reason(error)})", hint) from error


def _reason(error: BaseException) -> str:
    return str(error.reason) if isinstance(error, URLError) else str(error) or type(error).__name__


def _download(backbone: str, name: str, setting: str) -> Mapping[str, Tensor]:
    choices = list_weights(backbone)
    name = name.rpartition(".")[2]
    if name not in choices:
        rule = f"is neither a file nor the name of torchvision's weights for {backbone}"
        known = f" It has {enumerate_names(choices)}." if choices else " It has none."
        raise SettingError(setting, name, rule, did_you_mean(name, choices) + known)
    with short_timeout():
        state_dict: Mapping[str, Tensor] = choices[name].get_state_dict(progress=True, check_hash=True)
    return state_dict


@contextmanager
def short_timeout() -> Iterator[None]:
    """Give up connections after ten seconds; a network that drops packets would otherwise block for minutes."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)


def _read(path: Path, setting: str) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise SettingError(setting, str(path), "does not exist", "Check the path.")
    try:
        content = read_torch_file(path)
    except UnreadableFileError as error:
        hint = "Save one with torch.save(model.state_dict(), path)."
        raise SettingError(setting, str(path), f"is not a state dict that torch can read ({error})", hint) from error
    if isinstance(content, Mapping) and "state_dict" in content:  # a checkpoint of a classifier
        prefix = "backbone.network."
        content = {
            key.removeprefix(prefix): value for key, value in content["state_dict"].items() if key.startswith(prefix)
        }
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise SettingError(setting, str(path), "does not hold a state dict, which maps names to tensors")
    return content
