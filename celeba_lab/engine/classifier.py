"""Build a classifier with its initial weights, and load its best checkpoint after training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig

from celeba_lab.config import build
from celeba_lab.console import console
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.metric_names import metric_names
from celeba_lab.engine.build import check_precision, find_callback
from celeba_lab.engine.callbacks import EpochLog
from celeba_lab.engine.checkpoints import read_checkpoint, restore_classifier
from celeba_lab.engine.pretrained import check_weights_name, fetch_weights
from celeba_lab.engine.resume import Resumable
from celeba_lab.errors import SettingError, UserError, did_you_mean, settings_of
from celeba_lab.models.classifier.backbones import check_backbone_name
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.optimization import check_optimizer


def check_settings(model: DictConfig, trainer: L.Trainer) -> None:
    """Check the model settings of a classifier as far as possible without reading any data.

    Args:
        model: The ``model`` group of the configuration.
        trainer: Trainer that will run the training, which determines the number of processes.

    Raises:
        UserError: The backbone, its weights or the optimizer is unknown, the precision is unsuitable for training, or
            the settings contradict each other.
    """
    check_precision(trainer)
    check_unfreezing(model, trainer)
    check_names(model)


def check_names(model: DictConfig) -> None:
    """Check the names of the backbone, its weights and the optimizer, without reading any data.

    Args:
        model: The ``model`` group of the configuration.

    Raises:
        SettingError: The backbone, its weights or the optimizer is unknown.
    """
    with settings_of("model", is_absolute=True):
        check_backbone_name(model.backbone)
        check_weights_name(model.get("weights"), model.backbone)
        check_optimizer(model.optimizer)


def check_monitors(callbacks: DictConfig | None, attributes: Sequence[str]) -> None:
    """Check the metrics that callbacks monitor, because Lightning would report a misspelt name only after an epoch.

    Only a name that is similar to a known one is rejected, because a user's callbacks may log other metrics.

    Args:
        callbacks: The ``callbacks`` group of the configuration.
        attributes: Names of the attributes that the classifier predicts.

    Raises:
        SettingError: The name of a metric is misspelt.
    """
    known = [f"train/{name}" for name in metric_names(attributes, ranking=False)]
    known += [f"val/{name}" for name in metric_names(attributes)]
    nodes = {str(key): node for key, node in (callbacks or {}).items()}
    for key, node in nodes.items():
        monitor = node.get("monitor") if node else None
        if isinstance(monitor, str) and monitor not in known and (suggestion := did_you_mean(monitor, known)):
            rule = "is not a metric that the classifier logs"
            raise SettingError(f"{key}.monitor", monitor, rule, suggestion)


def build_classifier(
    model: DictConfig, datamodule: CelebADataModule, resumable: Resumable | None = None
) -> AttributeClassifier:
    """Build a classifier with its initial weights, and print the origin of the weights.

    Args:
        model: The ``model`` group of the configuration.
        datamodule: Data module with the training labels, which determine the prevalence of each attribute.
        resumable: Checkpoint from which training is resumed, or None for a new training run. Lightning loads the
            weights of this checkpoint later.

    Raises:
        UserError: A setting is invalid, or the weights cannot be loaded.
    """
    prevalence = datamodule.labels(datamodule.split_indices("train")).mean(axis=0)
    given: dict[str, Any] = {"prevalence": prevalence.tolist()}
    if resumable is not None:
        state_dict, origin = None, resumable.initial_weights
        given["freeze"] = resumable.hyperparameters["freeze"]  # Layers that were frozen stay frozen.
    else:
        with torch.random.fork_rng(devices=[]):
            build(model, **given)  # The constructor checks all settings before the weights are downloaded.
        with settings_of("model", is_absolute=True):
            state_dict, origin = fetch_weights(model.weights, model.backbone)
        if state_dict is None:
            given["freeze"] = 0.0  # Randomly initialised layers must be trained.
    classifier: AttributeClassifier = build(model, **given)
    if state_dict is not None:
        with settings_of("model", is_absolute=True):
            classifier.load_pretrained(state_dict, origin)
    classifier.initial_weights = origin
    if resumable is None:
        console.print(f"weights: {origin}", style="bold yellow" if origin.startswith("RANDOM") else None)
    return classifier


def check_unfreezing(model: DictConfig, trainer: L.Trainer) -> None:
    """Check that training with several processes does not unfreeze any layers.

    Args:
        model: The ``model`` group of the configuration.
        trainer: Trainer that will run the training, which determines the number of processes.

    Raises:
        UserError: Training uses several processes, and ``model.unfreeze_epoch`` is set.
    """
    epoch = model.get("unfreeze_epoch")
    if trainer.world_size > 1 and epoch is not None:
        raise UserError(
            f"model.unfreeze_epoch={epoch} cannot be used with {trainer.world_size} processes, because layers that are"
            " unfrozen during training would not be synchronised. Set trainer.devices=1 or model.unfreeze_epoch=null."
        )


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier with the weights of its best checkpoint, or with its last weights if no checkpoint was saved.

    Attributes:
        model: The classifier.
        checkpoint: Path to the best checkpoint, or None if no checkpoint was saved.
        epoch: Epoch that produced the weights, counted from 1.
        log: Metrics of every epoch.
        initial_weights: Origin of the initial weights.
        device: Device on which the classifier was trained.
    """

    model: AttributeClassifier
    checkpoint: Path | None
    epoch: int
    log: EpochLog
    initial_weights: str
    device: torch.device

    @property
    def training_metrics(self) -> dict[str, float]:
        """The ``train/*`` metrics of the epoch, computed while the weights were being updated."""
        row = self.log.rows.get(self.epoch, {})
        return {name: value for name, value in row.items() if name.startswith("train/")}


def load_best(trainer: L.Trainer, model: AttributeClassifier) -> TrainedClassifier:
    """Load the checkpoint with the best value of the monitored metric.

    Args:
        trainer: The Trainer that fitted the model.
        model: The fitted classifier, which is used if no checkpoint was saved, for example with ``fast_dev_run``.
    """
    log, device = find_callback(trainer, EpochLog) or EpochLog(), trainer.strategy.root_device
    initial_weights = model.initial_weights
    paths = [
        callback.best_model_path
        for callback in trainer.checkpoint_callbacks
        if isinstance(callback, ModelCheckpoint) and callback.monitor
    ]
    if not paths or not paths[0]:
        return TrainedClassifier(model, None, max(log.rows, default=1), log, initial_weights, device)
    content = read_checkpoint(paths[0], "report the best checkpoint")
    best = restore_classifier(content, paths[0])
    return TrainedClassifier(best, Path(paths[0]), content["epoch"] + 1, log, initial_weights, device)
