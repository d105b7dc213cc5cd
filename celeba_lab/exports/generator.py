"""Read and write generators as safetensors files."""

import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any, TypedDict

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from celeba_lab.errors import SettingError, check_choice
from celeba_lab.files import MAX_WEIGHTS_BYTES, check_regular, write_atomically
from celeba_lab.models.checkpoint_format import check_fit
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
        check_regular(path, MAX_WEIGHTS_BYTES)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except (SafetensorError, OSError, ValueError) as error:
        rule = f"is damaged or is not a safetensors file ({error})"
        raise SettingError("checkpoint", str(path), rule, is_absolute=True) from error
    if metadata.get("format") != _FORMAT:
        hint = "Export the generator from its checkpoint again."
        raise SettingError("checkpoint", str(path), "is not an exported generator", hint, is_absolute=True)
    try:
        configuration = _read_configuration(metadata)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        rule = f"is damaged ({type(error).__name__}: {error})"
        raise SettingError("checkpoint", str(path), rule, "Use another file.", is_absolute=True) from error
    if generator_weights == "raw" != configuration["weights"]:
        rule = f"cannot be used, because {path} contains only the averaged weights"
        hint = "Export the generator again with this setting."
        raise SettingError("generator_weights", generator_weights, rule, hint)
    try:
        return _build_sampler(configuration, tensors)
    except Exception as error:  # The file may contain the weights of any network and any settings.
        rule = f"contains weights that do not fit its own settings ({shorten(str(error), 200).rstrip('.')})"
        raise SettingError("checkpoint", str(path), rule, "Use another file.", is_absolute=True) from error


def _read_configuration(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the configuration in a file's metadata.

    Raises:
        ValueError: The configuration is not valid JSON.
        TypeError: A value is missing or has the wrong type.
    """
    configuration = json.loads(metadata["configuration"])
    try:
        check_type(configuration, _Configuration, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError as error:
        raise TypeError(str(error)) from error
    if configuration["weights"] not in GENERATOR_WEIGHTS:
        raise ValueError(f"weights must be one of {', '.join(GENERATOR_WEIGHTS)}")
    checked: dict[str, Any] = configuration
    return checked


class _Configuration(TypedDict):
    settings: dict[str, int]
    attributes: list[str]
    trained_on: str | None
    weights: str


def _build_sampler(configuration: Mapping[str, Any], tensors: dict[str, torch.Tensor]) -> FaceSampler:
    attributes = configuration["attributes"]
    packed = tensors.pop(_LABELS, torch.empty((0, 0), dtype=torch.uint8)).numpy()
    labels = np.unpackbits(packed, axis=1, count=len(attributes)) if attributes else packed
    settings = {**configuration["settings"], "num_attributes": len(attributes)}
    check_fit(lambda: Generator(**settings), tensors)
    network = Generator(**settings)
    network.load_state_dict(tensors)
    network.to(memory_format=torch.channels_last)
    return FaceSampler(network.eval(), attributes, labels, configuration["trained_on"], configuration["weights"])
