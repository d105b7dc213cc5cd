"""A classifier before its training, with its first weights, and after it, at its best checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig

from celeba_lab.config import build
from celeba_lab.console import console
from celeba_lab.engine.build import find_callback
from celeba_lab.engine.callbacks import EpochLog
from celeba_lab.engine.checkpoints import load_classifier, read_checkpoint
from celeba_lab.engine.pretrained import fetch_weights
from celeba_lab.engine.resume import Resumable
from celeba_lab.errors import UserError, settings_of
from celeba_lab.models.classifier.module import AttributeClassifier


def build_classifier(
    model: DictConfig, prevalence: Sequence[float], resumable: Resumable | None = None
) -> tuple[AttributeClassifier, str]:
    """Build a classifier with the weights that its training starts from, and print their origin.

    Args:
        model: The group ``model`` of the configuration.
        prevalence: Fraction of the training faces that have each of the K attributes.
        resumable: The checkpoint from which training continues. Lightning will load its weights.

    Returns:
        The classifier, and the origin of its weights.

    Raises:
        UserError: The weights cannot be loaded.
    """
    given: dict[str, Any] = {"prevalence": list(prevalence)}
    if resumable is not None:
        state_dict, origin = None, f"continued from {resumable.path}"
        given["freeze"] = resumable.hyperparameters["freeze"]  # The layers that were frozen stay frozen.
    else:
        with settings_of("model", is_absolute=True):
            state_dict, origin = fetch_weights(model.weights, model.backbone)
        if state_dict is None:
            given["freeze"] = 0.0  # Random layers have to be trained.
    classifier: AttributeClassifier = build(model, **given)
    if state_dict is not None:
        with settings_of("model", is_absolute=True):
            classifier.load_pretrained(state_dict, origin)
    console.print(f"weights: {origin}", style="bold yellow" if origin.startswith("RANDOM") else None)
    return classifier, origin


def check_unfreezing(model: AttributeClassifier, trainer: L.Trainer) -> None:
    """Check that no layers are unfrozen during the training of several processes.

    Raises:
        UserError: They are.
    """
    epoch = model.hparams["unfreeze_epoch"]
    if trainer.world_size > 1 and epoch is not None:
        raise UserError(
            f"model.unfreeze_epoch={epoch} and {trainer.world_size} processes contradict each other: the layers that"
            " are unfrozen later would not be synchronised. Train with trainer.devices=1, or freeze nothing."
        )


@dataclass(frozen=True)
class TrainedClassifier:
    """What a training leaves: the best checkpoint, or the last weights if no checkpoint was written.

    Attributes:
        model: The classifier.
        checkpoint: Path of the best checkpoint, or None.
        epoch: Epoch of the weights, counted from 1.
        log: Metrics of every epoch.
    """

    model: AttributeClassifier
    checkpoint: Path | None
    epoch: int
    log: EpochLog

    @property
    def training_metrics(self) -> dict[str, float]:
        """The metrics ``train/*`` of the epoch, which were measured while the weights changed."""
        row = self.log.rows.get(self.epoch, {})
        return {name: value for name, value in row.items() if name.startswith("train/")}


def load_best(trainer: L.Trainer, model: AttributeClassifier) -> TrainedClassifier:
    """Load the checkpoint with the best monitored metric.

    Args:
        trainer: The Trainer after the fit.
        model: The classifier after the fit, which is returned where there is no checkpoint, as with ``fast_dev_run``.
    """
    log = find_callback(trainer, EpochLog) or EpochLog()
    paths = [
        callback.best_model_path
        for callback in trainer.checkpoint_callbacks
        if isinstance(callback, ModelCheckpoint) and callback.monitor
    ]
    if not paths or not paths[0]:
        return TrainedClassifier(model, None, max(log.rows, default=1), log)
    best = load_classifier(paths[0], "report the best checkpoint")
    epoch = read_checkpoint(paths[0], "find its epoch")["epoch"] + 1
    return TrainedClassifier(best, Path(paths[0]), epoch, log)
