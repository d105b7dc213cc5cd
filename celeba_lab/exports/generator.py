"""Read and write generators as safetensors files."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from celeba_lab.errors import SettingError, check_choice
from celeba_lab.files import write_atomically
from celeba_lab.models.gan.networks import Generator
from celeba_lab.models.gan.sampler import FaceSampler

GENERATOR_WEIGHTS = ("ema", "raw")
"""Types of generator weights: the moving average (``ema``) or the weights of the last step (``raw``)."""
EXPORT_SUFFIX = ".safetensors"
_FORMAT = "celeba_lab generator 1"
_LABELS = "training_labels"  # name of the tensor that stores eight labels per byte


def check_generator_weights(generator_weights: str) -> None:
    """Check that ``generator_weights`` is one of :data:`GENERATOR_WEIGHTS`.

    Raises:
        SettingError: The value is neither ``ema`` nor ``raw``.
    """
    check_choice("generator_weights", generator_weights, GENERATOR_WEIGHTS)


def export_sampler(sampler: FaceSampler, path: Path) -> None:
    """Write a generator to a safetensors file, together with the settings needed to rebuild it."""
    network = sampler.network
    settings = {name: getattr(network, name) for name in ("image_size", "latent_size", "width")}
    tensors = {name: value.contiguous().cpu() for name, value in network.state_dict().items()}
    if sampler.attributes:
        tensors[_LABELS] = torch.from_numpy(np.packbits(sampler.labels, axis=1))
    configuration = {
        "settings": settings,
        "attributes": sampler.attributes,
        "trained_on": sampler.trained_on,
        "weights": sampler.generator_weights,
    }
    metadata = {"format": _FORMAT, "configuration": json.dumps(configuration)}
    write_atomically(path, lambda file: file.write(safetensors_bytes(tensors, metadata)))


def read_export(path: Path, generator_weights: str = "ema") -> FaceSampler:
    """Read a generator from a file written by :func:`export_sampler`.

    Args:
        path: Path to the file.
        generator_weights: One of :data:`GENERATOR_WEIGHTS`.

    Raises:
        SettingError: The file cannot be read, is not an exported generator, or does not contain the requested weights.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except SafetensorError as error:
        rule = f"is damaged or is not a safetensors file ({error})"
        raise SettingError("checkpoint", str(path), rule, is_absolute=True) from error
    if metadata.get("format") != _FORMAT:
        hint = "Export the generator from its checkpoint again."
        raise SettingError("checkpoint", str(path), "is not an exported generator", hint, is_absolute=True)
    configuration = json.loads(metadata["configuration"])
    if generator_weights == "raw" != configuration["weights"]:
        rule = f"cannot be used, because {path} contains only the averaged weights"
        hint = "Export the generator again with this setting."
        raise SettingError("generator_weights", generator_weights, rule, hint)
    attributes = configuration["attributes"]
    packed = tensors.pop(_LABELS, torch.empty((0, 0), dtype=torch.uint8)).numpy()
    labels = np.unpackbits(packed, axis=1, count=len(attributes)) if attributes else packed
    network = Generator(**configuration["settings"], num_attributes=len(attributes))
    network.load_state_dict(tensors)
    network.to(memory_format=torch.channels_last)
    return FaceSampler(network.eval(), attributes, labels, configuration["trained_on"], configuration["weights"])
