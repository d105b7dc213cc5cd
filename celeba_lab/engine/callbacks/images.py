"""Image grids for TensorBoard and the run folder."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid
from typing_extensions import override

from celeba_lab.errors import check_at_least, check_between
from celeba_lab.figures.tiles import tile_faces
from celeba_lab.files import prepare_folder, write_atomically
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN
from celeba_lab.runs.run import send_image

SAMPLE_FILES = "epoch_*.png"
"""Glob pattern of the files written by :class:`SampleGrid`."""

_GRID_COLUMNS = 8


class TrainingImageGrid(Callback):
    """Send the first training batch to TensorBoard, with the augmented images below the original images.

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
        writer = tensorboard_writer(trainer)
        if writer is None or trainer.global_step > 0 or batch_idx > 0 or not isinstance(pl_module, AttributeClassifier):
            return
        count = min(self.max_images, len(batch["image"]))
        # Only complete rows are shown, so that no row mixes original and augmented images.
        count -= count % _GRID_COLUMNS if count > _GRID_COLUMNS else 0
        images = batch["image"][:count].cpu().float() / 255
        with torch.random.fork_rng(devices=[]), torch.no_grad():  # Preserve the run's random state.
            augmented = pl_module.augment(images)
        rows = torch.cat([images, augmented])
        writer.add_image(
            "train/faces_loaded_then_augmented", make_grid(rows, nrow=min(count, _GRID_COLUMNS)), global_step=0
        )


class SampleGrid(Callback):
    """Generate faces from fixed latents after each epoch, and write them to PNG files and TensorBoard.

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
        if (writer := tensorboard_writer(trainer)) is not None:
            send_image(writer, "samples", stream.getvalue(), trainer.global_step)


def fixed_samples(model: GAN, n: int = 64) -> Tensor:
    """Generate faces from the model's fixed latents, uint8 (n, 3, S, S).

    For a conditional model, the attributes are fixed as well.
    """
    sampler = model.sampler()
    attributes = sampler.draw_attributes(len(model.fixed_latents), seed=0)
    return sampler.draw(model.fixed_latents[:n], None if attributes is None else attributes[:n])


def tensorboard_writer(trainer: L.Trainer) -> SummaryWriter | None:
    """Return TensorBoard's writer, or None outside the main process or if TensorBoard is not used."""
    if isinstance(trainer.logger, TensorBoardLogger) and trainer.is_global_zero:
        writer: SummaryWriter = trainer.logger.experiment
        return writer
    return None
