"""Image grids for the loggers and the run folder."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid
from typing_extensions import override

from celeba_lab.errors import check_at_least, check_between
from celeba_lab.figures.tiles import tile_faces
from celeba_lab.files import prepare_folder, write_atomically
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN
from celeba_lab.runs.loggers import Loggers

SAMPLE_FILES = "epoch_*.png"
"""Glob pattern of the files written by :class:`SampleGrid`."""

_GRID_COLUMNS = 8


class TrainingImageGrid(Callback):
    """Send the first training batch to the loggers, with the augmented images below the original images.

    Args:
        max_images: Maximum number of images to show.

    Raises:
        SettingError: ``max_images`` is below 1.

    Example:
        >>> TrainingImageGrid(max_images=16).max_images
        16
    """

    def __init__(self, max_images: int = 32) -> None:
        check_at_least("max_images", max_images, 1)
        self.max_images = max_images

    @override
    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Mapping[str, Tensor], batch_idx: int
    ) -> None:
        is_first = trainer.is_global_zero and trainer.global_step == 0 and batch_idx == 0
        if not (trainer.loggers and is_first and isinstance(pl_module, AttributeClassifier)):
            return
        count = min(self.max_images, len(batch["image"]))
        # Only complete rows are shown, so that no row mixes original and augmented images.
        count -= count % _GRID_COLUMNS if count > _GRID_COLUMNS else 0
        images = batch["image"][:count].cpu().float() / 255
        with torch.random.fork_rng(devices=[]), torch.no_grad():  # Preserve the run's random state.
            augmented = pl_module.augment(images)
        grid = make_grid(torch.cat([images, augmented]), nrow=min(count, _GRID_COLUMNS))
        pixels = (grid * 255).clamp(0, 255).byte().permute(1, 2, 0).numpy()  # (H, W, 3)
        stream = BytesIO()
        Image.fromarray(pixels).save(stream, format="PNG")
        Loggers(trainer.loggers).send_image("faces_loaded_then_augmented", stream.getvalue(), 0)


class SampleGrid(Callback):
    """Generate faces from fixed latents after each epoch, and write them to PNG files and the loggers.

    Args:
        folder: Path to the folder to which the files ``epoch_0001.png``, ``epoch_0002.png`` and so on are written.
        n: Number of faces in each grid, from 1 to 64.
        every_n_epochs: Number of epochs between grids. A grid is also written after epoch ``max_epochs``.

    Raises:
        SettingError: ``n`` or ``every_n_epochs`` is out of range.

    Example:
        >>> SampleGrid("figures/samples", n=65)
        Traceback (most recent call last):
        ...
        celeba_lab.errors.SettingError: n=65 must be between 1 and 64.
    """

    def __init__(self, folder: str, n: int = 64, every_n_epochs: int = 1) -> None:
        check_between("n", n, 1, 64)
        check_at_least("every_n_epochs", every_n_epochs, 1)
        self.folder = Path(folder)
        self.n = n
        self.every_n_epochs = every_n_epochs

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit" and trainer.is_global_zero:
            prepare_folder(self.folder)

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        is_last = epoch == trainer.max_epochs
        is_due = epoch % self.every_n_epochs == 0 or is_last
        if not trainer.is_global_zero or not isinstance(pl_module, GAN) or not is_due:
            return
        stream = BytesIO()  # Encoding must be fast, because an epoch on small faces takes only seconds.
        faces = fixed_samples(pl_module, self.n).permute(0, 2, 3, 1).numpy()
        Image.fromarray(tile_faces(faces)).save(stream, format="PNG", compress_level=1)
        path = self.folder / SAMPLE_FILES.replace("*", f"{epoch:04d}")
        write_atomically(path, lambda file: file.write(stream.getbuffer()))
        Loggers(trainer.loggers).send_image("samples", stream.getvalue(), trainer.global_step)


def fixed_samples(model: GAN, n: int = 64) -> Tensor:
    """Generate faces from the model's fixed latents, uint8 (n, 3, S, S).

    For a conditional model, the attributes are fixed as well.
    """
    sampler = model.sampler()
    attributes = sampler.draw_attributes(len(model.fixed_latents), seed=0)
    return sampler.draw(model.fixed_latents[:n], None if attributes is None else attributes[:n])
