"""Reading checkpoints: what can be wrong with one is said before anything is built on it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes

from celeba_lab.errors import UserError, did_you_mean
from celeba_lab.models.classifier import AttributeClassifier
from celeba_lab.models.dcgan import Generator
from celeba_lab.models.gan import GAN
from celeba_lab.models.sampler import FaceSampler
from celeba_lab.run import write_atomically


def read_checkpoint(path: str | None, purpose: str, usual: str = "best.ckpt") -> dict[str, Any]:
    """Read a checkpoint that Lightning wrote, on the CPU, without running any code in it.

    Args:
        path: the setting ``checkpoint``.
        purpose: what it is wanted for, a verb for the error.
        usual: the name of the file that is usually wanted.

    Raises:
        UserError: it is missing, damaged, or no checkpoint.
    """
    if path is None:
        raise UserError(f"To {purpose}, name a checkpoint: checkpoint=outputs/.../checkpoints/{usual}")
    file = Path(path)
    if file.is_dir():
        raise UserError(f"checkpoint={path} is a folder. Name the file in it: {file / 'checkpoints' / usual}")
    if not file.is_file():
        raise UserError(f"checkpoint={path}: there is no such file. Runs keep theirs in outputs/.../checkpoints/.")
    if file.suffix == _EXPORTED:
        raise UserError(
            f"checkpoint={path} is an exported generator, from which only task=generate can go on. To {purpose}, give a"
            f" checkpoint: outputs/.../checkpoints/{usual}"
        )
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen unrelated types for a file that is not its own
        raise UserError(
            f"checkpoint={path} cannot be read ({file.stat().st_size:,} bytes; {type(error).__name__}):"
            " it is damaged or no checkpoint. Take another one."
        ) from error
    if not isinstance(content, dict) or not {"state_dict", "hyper_parameters"} <= set(content):
        raise UserError(
            f"checkpoint={path} is no Lightning checkpoint with hyperparameters. A bare state dict goes into"
            " model.weights."
        )
    return content


def load_classifier(path: str | None, purpose: str) -> AttributeClassifier:
    """Build the classifier that a checkpoint holds, in evaluation mode.

    Raises:
        UserError: the checkpoint cannot be read, or holds another kind of model.
    """
    check_classifier(read_checkpoint(path, purpose), path, purpose)
    with torch.random.fork_rng(devices=[]):  # it is built with random weights, and a run must not notice
        return AttributeClassifier.load_from_checkpoint(str(path), map_location="cpu", weights_only=True).eval()


def check_classifier(content: dict[str, Any], path: str | None, purpose: str) -> None:
    """Raise UserError unless what :func:`read_checkpoint` returned is an attribute classifier's."""
    if "attributes" not in content["hyper_parameters"] or "head.weight" not in content["state_dict"]:
        raise UserError(
            f"checkpoint={path} holds no attribute classifier. To {purpose}, give one of experiment=attributes."
        )


def load_gan(path: str | None, purpose: str) -> GAN:
    """Build the GAN that a checkpoint holds, in evaluation mode.

    Raises:
        UserError: the checkpoint cannot be read, or holds another kind of model.
    """
    check_gan(read_checkpoint(path, purpose, "last.ckpt"), path, purpose)
    return GAN.load_from_checkpoint(str(path), map_location="cpu", weights_only=True).eval()


def check_gan(content: dict[str, Any], path: str | None, purpose: str) -> None:
    """Raise UserError unless what :func:`read_checkpoint` returned is a GAN's."""
    if "latent_size" not in content["hyper_parameters"]:
        raise UserError(f"checkpoint={path} holds no GAN. To {purpose}, give one of experiment=gan.")


def is_checkpoint(path: Path) -> bool:
    """Return whether a file is a Lightning checkpoint, and not a bare state dict."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # see read_checkpoint
        return False
    return isinstance(content, dict) and "hyper_parameters" in content


# Which of a generator's weights draw: their average where there is one, or the last ones.
WEIGHTS = ("ema", "raw")


def check_weights(weights: str) -> None:
    """Raise UserError unless ``task.weights`` is one of :data:`WEIGHTS`."""
    if weights not in WEIGHTS:
        raise UserError(f"task.weights={weights} must be one of {', '.join(WEIGHTS)}.{did_you_mean(weights, WEIGHTS)}")


_EXPORTED = ".safetensors"
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


def load_sampler(path: str | None, weights: str = "ema") -> FaceSampler:
    """Read a generator from a checkpoint of a GAN or from a file of :func:`export_sampler`.

    Args:
        path: the setting ``checkpoint``.
        weights: one of :data:`WEIGHTS`; ``ema`` means the last ones where there is no average.

    Raises:
        UserError: the file cannot be read, holds something else, or not these weights.
    """
    check_weights(weights)
    if path is None or Path(path).suffix != _EXPORTED or not Path(path).is_file():
        return load_gan(path, "draw faces").sampler(averaged=weights == "ema")
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
