"""Reading checkpoints: what can be wrong with one is said before anything is built on it."""

from pathlib import Path
from typing import Any

import torch

from celeba_lab.errors import UserError
from celeba_lab.models.classifier import AttributeClassifier


def read_checkpoint(path: str | None, purpose: str) -> dict[str, Any]:
    """Read a checkpoint that Lightning wrote, on the CPU, without running any code in it.

    Args:
        path: the setting ``checkpoint``.
        purpose: what it is wanted for, a verb for the error.

    Raises:
        UserError: it is missing, damaged, or no checkpoint.
    """
    if path is None:
        raise UserError(f"To {purpose}, name a checkpoint: checkpoint=outputs/.../checkpoints/best.ckpt")
    file = Path(path)
    if file.is_dir():
        raise UserError(f"checkpoint={path} is a folder. Name the file in it: {file / 'checkpoints' / 'best.ckpt'}")
    if not file.is_file():
        raise UserError(f"checkpoint={path}: there is no such file. Runs keep theirs in outputs/.../checkpoints/.")
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
    content = read_checkpoint(path, purpose)
    if "attributes" not in content["hyper_parameters"] or "head.weight" not in content["state_dict"]:
        raise UserError(f"checkpoint={path} holds no attribute classifier. To {purpose}, give one trained here.")
    return AttributeClassifier.load_from_checkpoint(str(path), map_location="cpu", weights_only=True).eval()
