"""Small GANs, random images to train them with, and a Trainer that prints nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch.utils.data import DataLoader

from celeba_lab.engine.callbacks import RandomState
from celeba_lab.models.gan.module import GAN


class Noise(torch.utils.data.Dataset):
    """Random images of 16 x 16 pixels with two random labels each."""

    def __init__(self, n: int = 32, k: int = 2) -> None:
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=generator)
        self.labels = torch.randint(0, 2, (n, k), dtype=torch.uint8, generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"image": self.images[i], "label": self.labels[i], "index": i}


@pytest.fixture(scope="session")
def noise() -> type[Noise]:
    """``noise()``: a dataset of 32 random images with labels."""
    return Noise


@pytest.fixture(scope="session")
def build() -> Callable[..., GAN]:
    """``build(**settings)``: a small GAN, which always has the same initial weights."""

    def build_small(**settings: Any) -> GAN:
        torch.manual_seed(0)
        return GAN(**{"image_size": 16, "latent_size": 8, "width": 4} | settings)

    return build_small


@pytest.fixture(scope="session")
def fit() -> Callable[..., L.Trainer]:
    """``fit(model, epochs, folder, checkpoint, callbacks)`` trains on noise, with four steps per epoch.

    If ``folder`` is given, it saves ``last.ckpt`` there. If ``checkpoint`` is given, training resumes from it.
    """

    def train(
        model: GAN,
        epochs: int = 1,
        folder: Path | None = None,
        checkpoint: Path | None = None,
        callbacks: Sequence[Callback] = (),
        **arguments: Any,
    ) -> L.Trainer:
        torch.manual_seed(1)
        trainer = L.Trainer(
            **{"accelerator": "cpu", "max_epochs": epochs, "logger": False, "enable_progress_bar": False} | arguments,
            enable_model_summary=False,
            enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
            callbacks=[RandomState(), *callbacks],
        )
        # Like the data module's loader, this loader has its own generator and does not use the global one.
        loader = DataLoader(Noise(), batch_size=8, sampler=range(32), generator=torch.Generator())
        trainer.fit(model, loader, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
        if folder is not None:
            trainer.save_checkpoint(folder / "last.ckpt")
        return trainer

    return train
