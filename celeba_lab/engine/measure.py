"""Measuring a model on a split: predictions of every image, and seconds."""

from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig

from celeba_lab.analyses.predictions import Predictions
from celeba_lab.config import build
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.loaders import Processes
from celeba_lab.engine.build import build_trainer
from celeba_lab.engine.callbacks import Stopwatch
from celeba_lab.engine.signals import exit_codes_of_signals
from celeba_lab.models.classifier.evaluation import AttributeModel


def progress_bar(cfg: DictConfig) -> list[Callback]:
    """Return the configured progress bar, if any: the only callback of training that measuring wants."""
    node = (cfg.callbacks or {}).get("progress_bar")
    return [build(node)] if node else []


def measure(
    cfg: DictConfig, model: AttributeModel, datamodule: CelebADataModule, split: str
) -> tuple[dict[str, float], Predictions, L.Trainer]:
    """Pass over a split once, in table order.

    Returns:
        ``split/metric`` to value, and the predictions, both of the whole split in every process; and the trainer.
    """
    collected = CollectPredictions()
    # One loop for every split, so each split's own limit must stand in for that of the test.
    limit = cfg.trainer[f"limit_{split}_batches"]
    trainer = build_trainer(cfg, [*progress_bar(cfg), collected], limit_test_batches=limit)
    loader = datamodule.evaluation_dataloader(split, Processes.of(trainer))
    with exit_codes_of_signals(trainer):
        [metrics] = trainer.test(model, dataloaders=loader, verbose=False)
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
    return named, predictions, trainer


def training_seconds(trainer: L.Trainer) -> dict[str, float]:
    """Return the seconds of the fit that went into training steps, and those into validation."""
    watch = next((callback for callback in trainer.callbacks if isinstance(callback, Stopwatch)), None)  # type: ignore[attr-defined]
    return {} if watch is None else {"training": round(watch.training, 3), "validation": round(watch.validation, 3)}


class CollectPredictions(Callback):
    """Keep what validation and test after training say about every image.

    After ``trainer.validate``, ``trainer.test`` or ``trainer.predict``, in every process:

    Attributes:
        probability: float32 (N, K), ordered by ``index``.
        label: uint8 (N, K); empty after predict.
        index: int64 (N,), which image of the data each row is.
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
