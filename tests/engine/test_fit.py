"""Interrupted and resumed runs end with exactly the same weights, metrics and history as uninterrupted runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer
from torch.utils.data import DataLoader

from celeba_lab.data.datamodule import CelebADataModule, TrainingFaces
from celeba_lab.engine.build import build_callbacks, find_callback
from celeba_lab.engine.callbacks import EpochLog
from celeba_lab.engine.fit import fit as run_fit
from celeba_lab.errors import UserError
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan import GAN
from celeba_lab.runs.run import Run

EPOCHS, BATCHES = 3, 4


class Interrupt(L.Callback):
    """Simulate Ctrl-C at the start or at the end of a training batch, or at the start of a validation batch.

    The phase "last validation" stands for the validation after the last training batch of an epoch.
    """

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
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._meet("last validation", trainer, batch_idx)


class Recorder(L.Callback):
    """Record the epoch and number of each training batch, and the step, loss and progress of each validation."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        self.validations: list[tuple[int, float, int]] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.batches.append((trainer.current_epoch, batch_idx))

    def on_validation_end(self, trainer, pl_module):
        count = trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.completed
        self.validations.append((trainer.global_step, float(trainer.callback_metrics["val/loss"]), count))


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

    Other keyword arguments are passed to the Trainer.

    Returns the final weights and optimizer states, and the rows of the history.
    """

    def train(
        kind: str,
        folder: Path,
        *extra: L.Callback,
        checkpoint: Path | None = None,
        workers: int = 0,
        store: str = "jpeg",
        **options: Any,
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
        fitted = trainer(*callbacks, **({"max_epochs": EPOCHS, "num_sanity_val_steps": 0} | options))
        source = data if kind == "smile" else TrainingFaces(data)
        fitted.fit(model, datamodule=source, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
        log = find_callback(fitted, EpochLog)
        return {
            "weights": model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in fitted.optimizers],
            "history": log.table().to_dict("list"),
            "step": fitted.global_step,
            "batches": fitted.fit_loop.epoch_loop.batch_progress.state_dict(),
            "logged": fitted.fit_loop.epoch_loop._batches_that_stepped,  # the step of the next logged value
        }

    return train


def check_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert [found[name] for name in ("step", "batches", "logged")] == [
        expected[name] for name in ("step", "batches", "logged")
    ]
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


@pytest.mark.parametrize("kind", [pytest.param("smile", marks=pytest.mark.slow), "gan"])
def test_workers_and_the_memory_store_do_not_change_a_resumed_run(
    fit, uninterrupted, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(SystemExit):
        fit(kind, tmp_path, Interrupt("start", 1, 2), workers=2, store="memory")
    check_same(fit(kind, tmp_path, checkpoint=tmp_path / "last.ckpt", workers=2), uninterrupted[kind])


class FailingStep(L.Callback):
    """Simulate an error in the middle of a training step."""

    def on_after_backward(self, trainer, pl_module):
        if (trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_idx) == (1, 2):
            raise MemoryError


@pytest.mark.parametrize("kind", ["smile", "gan"])
def test_a_step_that_failed_is_not_part_of_the_resumed_run(fit, uninterrupted, tmp_path: Path, kind: str) -> None:
    with pytest.raises(MemoryError):
        fit(kind, tmp_path, FailingStep())
    check_same(fit(kind, tmp_path, checkpoint=tmp_path / "last.ckpt"), uninterrupted[kind])


@pytest.fixture(scope="module")
def often_validated(fit, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Recorder]:
    """An uninterrupted run that is validated twice in each epoch."""
    recorder = Recorder()
    return fit("smile", tmp_path_factory.mktemp("often"), recorder, val_check_interval=0.5), recorder


@pytest.mark.parametrize(
    "at",
    [
        ("end", 1, 1),
        pytest.param(("validation", 1, 0), marks=pytest.mark.slow),
        pytest.param(("start", 1, 2), marks=pytest.mark.slow),
        pytest.param(("end", 1, 3), marks=pytest.mark.slow),
        pytest.param(("last validation", 1, 0), marks=pytest.mark.slow),
        pytest.param(("start", 2, 0), marks=pytest.mark.slow),
    ],
)
def test_a_run_with_several_validations_in_each_epoch_resumes_exactly(
    fit, often_validated, tmp_path: Path, at: tuple[str, int, int]
) -> None:
    """No validation is missing, and none is repeated."""
    whole, expected = often_validated
    found = Recorder()
    with pytest.raises(SystemExit):
        fit("smile", tmp_path, found, Interrupt(*at), val_check_interval=0.5)
    check_same(fit("smile", tmp_path, found, checkpoint=tmp_path / "last.ckpt", val_check_interval=0.5), whole)
    assert found.validations == expected.validations
    assert [step for step, _, _ in found.validations] == [2, 4, 6, 8, 10, 12]


@pytest.mark.parametrize("kind", ["smile", "gan"])
@pytest.mark.parametrize("limit", ["max_steps", "max_time"])
def test_a_run_that_is_extended_after_a_limit_continues_with_the_next_epoch(
    fit, tmp_path: Path, kind: str, limit: str
) -> None:
    recorder = Recorder()

    class Late(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if (trainer.current_epoch, batch_idx) == (1, 1) and limit == "max_time":
                find_callback(trainer, Timer)._duration = 0

    limits: dict[str, Any] = {limit: 6 if limit == "max_steps" else "00:01:00:00"}
    fit(kind, tmp_path, recorder, Late(), **limits)
    assert recorder.batches[-1] == (1, 1)
    fit(kind, tmp_path, recorder, checkpoint=tmp_path / "last.ckpt")
    assert recorder.batches == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3)]


class Numbers(L.LightningDataModule):
    """Two batches of random numbers for each split."""

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.randn(10, 4), batch_size=5)

    val_dataloader = train_dataloader


def fit_toy(toy: type[L.LightningModule], trainer: L.Trainer, callbacks: dict[str, Any] | None = None) -> None:
    """Train a small network for two batches per epoch with the function that all training tasks use."""
    run = Run(Path("run"), "train", {"name": "toy", "seed": 1, "callbacks": callbacks})
    run_fit(run, trainer, toy(), Numbers())


def test_a_validation_interval_above_the_number_of_batches_is_explained(toy, trainer) -> None:
    sentence = r"^trainer\.val_check_interval=3 must be at most 2, the number of training batches in an epoch\."
    with pytest.raises(UserError, match=sentence):
        fit_toy(toy, trainer(val_check_interval=3))
    fit_toy(toy, trainer(val_check_interval=2))


@pytest.mark.parametrize("kind", [EarlyStopping, ModelCheckpoint])
def test_a_monitored_metric_that_is_not_logged_is_explained(kind, toy, trainer, tmp_path) -> None:
    settings = {"stop": {"monitor": "val/nothing"}, "best": {"monitor": "val/loss"}, "bar": None}
    sentence = r"^callbacks\.stop\.monitor=val/nothing is not a metric that was logged\. Logged metrics: .*val/loss"
    with pytest.raises(UserError, match=sentence):
        fit_toy(toy, trainer(kind(monitor="val/nothing"), default_root_dir=tmp_path), settings)


def test_other_errors_of_training_are_not_explained(toy, trainer) -> None:
    class Broken(toy):
        def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        fit_toy(Broken, trainer(), {"stop": {"monitor": "val/nothing"}})
