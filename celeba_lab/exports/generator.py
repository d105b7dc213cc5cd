"""A generator in a safetensors file."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from celeba_lab.errors import SettingError, UserError, check_choice
from celeba_lab.files import write_atomically
from celeba_lab.models.gan.networks import Generator
from celeba_lab.models.gan.sampler import FaceSampler

# The moving average of a generator's weights, where there is one, or the last weights.
WEIGHTS = ("ema", "raw")
"""Weights of a generator, which are their moving average or those of the last step."""


def check_weights(weights: str) -> None:
    """Check that ``weights`` is one of :data:`WEIGHTS`.

    Raises:
        SettingError: It is not.
    """
    check_choice("weights", weights, WEIGHTS)


EXPORT_SUFFIX = ".safetensors"
_FORMAT = "celeba_lab generator 1"
_LABELS = "training_labels"  # name of a tensor with eight labels in each byte


def export_sampler(sampler: FaceSampler, path: Path) -> None:
    """Write a generator, and the settings that are needed to build it again, to a safetensors file."""
    network = sampler.network
    settings = {name: getattr(network, name) for name in ("image_size", "latent_size", "width")}
    tensors = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    if sampler.attributes:
        tensors[_LABELS] = torch.from_numpy(np.packbits(sampler.labels, axis=1))
    configuration = {
        "settings": settings,
        "attributes": sampler.attributes,
        "trained_on": sampler.trained_on,
        "weights": sampler.weights,
    }
    metadata = {"format": _FORMAT, "configuration": json.dumps(configuration)}
    write_atomically(path, lambda file: file.write(safetensors_bytes(tensors, metadata)))


def read_export(path: Path, weights: str = "ema") -> FaceSampler:
    """Read a generator from a file that :func:`export_sampler` wrote.

    Args:
        path: Path of the file.
        weights: One of :data:`WEIGHTS`.

    Raises:
        UserError: The file cannot be read, holds something else, or holds the average while ``weights`` is ``raw``.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is not a dict
    except SafetensorError as error:
        rule = f"could not be read ({error}), because it is damaged or not a safetensors file"
        raise SettingError("checkpoint", str(path), rule, is_absolute=True) from error
    if metadata.get("format") != _FORMAT:
        hint = "Export one with task=export."
        raise SettingError("checkpoint", str(path), "is not a generator from task=export", hint, is_absolute=True)
    configuration = json.loads(metadata["configuration"])
    if weights == "raw" != configuration["weights"]:
        raise UserError(
            f"checkpoint={path} holds only the average of the weights. Export the last weights with task=export"
            " weights=raw."
        )
    attributes = configuration["attributes"]
    packed = tensors.pop(_LABELS, torch.empty((0, 0), dtype=torch.uint8)).numpy()
    labels = np.unpackbits(packed, axis=1, count=len(attributes)) if attributes else packed
    network = Generator(**configuration["settings"], num_attributes=len(attributes))
    network.load_state_dict(tensors)
    network.to(memory_format=torch.channels_last)
    return FaceSampler(network.eval(), attributes, labels, configuration["trained_on"], configuration["weights"])
