"""What a person sees while a GAN trains: samples after each epoch, speed, distances, and what goes wrong."""

import random
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from celeba_lab.callbacks import tensorboard_writer
from celeba_lab.console import console
from celeba_lab.errors import UserError
from celeba_lab.models.distances import Distance, Distances
from celeba_lab.models.gan import GAN
from celeba_lab.run import send_picture, write_atomically

_GRID_SIDE = 512  # pixels, about: a grid of small faces is enlarged to it
_FRAME = "epoch_*.png"


class SampleGrid(Callback):
    """Draw faces from the same latents after each epoch: a PNG in a folder, and TensorBoard.

    Args:
        folder: where ``epoch_0001.png`` and so on go.
        n: faces in a grid, at most 64.
        every_n_epochs: how often.
    """

    def __init__(self, folder: str, n: int = 64, every_n_epochs: int = 1) -> None:
        if not 1 <= n <= 64:
            raise UserError(f"callbacks.samples.n={n}: a grid has 1 to 64 faces.")
        self.folder = Path(folder)
        self.n = n
        self.every_n_epochs = every_n_epochs

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw."""
        epoch = trainer.current_epoch + 1
        last = epoch == trainer.max_epochs
        if not trainer.is_global_zero or not isinstance(pl_module, GAN) or (epoch % self.every_n_epochs and not last):
            return
        stream = BytesIO()  # encoded once, and lightly: an epoch of small faces takes few seconds
        Image.fromarray(face_grid(fixed_samples(pl_module, self.n))).save(stream, format="PNG", compress_level=1)
        write_atomically(self.folder / f"epoch_{epoch:04d}.png", lambda file: file.write(stream.getbuffer()))
        if (writer := tensorboard_writer(trainer)) is not None:
            send_picture(writer, "samples", stream.getvalue(), trainer.global_step)


def fixed_samples(model: GAN, n: int = 64) -> Tensor:
    """Return the faces of the model's fixed latents, uint8 (n, 3, S, S); a conditional model's have the same labels."""
    sampler = model.sampler()
    attributes = sampler.draw_attributes(len(model.fixed_latents), seed=0)
    return sampler.draw(model.fixed_latents[:n], None if attributes is None else attributes[:n])


def face_grid(faces: Tensor) -> np.ndarray:
    """Return faces, uint8 (N, 3, S, S), in rows of up to eight, enlarged to be seen: uint8 (H, W, 3)."""
    columns = min(8, len(faces))
    scale = max(1, _GRID_SIDE // (columns * faces.shape[-1]))
    large = enlarge_faces(faces, scale)
    return make_grid(large, nrow=columns, padding=2 * scale, pad_value=255).permute(1, 2, 0).numpy()


# Names of the filters that enlarge faces.
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def enlarge_faces(faces: Tensor, scale: int, name: str = "bicubic") -> Tensor:
    """Return faces, uint8 (N, 3, S, S), as uint8 (N, 3, scale * S, scale * S), by a filter of Pillow's."""
    if scale == 1:
        return faces
    side = scale * faces.shape[-1]
    large = np.empty((len(faces), side, side, 3), dtype=np.uint8)
    for k, face in enumerate(faces.permute(0, 2, 3, 1).numpy()):
        large[k] = np.asarray(Image.fromarray(face).resize((side, side), FILTERS[name]))
    return torch.from_numpy(large).permute(0, 3, 1, 2)


def animate(folder: Path, path: Path, seconds: float = 8.0) -> int:
    """Make an animated GIF of the grids in a folder, in the order of their epochs; the last one stays for a second.

    Returns:
        The number of its frames; 0, and no file, where there are fewer than two.
    """
    frames = [Image.open(file).convert("P", palette=Image.Palette.ADAPTIVE) for file in sorted(folder.glob(_FRAME))]
    if len(frames) < 2:
        return 0
    each = max(40, round(1000 * seconds / len(frames)))  # milliseconds
    durations = [each] * (len(frames) - 1) + [1000]
    first, *rest = frames
    write_atomically(
        path,
        lambda file: first.save(
            file, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=False
        ),
    )
    return len(frames)


class ImageRate(Callback):
    """Log how many training images pass in a second, ``train/images_per_second``, of all processes together."""

    def __init__(self) -> None:
        self._start = 0.0
        self._images = 0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start."""
        self._start, self._images = perf_counter(), 0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Mapping[str, Tensor],
        batch_idx: int,
    ) -> None:
        """Count."""
        self._images += len(batch["image"])

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log."""
        rate = self._images * trainer.world_size / (perf_counter() - self._start)
        pl_module.log("train/images_per_second", rate)


