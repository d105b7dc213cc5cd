"""A training step never waits for the device between two checks.

On the CPU, operations that depend on values are found. Copies to the CPU are found only on a GPU.
"""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from celeba_lab.engine.callbacks import (
    ExponentialMovingAverage,
    Health,
    ImageRate,
    RandomState,
    StochasticWeightAveraging,
    Stopwatch,
    TerminateOnNaN,
)
from celeba_lab.engine.inference import FastInference
from celeba_lab.engine.signals import stopping_between_batches
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN

# Operations whose result on the CPU depends on values on the device.
WAITING = ("_local_scalar_dense", "is_nonzero", "nonzero", "_unique2", "unique_dim", "masked_select", "equal")
WATCHED = range(2, 5)  # Batches of the first epoch, which is neither the first nor the last.


class Waits(TorchDispatchMode):
    """The places of operations that would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function.overloadpacket.__name__ in WAITING:
            frames = [
                frame for frame in traceback.extract_stack()[:-1] if Path(frame.filename).parts[-3:-1] != ("torch",)
            ]
            self.places.append(f"{function.overloadpacket.__name__}: {frames[-1].filename}:{frames[-1].lineno}")
        return function(*args, **(kwargs or {}))


class Watch(Callback):
    """Call one function before the batches that are watched, and another one after them."""

    def __init__(self, begin: Callable[[], object], end: Callable[[], object]) -> None:
        self.begin, self.end = begin, end

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == WATCHED[0] - 1:
            self.begin()
        elif batch_idx == WATCHED[-1]:
            self.end()


def classifier(attributes: int, **settings: Any) -> AttributeClassifier:
    names = [f"attribute {k}" for k in range(attributes)]
    augment = {"flip": 0.5, "shift": 0.1, "light": 0.1}
    return AttributeClassifier(names, "shufflenet_v2_x0_5", image_size=32, freeze=0.2, augment=augment, **settings)


def gan(**settings: Any) -> GAN:
    augment = {"color": 1.0, "translation": 0.1, "cutout": 0.1}
    return GAN(image_size=16, width=4, latent_size=8, ema=0.99, flip=0.5, augment=augment, **settings)


weighted = {"loss": {"name": "weighted_bce"}, "prevalence": [0.3, 0.5]}
critic = {"loss": {"name": "wasserstein"}, "normalization": "spectral", "gradient_penalty": 10.0}
common = (TerminateOnNaN, RandomState, Stopwatch, ImageRate, FastInference)
cases = {
    "one attribute": (lambda: classifier(1), (*common, ExponentialMovingAverage)),
    "two attributes": (lambda: classifier(2, **weighted), (*common, StochasticWeightAveraging)),
    "relativistic GAN": (lambda: gan(loss={"name": "relativistic"}, joint_batch=True), (*common, Health)),
    "critic": (lambda: gan(**critic), (*common, Health)),
}


def fit(case: str, watch: Watch, **options: Any) -> None:
    build, kinds = cases[case]
    model = build()
    labels = len(model.attributes) or 1
    rows = [
        {
            "image": torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8),
            "label": torch.randint(0, 2, (labels,), dtype=torch.uint8),
            "index": torch.tensor(row),
        }
        for row in range(24)
    ]
    trainer = L.Trainer(
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[*(kind() for kind in kinds), watch],
        **options,
    )
    with stopping_between_batches(trainer):
        trainer.fit(model, DataLoader(rows, batch_size=4))


@pytest.mark.parametrize("case", cases)
def test_a_training_step_reads_no_value(case: str) -> None:
    waits = Waits()
    fit(case, Watch(waits.__enter__, lambda: waits.__exit__(None, None, None)), accelerator="cpu")
    assert waits.places == []


def test_the_watch_finds_what_waits_for_the_device() -> None:
    with Waits() as waits:
        torch.ones(3).sum().item()
        torch.unique(torch.ones(3))
        bool(torch.ones(3).any())
    assert len(waits.places) >= 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("case", cases)
def test_a_training_step_does_not_synchronize_with_a_gpu(case: str, precision: Any) -> None:
    begin, end = (lambda mode=mode: torch.cuda.set_sync_debug_mode(mode) for mode in ("error", "default"))
    try:
        fit(case, Watch(begin, end), accelerator="gpu", devices=1, precision=precision)
    finally:
        torch.cuda.set_sync_debug_mode("default")
