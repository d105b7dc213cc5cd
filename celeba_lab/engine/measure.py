"""Evaluate a classifier on every image of a split."""

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
from celeba_lab.engine.signals import exit_codes_of_signals
from celeba_lab.models.classifier.evaluation import AttributeModel


def measure(
    model: AttributeModel,
    datamodule: CelebADataModule,
    split: str,
    trainer: DictConfig,
    callbacks: DictConfig | None,
) -> tuple[dict[str, float], Predictions, L.Trainer]:
    """Predict every image of a split once, in table order, and compute the metrics.

    Args:
        model: The classifier, or an ensemble of classifiers.
        datamodule: The data.
        split: Name of the split.
        trainer: The ``trainer`` group of the configuration.
        callbacks: The ``callbacks`` group of the configuration. Only the progress bar is used.

    Returns:
        A tuple of the metrics by name (``split/metric``), the predictions, and the Trainer. In every process, the
        metrics and predictions cover the whole split.

    Raises:
        UserError: An image cannot be used, the split has fewer images than there are processes, or the trainer settings
            are invalid.
    """
    collected = CollectPredictions()
    # All splits are evaluated by the test loop, so the split's own batch limit replaces limit_test_batches.
    limit = trainer[f"limit_{split}_batches"]
    evaluator = build_evaluator(trainer, callbacks, collected, limit_test_batches=limit)
    if isinstance(evaluator.progress_bar_callback, ProgressLine):
        evaluator.progress_bar_callback.evaluation = split_name(split)
    loader = datamodule.evaluation_dataloader(split, Processes.of(evaluator))
    with exit_codes_of_signals(evaluator):
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
    return named, predictions, evaluator


class CollectPredictions(Callback):
    """Collect the predictions for all images during ``Trainer.validate``, ``Trainer.test`` and ``Trainer.predict``.

    Afterwards, the attributes contain the results for all images in every process.

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