class DistanceSchedule(Callback):
    """Measure the distances of generated faces from real ones while a GAN trains.

    Args:
        distances: to measure with.
        n_images: faces to generate each time.
        every_n_epochs: how often; None for never.

    Attributes:
        rows: for each time: epoch, step, weights, and the numbers.
        description: of what these are the distances; None before the first.
    """

    def __init__(self, distances: Distances, n_images: int, every_n_epochs: int | None) -> None:
        self.distances = distances
        self.n_images = n_images
        self.every_n_epochs = every_n_epochs
        self.rows: list[dict[str, Any]] = []
        self.description: str | None = None

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure, if it is time."""
        epoch = trainer.current_epoch + 1
        if self.every_n_epochs is None or epoch % self.every_n_epochs or not isinstance(pl_module, GAN):
            return
        if trainer.is_global_zero:
            for name, distance in self.measure(pl_module, epoch, trainer.global_step).items():
                for metric, value in (("kid", distance.kid), ("fid", distance.fid)):
                    if trainer.logger is not None:
                        trainer.logger.log_metrics({f"heldout/{metric}/{name}": value}, trainer.global_step)
        trainer.strategy.barrier("distances")

    def measure(self, model: GAN, epoch: int, step: int) -> dict[str, Distance]:
        """Measure the averaged generator and the last weights, keep a row of each, and return them by that name."""
        measured = {}
        for name, averaged in {"ema": True, "raw": False}.items():
            if averaged and model.average is None:
                continue
            distance = self.distances.measure(model.sampler(averaged).sample(self.n_images, seed=0)[0])
            measured[name] = distance
            self.description = self.distances.describe(distance)
            self.rows.append(
                {"epoch": epoch, "step": step, "weights": name, "kid_x1000": distance.kid}
                | {"kid_std": distance.kid_std, "fid": distance.fid, "generated": distance.generated}
            )
        return measured

    def state_dict(self) -> dict[str, Any]:
        """Return the rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of the interrupted run."""
        self.rows = [dict(row) for row in state_dict["rows"]]


_SURE = 0.99  # probability from which on the discriminator has decided
_ALIKE = 0.15  # spread of the samples, as a fraction of that of real faces, below which they are nearly identical


class Health(Callback):
    """Notice when the two players stop playing, and say so in a sentence.

    Args:
        patience: epochs in a row before a discriminator that is always sure, or samples that are nearly identical, are
            spoken of.
        check_every: batches between two looks for numbers that are not finite.

    Attributes:
        warnings: what was said, for ``summary.json``.

    Raises:
        UserError: a loss is not finite.
    """

    def __init__(self, patience: int = 3, check_every: int = 100) -> None:
        self.patience = patience
        self.check_every = check_every
        self.warnings: list[str] = []
        self._streaks: dict[str, int] = {}
        self._real_spread: float | None = None

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Mapping[str, Tensor],
        batch_idx: int,
    ) -> None:
        """Stop at a loss that is not finite; remember how much real faces differ."""
        if not isinstance(pl_module, GAN):
            return
        if self._real_spread is None:
            self._real_spread = spread(batch["image"])
        if (batch_idx + 1) % self.check_every == 0 or trainer.is_last_batch:
            broken = pl_module.broken_losses()
            if broken:
                raise UserError(
                    f"The {' and the '.join(broken)} became NaN or infinite in epoch {trainer.current_epoch + 1}, by"
                    f" batch {batch_idx + 1}: training diverged. Lower model.lr or model.discriminator_lr, or train in"
                    " float32: recipe.precision=32-true. The last checkpoint is that of the epoch before."
                )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the epoch."""
        if not isinstance(pl_module, GAN) or not trainer.is_global_zero:
            return
        means = pl_module.epoch_means()
        real, fake = means["D(x)"], means["D(G(z))"]
        samples = spread(fixed_samples(pl_module))
        alike = self._real_spread is not None and samples < _ALIKE * self._real_spread
        epoch = trainer.current_epoch + 1
        sure = f"D(x) {real:.3f}, D(G(z)) {fake:.3f}"
        won = (
            f"the discriminator has told every face apart for {self.patience} epochs ({sure}), so the generator learns"
            " little. Lower model.discriminator_lr, or strengthen model.augment."
        )
        lost = (
            f"the discriminator has been wrong about almost every face for {self.patience} epochs ({sure}). Raise"
            " model.discriminator_lr or model.n_disc."
        )
        collapsed = (
            f"the generator has drawn nearly the same face again and again for {self.patience} epochs (samples differ"
            f" by {samples:.1f} of 255, real faces by {self._real_spread or 0:.1f}): its modes have collapsed. Lower"
            " model.lr, or take another loss."
        )
        self._look(won, real > _SURE and fake < 1 - _SURE, epoch)
        self._look(lost, real < 1 - _SURE or fake > _SURE, epoch)
        self._look(collapsed, alike, epoch)

    def _look(self, sentence: str, seen: bool, epoch: int) -> None:
        """Count the epochs in a row; speak once when there are enough."""
        name = sentence.partition(" for ")[0]  # the numbers change
        self._streaks[name] = self._streaks.get(name, 0) + 1 if seen else 0
        if self._streaks[name] == self.patience:
            self.warnings.append(f"epoch {epoch}: {sentence}")
            console.print(f"epoch {epoch}: {sentence}", style="bold yellow", highlight=False)

    def state_dict(self) -> dict[str, Any]:
        """Return what was said and what is being counted."""
        return {"warnings": self.warnings, "streaks": self._streaks, "real_spread": self._real_spread}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.warnings, self._streaks = list(state_dict["warnings"]), dict(state_dict["streaks"])
        self._real_spread = state_dict["real_spread"]


def spread(faces: Tensor) -> float:
    """Return how much faces, uint8 (N, 3, H, W), differ: their standard deviation, averaged over the pixels."""
    return faces.float().std(dim=0, correction=0).mean().item()


class RandomState(Callback):
    """Keep the state of the random generators in checkpoints: a continued run draws what it would have drawn."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the states as plain types."""
        name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  # the one that libraries use
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {
            "python": random.getstate(),
            "numpy": (str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)),
            "torch": torch.get_rng_state(),
            "cuda": cuda,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the states; what is built until training starts draws as well."""
        self._loaded = state_dict

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take them up before the first continued epoch."""
        if self._loaded is None:
            return
        version, internal, gauss = self._loaded["python"]
        random.setstate((version, tuple(internal), gauss))
        name, keys, *rest = self._loaded["numpy"]
        np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002  # as above
        torch.set_rng_state(self._loaded["torch"].cpu())
        if self._loaded["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([state.cpu() for state in self._loaded["cuda"]])
        self._loaded = None
