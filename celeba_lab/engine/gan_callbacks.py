"""What a person sees while a GAN trains: samples after each epoch, distances, and what goes wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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

from celeba_lab.console import console
from celeba_lab.data.annotations import SPLITS
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.callbacks import tensorboard_writer
from celeba_lab.engine.features import build_features
from celeba_lab.errors import DivergenceError, UserError, did_you_mean
from celeba_lab.figures.tiles import tile_faces
from celeba_lab.files import write_atomically
from celeba_lab.models.gan.distances import Distance, Distances
from celeba_lab.models.gan.module import GAN
from celeba_lab.runs.run import send_picture

FRAMES = "epoch_*.png"  # the tiles of each epoch, in one folder


class SampleGrid(Callback):
    """Draw faces from the same latents after each epoch: a PNG in a folder, and TensorBoard.

    Args:
        folder: where ``epoch_0001.png`` and so on go.
        n: faces in a grid, at most 64.
        every_n_epochs: how often.

    Raises:
        UserError: a setting is out of range.
    """

    def __init__(self, folder: str, n: int = 64, every_n_epochs: int = 1) -> None:
        if not 1 <= n <= 64:
            raise UserError(f"callbacks.samples.n={n}: a grid has 1 to 64 faces.")
        if every_n_epochs < 1:
            raise UserError(f"callbacks.samples.every_n_epochs={every_n_epochs} must be at least 1.")
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
        Image.fromarray(tile_faces(fixed_samples(pl_module, self.n))).save(stream, format="PNG", compress_level=1)
        path = self.folder / FRAMES.replace("*", f"{epoch:04d}")
        write_atomically(path, lambda file: file.write(stream.getbuffer()))
        if (writer := tensorboard_writer(trainer)) is not None:
            send_picture(writer, "samples", stream.getvalue(), trainer.global_step)


def fixed_samples(model: GAN, n: int = 64) -> Tensor:
    """Return the faces of the model's fixed latents, uint8 (n, 3, S, S); a conditional model's have the same labels."""
    sampler = model.sampler()
    attributes = sampler.draw_attributes(len(model.fixed_latents), seed=0)
    return sampler.draw(model.fixed_latents[:n], None if attributes is None else attributes[:n])


@dataclass(frozen=True)
class DistanceSettings:
    """How far generated faces are from real ones: in which features, of how many, how often.

    Attributes:
        features: see :func:`~celeba_lab.engine.features.build_features`.
        n_images: faces to generate each time.
        splits: of the real faces, which are not trained on.
        every_n_epochs: how often; None for once, at the end.

    Raises:
        UserError: a setting is out of range.
    """

    features: str = "auto"
    n_images: int = 2000
    splits: list[str] = field(default_factory=lambda: ["val", "test"])
    every_n_epochs: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("n_images", 3), ("every_n_epochs", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"task.distances.{name}={value} must be at least {least}.")
        heldout = [split for split in SPLITS if split != "train"]
        for split in self.splits:
            if split not in heldout:
                hint = "" if split == "train" else did_you_mean(split, heldout)
                raise UserError(
                    f"task.distances.splits names '{split}'; faces that are not trained on are those of val and test."
                    f"{hint}"
                )
        if not self.splits:
            raise UserError("task.distances.splits is an empty list; give task.distances.splits=[val].")

    def schedule(self, faces: CelebADataModule, device: torch.device) -> "DistanceSchedule | None":
        """Measure the real faces; return what measures the generated ones, None where no network can be had."""
        used = [split for split in self.splits if faces.counts[split]]
        for split in used or self.splits[:1]:  # which says what is missing
            faces.setup_split(split)
        with console.status("looking for the network that distances are measured in"):
            network = build_features(self.features, device)
        if network is None:
            console.print(
                "NO DISTANCES: neither Inception's nor MobileNetV2's weights could be had. Name some that you have:"
                " task.distances.features=mobilenet_v2.pth",
                style="bold yellow",
            )
            return None
        rows = np.concatenate([faces.split_indices(split) for split in used])
        batches = [batch["image"] for batch in faces.rows_dataloader(rows)]
        with console.status(f"looking at {len(rows):,} real faces"):
            distances = Distances(network, torch.cat(batches), " + ".join(used))
        return DistanceSchedule(distances, self.n_images, self.every_n_epochs)


class DistanceSchedule(Callback):
    """Measure the distances of generated faces from real ones while a GAN trains.

    Args:
        distances: to measure with.
        n_images: faces to generate each time.
        every_n_epochs: how often; None for never.

    Attributes:
        rows: for each time: epoch, step, weights, and the numbers.
        seconds: of the training time that went into measuring.
    """

    def __init__(self, distances: Distances, n_images: int, every_n_epochs: int | None) -> None:
        self.distances = distances
        self.n_images = n_images
        self.every_n_epochs = every_n_epochs
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure, if it is time."""
        epoch = trainer.current_epoch + 1
        if self.every_n_epochs is None or epoch % self.every_n_epochs or not isinstance(pl_module, GAN):
            return
        start = perf_counter()
        if trainer.is_global_zero:
            measured = self.measure(pl_module, epoch, trainer.global_step)
            for name, distance in measured.items():
                for metric, value in (("kid", distance.kid), ("fid", distance.fid)):
                    if trainer.logger is not None:
                        trainer.logger.log_metrics({f"heldout/{metric}/{name}": value}, trainer.global_step)
            shown = "  ".join(f"KID x 1,000 {d.kid:.1f} FID {d.fid:.1f} ({name})" for name, d in measured.items())
            print(f"epoch {epoch}: {shown}", flush=True)
        trainer.strategy.barrier("distances")
        self.seconds += perf_counter() - start

    def measure(self, model: GAN, epoch: int, step: int) -> dict[str, Distance]:
        """Measure the averaged generator and the last weights, keep a row of each, and return them by that name."""
        measured = {}
        for averaged in (True, False):
            sampler = model.sampler(averaged)
            if sampler.weights in measured:  # there is no average
                continue
            distance = self.distances.measure(sampler.sample(self.n_images, seed=0)[0])
            measured[sampler.weights] = distance
            self.rows.append(
                {"epoch": epoch, "step": step, "weights": sampler.weights, "kid_x1000": distance.kid}
                | {"kid_std": distance.kid_std, "fid": distance.fid, "generated": distance.images}
            )
        return measured

    def describe(self) -> str:
        """Say what the distances are of, see :meth:`Distances.describe`; before the first, of what they will be."""
        return self.distances.describe(self.n_images)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of the interrupted run."""
        self.rows = [dict(row) for row in state_dict["rows"]]


_SURE = 0.99  # probability from which on the discriminator has decided
_ALIKE = 0.15  # spread of the samples, as a fraction of that of real faces, below which they are nearly identical
_FIRST_STEPS = 1000  # in which samples may be alike: first weights draw grey


class Health(Callback):
    """Notice when the two players stop playing, and say so in a sentence.

    Args:
        patience: epochs in a row before a discriminator that is always sure, or samples that are nearly identical, are
            spoken of.
        check_every: batches between two looks for numbers that are not finite.

    Attributes:
        warnings: what was said, for ``summary.json``.

    Raises:
        UserError: a setting is out of range.
        DivergenceError: while training, a loss is not finite.
    """

    def __init__(self, patience: int = 3, check_every: int = 100) -> None:
        for name, value in {"patience": patience, "check_every": check_every}.items():
            if value < 1:
                raise UserError(f"callbacks.health.{name}={value} must be at least 1.")
        self.patience = patience
        self.check_every = check_every
        self.warnings: list[str] = []
        self._streaks: dict[str, int] = {}
        self._real_spread: float | None = None
        self._varied = False  # the samples have been different once

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
        if ((batch_idx + 1) % self.check_every == 0 or trainer.is_last_batch) and (broken := pl_module.broken_losses()):
            precise = str(trainer.precision).startswith(("32", "64"))
            instead = "" if precise else ", or train in float32: recipe.precision=32-true"
            kept = any(getattr(callback, "best_model_path", "") for callback in trainer.checkpoint_callbacks)
            raise DivergenceError(
                f"The {' and the '.join(broken)} became NaN or infinite in epoch {trainer.current_epoch + 1}, by batch"
                f" {batch_idx + 1}: training diverged. Lower model.lr or model.discriminator_lr{instead}."
                + (" The checkpoint of the last whole epoch was kept." if kept else "")
            )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the epoch."""
        if not isinstance(pl_module, GAN) or not trainer.is_global_zero:
            return
        epoch = trainer.current_epoch + 1
        if not pl_module.adversarial_loss.critic:  # whose numbers are no probabilities
            self._look_at_discriminator(pl_module.epoch_means(), epoch)
        self._look_at_samples(spread(fixed_samples(pl_module)), trainer.global_step, epoch)

    def _look_at_discriminator(self, means: Mapping[str, float], epoch: int) -> None:
        real, fake = means["D(x)"], means["D(G(z))"]
        seen = f"for {self.patience} epochs (D(x) {real:.3f}, D(G(z)) {fake:.3f})"
        real_is, fake_is = (1 if value > _SURE else 0 if value < 1 - _SURE else None for value in (real, fake))
        weaker = "so the generator learns little. Lower model.discriminator_lr, or strengthen model.augment."
        stronger = "Raise model.discriminator_lr or model.n_disc."
        self._look(
            "won", (real_is, fake_is) == (1, 0), epoch, f"the discriminator has told every face apart {seen}, {weaker}"
        )
        self._look(
            "one", real_is == fake_is == 1, epoch, f"the discriminator has called every face real {seen}. {stronger}"
        )
        self._look(
            "nil",
            real_is == fake_is == 0,
            epoch,
            f"the discriminator has called every face generated {seen}. {stronger}",
        )
        self._look(
            "lost",
            (real_is, fake_is) == (0, 1),
            epoch,
            f"the discriminator has been wrong about every face {seen}. {stronger}",
        )

    def _look_at_samples(self, samples: float, steps: int, epoch: int) -> None:
        alike = self._real_spread is not None and samples < _ALIKE * self._real_spread
        self._varied |= not alike
        self._look(
            "collapsed",
            alike and (self._varied or steps >= _FIRST_STEPS),
            epoch,
            f"the generator has drawn nearly the same face again and again for {self.patience} epochs (samples differ"
            f" by {samples:.1f} of 255, real faces by {self._real_spread or 0:.1f}): its modes have collapsed. Lower"
            " model.lr, or take another loss.",
        )

    def _look(self, kind: str, seen: bool, epoch: int, sentence: str) -> None:
        """Count the epochs in a row; speak once when there are enough."""
        self._streaks[kind] = self._streaks.get(kind, 0) + 1 if seen else 0
        if self._streaks[kind] == self.patience:
            self.warnings.append(f"epoch {epoch}: {sentence}")
            console.print(f"epoch {epoch}: {sentence}", style="bold yellow", highlight=False)

    def state_dict(self) -> dict[str, Any]:
        """Return what was said and what is being counted."""
        return {
            "warnings": self.warnings,
            "streaks": self._streaks,
            "real_spread": self._real_spread,
            "varied": self._varied,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.warnings, self._streaks = list(state_dict["warnings"]), dict(state_dict["streaks"])
        self._real_spread, self._varied = state_dict["real_spread"], state_dict["varied"]


def spread(faces: Tensor) -> float:
    """Return how much faces, uint8 (N, 3, H, W), differ: their standard deviation, averaged over the pixels."""
    return faces.float().std(dim=0, correction=0).mean().item()
