"""Reading checkpoints: what can be wrong with one is said before anything is built on it."""

from pathlib import Path
from typing import Any

import torch

from celeba_lab.errors import UserError
from celeba_lab.exports.generator import EXPORT_SUFFIX, check_weights, read_export
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN
from celeba_lab.models.gan.sampler import FaceSampler


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
    if file.suffix == EXPORT_SUFFIX:
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


def load_sampler(path: str | None, weights: str = "ema") -> FaceSampler:
    """Read a generator from a checkpoint of a GAN or from a file of :func:`export_sampler`.

    Args:
        path: the setting ``checkpoint``.
        weights: one of :data:`WEIGHTS`; ``ema`` means the last ones where there is no average.

    Raises:
        UserError: the file cannot be read, holds something else, or not these weights.
    """
    check_weights(weights)
    if path is None or Path(path).suffix != EXPORT_SUFFIX or not Path(path).is_file():
        return load_gan(path, "draw faces").sampler(averaged=weights == "ema")
    return read_export(Path(path), weights)
