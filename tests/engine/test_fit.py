"""Interrupted and resumed runs end with exactly the same weights, metrics and history as uninterrupted runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from celeba_lab.data.datamodule import CelebADataModule, TrainingFaces
from celeba_lab.engine.build import build_callbacks, find_callback
from celeba_lab.engine.callbacks import EpochLog
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan import GAN

EPOCHS, BATCHES = 3, 4


class Interrupt(L.Callback):
    """Simulate Ctrl-C at the start or at the end of a training batch, or at the start of a validation batch."""

    def __init__(self, phase: str, epoch: int, batch: int) -> None:
        self.at = (phase, epoch, batch)

    def _meet(self, phase: str, trainer: L.Trainer, batch: int) -> None:
        if not trainer.sanity_checking and (phase, trainer.current_epoch, batch) == self.at:
            raise KeyboardInterrupt

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self._meet("start", trainer, batch_idx)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self._meet("end", trainer, batch_idx)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self._meet("validation", trainer, batch_idx)


def build_classifier() -> AttributeClassifier:
    return AttributeClassifier(
        ["Smiling", "Male"], "shufflenet_v2_x0_5", image_size=32, mixup=0.4, augment={"flip": 0.5, "shift": 0.1},
        schedule="one_cycle", freeze=0.3, unfreeze_epoch=1,
    )  # fmt: skip


def build_gan() -> GAN:
    return GAN(["Smiling", "Male"], conditional=True, image_size=16, width=4, loss={"name": "relativistic"}, ema=0.5)


@pytest.fixture(scope="module")
def fit(compose: Callable, trainer: Callable, tiny_celeba: Path) -> Callable[..., dict[str, Any]]:
    """``fit(kind, folder, *callbacks, checkpoint, workers, store)`` trains a model with its configured callbacks.

    Returns the final weights and optimizer states, and the rows of the history.
    """

    def train(
        kind: str,
        folder: Path,
        *extra: L.Callback,
        checkpoint: Path | None = None,
        workers: int = 0,
        store: str = "jpeg",
    ) -> dict[str, Any]:
        configured = compose(f"experiment={kind}", f"callbacks.last.dirpath={folder}").callbacks
        for name in set(configured) - {"divergence", "random_state", "last", "epoch_log", "ema"}:
            configured[name] = None  # The others need a logger or a terminal, or measure times.
        configured.epoch_log.path = None
        torch.manual_seed(3)
        model = build_classifier() if kind == "smile" else build_gan()
        data = CelebADataModule(
            str(tiny_celeba), ["Smiling", "Male"], image_size=model.hparams["image_size"], batch_size=32 // BATCHES,
            num_workers=workers, store=store, seed=5,
        )  # fmt: skip
        if kind == "gan":
            data.setup_split("train")
            model.training_labels = data.labels(data.split_indices("train"))
        callbacks = [*build_callbacks(configured), *extra]
        fitted = trainer(*callbacks, max_epochs=EPOCHS, num_sanity_val_steps=0)
        source = data if kind == "smile" else TrainingFaces(data)
        fitted.fit(model, datamodule=source, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
        log = find_callback(fitted, EpochLog)
        return {
            "weights": model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in fitted.optimizers],
            "history": log.table().to_dict("list"),
            "step": fitted.global_step,
        }

    return train


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["step"] == expected["step"]
    for name, value in expected["weights"].items():
        assert torch.equal(found["weights"][name], value), name
    torch.testing.assert_close(found["optimizers"], expected["optimizers"], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(found["history"], expected["history"], rtol=0, atol=0, equal_nan=True)


@pytest.fixture(scope="module")
def uninterrupted(fit, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Results of uninterrupted runs by kind of model."""
    return {kind: fit(kind, tmp_path_factory.mktemp(kind)) for kind in ("smile", "gan")}


STOPS = [
    *(("start", epoch, batch) for epoch, batch in [(0, 1), (1, 0), (1, 2), (2, 3)]),
    *(("end", epoch, batch) for epoch, batch in [(0, 0), (0, 3), (1, 1), (2, 3)]),
]
# The other moments of an epoch are tested only by `make test-all`.
USUAL = [("start", 1, 2), ("end", 0, 3), ("end", 2, 3)]
CASES = [(kind, at, () if at in USUAL else pytest.mark.slow) for kind in ("smile", "gan") for at in STOPS]


@pytest.mark.parametrize(
    ("kind", "at"),
    [*(pytest.param(kind, at, marks=marks) for kind, at, marks in CASES), ("smile", ("validation", 1, 0))],
)
def test_a_run_interrupted_within_an_epoch_resumes_exactly(
    fit, uninterrupted, tmp_path: Path, kind: str, at: tuple[str, int, int]
) -> None:
    with pytest.raises(SystemExit):
        fit(kind, tmp_path, Interrupt(*at))
    check_same(fit(kind, tmp_path, checkpoint=tmp_path / "last.ckpt"), uninterrupted[kind])


@pytest.mark.parametrize("kind", ["smile", "gan"])
def test_workers_and_the_memory_store_do_not_change_a_resumed_run(
    fit, uninterrupted, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(SystemExit):
        fit(kind, tmp_path, Interrupt("start", 1, 2), workers=2, store="memory")
    check_same(fit(kind, tmp_path, checkpoint=tmp_path / "last.ckpt", workers=2), uninterrupted[kind])
