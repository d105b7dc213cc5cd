"""Input pipelines: how many faces per second reach the training loop."""

from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import Any

import torchvision
from torch.utils.data import DataLoader
from typing_extensions import override

from celeba_lab.benchmarks.reference import BATCH_SIZE, Faces, face_transform
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.loaders import Processes


def read_faces(root: str, store: str, image_size: int, workers: int, seconds: float) -> dict[str, Any]:
    """Read the training images of a folder with a loader of celeba_lab.

    Faces are packed and decoded into memory before the measurement. The batches are uint8, and the model converts them.

    Args:
        root: The data folder.
        store: Source of the pixels: ``jpeg``, ``memory`` or ``packed``.
        image_size: Side length of the images in pixels.
        workers: Number of worker processes.
        seconds: Time after which no further epoch is started.

    Returns:
        The faces per second, by the number of workers.
    """
    data = CelebADataModule(root, ["Smiling"], image_size, store=store, num_workers=workers)
    loader = data.shuffled_dataloader(Processes())
    return {measurement_of(workers): _rate(loader, seconds)}


def read_faces_reference(root: str, image_size: int, workers: int, seconds: float) -> dict[str, Any]:
    """Read the images with Pillow and torchvision, as :mod:`~celeba_lab.benchmarks.reference` does."""
    faces = Faces(root, 0, ["Smiling"], image_size)
    loader = DataLoader(faces, batch_size=BATCH_SIZE, shuffle=True, num_workers=workers)
    return {measurement_of(workers): _rate(loader, seconds)}


def read_faces_torchvision(root: str, image_size: int, workers: int, seconds: float) -> dict[str, Any]:
    """Read the images with torchvision's ``CelebA``, with all of its labels."""
    faces = _Subset(root, split="train", transform=face_transform(image_size))
    loader: Any = DataLoader(faces, batch_size=BATCH_SIZE, shuffle=True, num_workers=workers)
    return {measurement_of(workers): _rate(loader, seconds)}


# torchvision has no type hints.
class _Subset(torchvision.datasets.CelebA):  # type: ignore[misc]
    """Torchvision's dataset, which otherwise accepts only the original tables of all 202,599 images."""

    @override
    def _check_integrity(self) -> bool:
        return Path(self.root, self.base_folder, "img_align_celeba").is_dir()


def measurement_of(workers: int) -> str:
    """Return the name of the measurement with a number of workers."""
    return f"{workers}_workers"


def _rate(loader: Iterable[Any], seconds: float) -> float:
    """Return the images per second of whole epochs, including the start of worker processes."""
    images, start = 0, perf_counter()
    while perf_counter() - start < seconds:
        for batch in loader:
            images += len(batch["image"] if isinstance(batch, dict) else batch[0])
    return images / (perf_counter() - start)
