"""Random generators in several processes and in resumed runs."""

import os
import random
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from celeba_lab.engine.build import build_callbacks
from celeba_lab.engine.callbacks import RandomState
from celeba_lab.models.classifier.module import AttributeClassifier


def start(callback: RandomState, rank: int = 0) -> None:
    callback.on_train_start(types.SimpleNamespace(global_rank=rank), None)


def test_processes_draw_different_random_numbers() -> None:
    """All processes start from the same seed, and each process draws the same numbers in every run."""
    draws = []
    for rank in (0, 1, 2, 1):
        torch.manual_seed(7)
        start(RandomState(), rank)
        draws.append(torch.randn(4))
    assert torch.equal(draws[1], draws[3])
    assert not any(torch.equal(draws[a], draws[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_a_resumed_run_draws_the_same_random_numbers() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), torch.rand(()).item()  # noqa: NPY002

    np.random.random()  # noqa: NPY002  # so that the state is not that of a new generator
    state = RandomState().state_dict()
    expected = draw()
    continued = RandomState()
    continued.load_state_dict(state)
    draw()  # building the rest of the run draws random numbers
    start(continued)
    assert draw() == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"python": 5},
        {"python": (3, [1, 2], None)},
        {"numpy": ("MT19937", ["x"], 1, 0, 0.0)},
        {"torch": torch.zeros(3)},
        {"torch": None},
        {"accelerator": {"kind": "cuda", "state": torch.zeros(3)}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_invalid_random_state_is_rejected_before_training_starts(changes) -> None:
    callback = RandomState()
    with pytest.raises((ValueError, TypeError, AttributeError, RuntimeError)):
        callback.load_state_dict(callback.state_dict() | changes)


def test_a_resumed_classifier_equals_an_uninterrupted_one(tmp_path: Path, compose, trainer, face_batch) -> None:
    """With the configured callbacks, resumed and uninterrupted runs augment and mix images in the same way."""
    columns = face_batch(6)
    # Without its own generator, the loader would draw from the global one when the run is set up.
    faces = DataLoader(
        [{key: value[row] for key, value in columns.items()} for row in range(6)],
        batch_size=6,
        generator=torch.Generator(),
    )
    configured = compose("experiment=smile", f"callbacks.last.dirpath={tmp_path}").callbacks
    for name in ("best", "epoch_log", "learning_rate", "model_summary", "progress_bar"):
        configured[name] = None  # These need a validation split, a logger or a terminal.

    def fit(epochs: int, checkpoint: Path | None = None) -> AttributeClassifier:
        torch.manual_seed(3)
        model = AttributeClassifier(
            ["first", "second"], "shufflenet_v2_x0_5", image_size=32, mixup=0.4, augment={"flip": 0.5, "shift": 0.1},
            schedule="constant",
        )  # fmt: skip
        fitted = trainer(*build_callbacks(configured), max_epochs=epochs)
        fitted.fit(model, faces, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
        return model

    whole = fit(2).state_dict()
    fit(1)
    continued = fit(2, tmp_path / "last.ckpt").state_dict()
    assert all(torch.equal(continued[name], value) for name, value in whole.items())


PROCESSES = """
import hashlib, sys
from pathlib import Path
import lightning as L, torch
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader
from celeba_lab.engine.callbacks import RandomState
from celeba_lab.models.gan.module import GAN

class Noise(torch.utils.data.Dataset):
    def __init__(self) -> None:
        self.images = torch.randint(0, 256, (32, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict:
        return {"image": self.images[i], "label": torch.zeros(2, dtype=torch.uint8), "index": i}

class Watched(GAN):
    def _train_generator(self, optimizer, real, fake, attributes):
        self.drawn = fake.detach().clone()
        super()._train_generator(optimizer, real, fake, attributes)

if __name__ == "__main__":
    torch.manual_seed(3)
    model = Watched(**{"image_size": 16, "latent_size": 8, "width": 4}, loss={"name": "relativistic"}, ema=0.5)
    trainer = L.Trainer(
        accelerator="cpu", devices=2, strategy=DDPStrategy(find_unused_parameters=True), max_epochs=3, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, callbacks=[RandomState()],
    )
    trainer.fit(model, DataLoader(Noise(), batch_size=8))
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    digests = [hashlib.sha256(t.numpy().tobytes()).hexdigest()[:12] for t in (weights, model.drawn)]
    Path(sys.argv[1], f"rank_{trainer.global_rank}").write_text(" ".join(digests))
    trainer.strategy.barrier()
"""


@pytest.mark.slow
def test_two_processes_have_equal_weights_and_draw_different_faces(tmp_path: Path) -> None:
    script = tmp_path / "processes.py"
    script.write_text(PROCESSES)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, str(script), str(tmp_path)], env=environment, timeout=300, check=True)
    (weights, drawn), (same_weights, others_drawn) = ((tmp_path / f"rank_{k}").read_text().split() for k in (0, 1))
    assert weights == same_weights
    assert drawn != others_drawn
