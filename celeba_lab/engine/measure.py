"""Evaluate a classifier on every image of a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig

from celeba_lab.analyses.predictions import Predictions
from celeba_lab.console import split_name
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.loaders import Processes
from celeba_lab.engine.build import build_evaluator
from celeba_lab.engine.callbacks import ProgressLine
from celeba_lab.engine.signals import stopping_between_batches
from celeba_lab.models.classifier.evaluation import AttributeModel
from celeba_lab.runs.folder import RunFolder


@dataclass(frozen=True)
class Measurement:
    """A classifier's results on one split. Every process holds the results for the whole split.

    Attributes:
        metrics: Metrics by name (``split/metric``).
        predictions: Predictions for every image, in table order.
        device: Device on which the model ran.
        is_global_zero: Whether this process is the main process.
    """

    metrics: dict[str, float]
    predictions: Predictions
    device: torch.device
    is_global_zero: bool


def measure_splits(
    run: RunFolder, cfg: DictConfig, model: AttributeModel, datamodule: CelebADataModule, splits: Sequence[str]
) -> dict[str, Measurement]:
    """Evaluate a classifier on several splits, and add the time for each split to ``run.seconds``.

    Args:
        run: The run.
        cfg: Configuration of the run.
        model: The classifier, or an ensemble of classifiers.
        datamodule: The data.
        splits: Names of the splits, in the order of evaluation.

    Returns:
        Measurements, keyed by split.
    """
    measurements = {}
    for split in splits:
        with run.timed(split):
            measurements[split] = measure(cfg, model, datamodule, split)
    return measurements


def measure(cfg: DictConfig, model: AttributeModel, datamodule: CelebADataModule, split: str) -> Measurement:
    """Predict the attributes of every image in a split once, in table order, and compute the metrics.

    Args:
        cfg: Configuration of the run. Of the configured callbacks, only the progress bar is used.
        model: The classifier, or an ensemble of classifiers.
        datamodule: The data.
        split: Name of the split.

    Raises:
        UserError: An image cannot be used, the split has fewer images than there are processes, or the trainer settings
            are invalid.
    """
    collected = CollectPredictions()
    # All splits are evaluated by the test loop, so the split's own batch limit replaces limit_test_batches.
    limit = cfg.trainer[f"limit_{split}_batches"]
    evaluator = build_evaluator(cfg.trainer, cfg.callbacks, collected, limit_test_batches=limit)
    if isinstance(evaluator.progress_bar_callback, ProgressLine):
        evaluator.progress_bar_callback.evaluation = split_name(split)
    loader = datamodule.evaluation_dataloader(split, Processes.of(evaluator))
    with stopping_between_batches(evaluator):
        [metrics] = evaluator.test(model, dataloaders=loader, verbose=False)
    named = {f"{split}/{name.removeprefix('test/')}": float(value) for name, value in metrics.items()}
    predictions = Predictions(
        split=split,
        image_ids=datamodule.image_ids(collected.index),
        index=collected.index,
        labels=collected.label,
        probabilities=collected.probability,
        attributes=datamodule.attributes,
        threshold=model.threshold,
    )
    return Measurement(named, predictions, evaluator.strategy.root_device, evaluator.is_global_zero)


class CollectPredictions(Callback):
    """Collect the predictions for all images during ``Trainer.validate``, ``Trainer.test`` and ``Trainer.predict``.

    Afterwards, the attributes below contain the results for all images, in every process.

    Attributes:
        probability: Predicted probabilities, float32 (N, K), ordered by ``index``.
        label: True labels, uint8 (N, K); empty after ``Trainer.predict``.
        index: Row index of each image in the dataset, int64 (N,).
    """

    def __init__(self) -> None:
        self._parts: list[dict[str, np.ndarray]] = []
        self.probability = np.empty((0, 0), dtype=np.float32)
        self.label = np.empty((0, 0), dtype=np.uint8)
        self.index = np.empty(0, dtype=np.int64)

    def _start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._parts = []

    def _add(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if trainer.state.fn != "fit":
            self._parts.append({key: value.cpu().numpy() for key, value in outputs.items()})

    def _finish(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" or not self._parts:
            return
        columns = {key: np.concatenate([part[key] for part in self._parts]) for key in self._parts[0]}
        if trainer.world_size > 1:
            gathered: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(gathered, columns)
            columns = {key: np.concatenate([part[key] for part in gathered]) for key in columns}
        _, order = np.unique(columns["index"], return_index=True)
        self.index, self.probability = columns["index"][order], columns["probability"][order]
        self.label = columns["label"][order] if "label" in columns else np.empty((0, 0), dtype=np.uint8)
        self._parts = []

    on_validation_epoch_start = on_test_epoch_start = on_predict_epoch_start = _start
    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = _add
    on_validation_epoch_end = on_test_epoch_end = on_predict_epoch_end = _finish
