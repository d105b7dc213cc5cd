"""A callback that writes down when training steps and epochs end, for benchmarks."""

import json
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter, time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from celeba_lab.errors import check_at_least
from celeba_lab.files import write_atomically
from celeba_lab.runs.environment import device_name


class StepClock(Callback):
    """Measure the time of training steps and of whole epochs, and write it to a JSON file at the end of training.

    A GPU is synchronised only at the first and last measured step of each epoch, so the measurement does not slow down
    the other steps. The callback should be the last one, so that the time of the others is included.

    The file contains ``first_step`` and ``end`` (the end of the first step and of training, in seconds since 1970),
    ``device``, ``device_name``, ``precision``, ``batch_size`` (of each process), ``image_size`` and ``world_size``,
    and for each of the ``epochs`` the ``images`` of all processes, the ``seconds`` from its start to its end, including
    validation, and the ``step_images`` and ``step_seconds`` of the steps after the first ``warmup`` ones.

    Args:
        path: Path to the JSON file.
        warmup: Number of steps at the start of each epoch that are not part of ``step_seconds``.

    Raises:
        SettingError: ``warmup`` is below 0.

    Example:
        >>> StepClock("clock.json").epochs
        []
    """

    def __init__(self, path: str, warmup: int = 3) -> None:
        check_at_least("warmup", warmup, 0)
        self.path = Path(path)
        self.warmup = warmup
        self.epochs: list[dict[str, float]] = []
        self._first_step: float | None = None
        self._batch_size = self._image_size = 0
        self._start = self._steps_start = 0.0
        self._images = self._images_before = 0
        self._steps_end: float | None = None

    @override
    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._images = self._images_before = 0
        self._steps_end = None
        self._start = self._steps_start = self._now(trainer)

    @override
    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Mapping[str, Tensor],
        batch_idx: int,
    ) -> None:
        count = len(batch["image"])
        self._images += count
        self._batch_size, self._image_size = max(self._batch_size, count), batch["image"].shape[-1]
        if self._first_step is None:
            self._now(trainer)
            self._first_step = time()
        if batch_idx + 1 == self.warmup and trainer.num_training_batches > self.warmup:
            self._steps_start, self._images_before = self._now(trainer), self._images
        if trainer.is_last_batch:  # Validation follows before the end of the epoch.
            self._steps_end = self._now(trainer)

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        end = self._now(trainer)
        self.epochs.append(
            {
                "images": self._images * trainer.world_size,
                "seconds": end - self._start,
                "step_images": (self._images - self._images_before) * trainer.world_size,
                "step_seconds": (self._steps_end or end) - self._steps_start,
            }
        )

    @override
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        content = {
            "first_step": self._first_step,
            "end": time(),
            "device": str(trainer.strategy.root_device),
            "device_name": device_name(trainer.strategy.root_device),
            "precision": str(trainer.precision),
            "batch_size": self._batch_size,
            "image_size": self._image_size,
            "world_size": trainer.world_size,
            "epochs": self.epochs,
        }
        write_atomically(self.path, lambda file: file.write(json.dumps(content).encode()))

    def _now(self, trainer: L.Trainer) -> float:
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize(trainer.strategy.root_device)
        return perf_counter()
