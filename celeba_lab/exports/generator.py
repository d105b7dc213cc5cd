"""A generator as one safetensors file."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from celeba_lab.errors import UserError, did_you_mean
from celeba_lab.files import write_atomically
from celeba_lab.models.gan.networks import Generator
from celeba_lab.models.gan.sampler import FaceSampler

# Which of a generator's weights draw: their average where there is one, or the last ones.
WEIGHTS = ("ema", "raw")


def check_weights(weights: str) -> None:
    """Raise UserError unless ``task.weights`` is one of :data:`WEIGHTS`."""
    if weights not in WEIGHTS:
        raise UserError(f"task.weights={weights} must be one of {', '.join(WEIGHTS)}.{did_you_mean(weights, WEIGHTS)}")


EXPORT_SUFFIX = ".safetensors"
_FORMAT = "celeba_lab generator 1"
_LABELS = "training_labels"  # beside the tensors of the network, eight labels to a byte


def export_sampler(sampler: FaceSampler, path: Path) -> None:
    """Write a generator alone, with what it takes to build it again, as one safetensors file."""
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
    """Read a generator from a file of :func:`export_sampler`.

    Args:
        path: the file.
        weights: one of :data:`WEIGHTS`; ``raw`` is refused if the file holds the average.

    Raises:
        UserError: the file cannot be read, holds something else, or not these weights.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except SafetensorError as error:
        raise UserError(f"checkpoint={path} cannot be read: it is damaged or no safetensors file ({error}).") from error
    if metadata.get("format") != _FORMAT:
        raise UserError(f"checkpoint={path} holds no generator that was exported here. Export one: task=export.")
    configuration = json.loads(metadata["configuration"])
    if weights == "raw" != configuration["weights"]:
        raise UserError(
            f"checkpoint={path} holds the averaged weights alone. Export the last ones: task=export task.weights=raw"
        )
    attributes = configuration["attributes"]
    packed = tensors.pop(_LABELS, torch.empty((0, 0), dtype=torch.uint8)).numpy()
    labels = np.unpackbits(packed, axis=1, count=len(attributes)) if attributes else packed
    network = Generator(**configuration["settings"], num_attributes=len(attributes))
    network.load_state_dict(tensors)
    network.to(memory_format=torch.channels_last)
    return FaceSampler(network.eval(), attributes, labels, configuration["trained_on"], configuration["weights"])
