"""Fixtures for data modules on the tiny CelebA and for its image files."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from celeba_lab.data.datamodule import CelebADataModule


@pytest.fixture(scope="session")
def attributes() -> list[str]:
    """Attributes that ``make_data`` loads."""
    return ["Smiling", "Male", "Bald"]


@pytest.fixture(scope="session")
def make_data(attributes: list[str]) -> Callable[..., CelebADataModule]:
    """``make_data(root, stage, **options)`` builds a data module with small batches and sets up the stage."""

    def make(root: Path, stage: str | None = "fit", **options: Any) -> CelebADataModule:
        defaults = {"attributes": attributes, "image_size": 32, "batch_size": 10, "num_workers": 0}
        data = CelebADataModule(str(root), **{**defaults, **options})
        if stage is not None:
            data.setup(stage)
        return data

    return make


@pytest.fixture(scope="session")
def face_file() -> Callable[[Path, int], Path]:
    """``face_file(root, 3)`` returns the path of 000003.jpg in the Kaggle layout."""
    return lambda root, number: root / f"img_align_celeba/img_align_celeba/{number:06d}.jpg"


@pytest.fixture(scope="session")
def damage(face_file: Callable[[Path, int], Path]) -> Callable[[Path, int], None]:
    """``damage(root, 3)`` truncates 000003.jpg."""

    def cut(root: Path, number: int) -> None:
        path = face_file(root, number)
        path.write_bytes(path.read_bytes()[:900])

    return cut


@pytest.fixture(scope="session")
def join() -> Callable[[Iterable[dict[str, torch.Tensor]]], dict[str, torch.Tensor]]:
    """``join(loader)`` returns all batches of a loader as one batch."""

    def join_batches(loader: DataLoader) -> dict[str, torch.Tensor]:
        batches = list(loader)
        return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}

    return join_batches
