"""A generative adversarial network: two players, two optimizers, and an average of the generator that is shown."""

import math
from collections.abc import Mapping
from typing import Any, cast

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from celeba_lab.errors import UserError
from celeba_lab.models.gan.augment import DiffAugment
from celeba_lab.models.gan.losses import (
    AdversarialLoss,
    attribute_loss,
    build_adversarial_loss,
    gradient_penalty,
    r1_penalty,
)
from celeba_lab.models.gan.networks import Discriminator, Generator, Verdict
from celeba_lab.models.gan.sampler import FaceSampler
from celeba_lab.models.optimization import build_optimizer

# Draws of the latents from which every grid of samples is made; nothing of training depends on it.
_FIXED_SEED = 0

_Tensors = tuple[Tensor, ...] | list[Tensor]


class GAN(L.LightningModule):
    """A generator that draws faces, and a discriminator that tells them from real ones, trained against each other.

    A checkpoint is self-contained: it holds both networks, the average of the generator and, of a conditional model,
    the labels of the training faces, from whose joint distribution it samples.

    Args:
        attributes: the K names that a conditional model is told of.
        conditional: draw faces with attributes that are asked for, and judge them by it.
        image_size: side in pixels of the faces that are drawn: 8, 16, 32, 64, 128 ...
        latent_size: Z, numbers that a face is made from.
        width: channels of the generator's last map; every map before it has twice as many.
        discriminator_width: channels of the discriminator's first map; ``width`` by default.
        normalise: what normalises the discriminator, see :class:`~celeba_lab.models.gan.networks.Discriminator`.
        loss: the name and the settings of :func:`~celeba_lab.models.gan.losses.build_adversarial_loss`.
        r1: weight of the gradient penalty at real images; 0 for none. Penalties look at single images, which batch
            normalisation would mix.
        gradient_penalty: weight of the one between real and generated images, of WGAN-GP; 0 for none.
        auxiliary: of a conditional model, weight of the loss on the attributes that the discriminator sees (AC-GAN),
            beside its projection; 0 for the projection alone.
        augment: arguments of :class:`DiffAugment`, on all that the discriminator sees.
        flip: probability that a real image is mirrored.
        optimizer: a name in ``torch.optim``.
        lr: learning rate of the generator, and of the discriminator where it has none of its own.
        discriminator_lr: learning rate of the discriminator.
        betas: of Adam, two; (0.5, 0.999) by default.
        n_disc: steps of the discriminator for each one of the generator.
        joint_batch: show the discriminator real and generated images in one batch, which share its batch statistics.
        ema: weight of the past in the average of the generator's weights; 0 for no average.
        channels_last: memory format of the networks; faster on every processor that we measured.

    Raises:
        UserError: a setting is out of range, or two contradict each other.

    Example:
        >>> model = GAN(image_size=64).eval()
        >>> faces, _ = model.sampler().sample(2)
        >>> faces.shape
        torch.Size([2, 3, 64, 64])
    """

    fixed_latents: Tensor

    def __init__(
        self,
        attributes: list[str] | None = None,
        conditional: bool = False,
        image_size: int = 32,
        latent_size: int = 100,
        width: int = 32,
        discriminator_width: int | None = None,
        normalise: str = "batch",
        loss: dict[str, Any] | None = None,
        r1: float = 0.0,
        gradient_penalty: float = 0.0,
        auxiliary: float = 0.0,
        augment: dict[str, float] | None = None,
        flip: float = 0.0,
        optimizer: str = "Adam",
        lr: float = 2e-4,
        discriminator_lr: float | None = None,
        betas: list[float] | None = None,
        n_disc: int = 1,
        joint_batch: bool = False,
        ema: float = 0.0,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        _check_ranges(self.hparams)
        self.adversarial_loss = build_adversarial_loss(**(loss or {"name": "non_saturating"}))
        _check_penalties(self.hparams, self.adversarial_loss)
        if conditional and not attributes:
            raise UserError("model.conditional=true needs attributes to be told of: model.attributes=[Smiling,Male].")
        self.automatic_optimization = False
        self.attributes = list(attributes or []) if conditional else []
        num_attributes = len(self.attributes)
        self.generator = Generator(image_size, latent_size, width, num_attributes)
        self.discriminator = Discriminator(
            image_size, discriminator_width or width, num_attributes, normalise, classifies=auxiliary > 0
        )
        self.average = AveragedModel(self.generator, multi_avg_fn=self._average, use_buffers=True) if ema else None
        if self.average is not None:
            self.average.requires_grad_(False)
        self.diff_augment = DiffAugment(**(augment or {}))
        latents = torch.randn(64, latent_size, generator=torch.Generator().manual_seed(_FIXED_SEED))
        self.register_buffer("fixed_latents", latents)
        self.training_labels = np.empty((0, num_attributes), dtype=np.uint8)
        self.trained_on: str | None = None  # the name of the data
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.generator.to(memory_format=self._memory_format)
        self.discriminator.to(memory_format=self._memory_format)
        self._sums: dict[str, Tensor] = {}
        self._steps = {"discriminator": 0, "generator": 0}

    # -- drawing faces -----------------------------------------------------------------------------------------------

    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        """Return faces of the averaged generator, float (B, 3, S, S) in [-1, 1], of latents, float (B, Z)."""
        return self.sampler().network(latents, attributes)

    def sampler(self, averaged: bool = True) -> FaceSampler:
        """Return the generator with what it takes to ask it for faces.

        Args:
            averaged: use the average of its weights over the steps where there is one, else the last weights.
        """
        averaged = averaged and self.average is not None
        network = cast(AveragedModel, self.average).module if averaged else self.generator
        weights = "ema" if averaged else "raw"
        return FaceSampler(cast(Generator, network), self.attributes, self.training_labels, self.trained_on, weights)

    # -- one batch ---------------------------------------------------------------------------------------------------

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Teach the discriminator, and every ``n_disc`` batches the generator, which draws one batch for both."""
        d_optimizer, g_optimizer = cast(list[LightningOptimizer], self.optimizers())
        _count_no_step(g_optimizer)
        real = self._real_images(batch["image"])
        attributes = batch["label"] if self.attributes else None
        latents = torch.randn(len(real), self.hparams["latent_size"], device=self.device, dtype=real.dtype)
        fake = self.generator(latents, attributes).to(real.dtype)  # (B, 3, S, S)
        self._train_discriminator(d_optimizer, real, fake.detach(), attributes)
        if self.global_step % self.hparams["n_disc"] == 0:  # batches since the first epoch, this one included
            self._train_generator(g_optimizer, real, fake, attributes)
            if self.average is not None:
                self.average.update_parameters(self.generator)

    def _train_discriminator(
        self, optimizer: LightningOptimizer, real: Tensor, fake: Tensor, attributes: Tensor | None
    ) -> None:
        r1, penalty = self.hparams["r1"], self.hparams["gradient_penalty"]
        with self.toggled_optimizer(optimizer):
            real.requires_grad_(bool(r1))
            on_real, on_fake = self._judge(real, fake, attributes)
            loss = self.adversarial_loss.discriminator(on_real.logits, on_fake.logits)
            total = loss + self._attribute_loss("discriminator", on_real, attributes)
            if r1:
                total = total + r1 * r1_penalty(on_real.logits, real)
            if penalty:
                total = total + penalty * gradient_penalty(
                    lambda images: self._judge_one(images, attributes).logits, real, fake
                )
            optimizer.zero_grad()
            self.manual_backward(total)
            norm = self._gradient_norm(self.discriminator)
            optimizer.step()
            real.requires_grad_(False)
        probability = self.adversarial_loss.probability(on_real.logits.detach(), on_fake.logits.detach())
        self._steps["discriminator"] += 1
        self._note(
            {
                "discriminator_loss": loss.detach(),
                "D(x)": probability[0].mean(),
                "D(G(z))": probability[1].mean(),
                "discriminator_gradient_norm": norm,
            },
        )

    def _train_generator(
        self, optimizer: LightningOptimizer, real: Tensor, fake: Tensor, attributes: Tensor | None
    ) -> None:
        with self.toggled_optimizer(optimizer):
            if self.adversarial_loss.needs_real or self.hparams["joint_batch"]:
                on_real, on_fake = self._judge(real, fake, attributes)
            else:
                on_real, on_fake = None, self._judge_one(fake, attributes)
            loss = self.adversarial_loss.generator(on_real.logits if on_real else None, on_fake.logits)
            total = loss + self._attribute_loss("generator", on_fake, attributes)
            optimizer.zero_grad()
            self.manual_backward(total)
            norm = self._gradient_norm(self.generator)
            optimizer.step()
        self._steps["generator"] += 1
        self._note({"generator_loss": loss.detach(), "generator_gradient_norm": norm})

    def _attribute_loss(self, player: str, verdict: Verdict, attributes: Tensor | None) -> Tensor | float:
        """Return the weighted loss on attributes; 0 where the discriminator says nothing of them."""
        if verdict.attributes is None or attributes is None:
            return 0.0
        loss = attribute_loss(verdict.attributes, attributes)
        self._note({f"{player}_attribute_loss": loss.detach()})
        return self.hparams["auxiliary"] * loss

    def _judge(self, real: Tensor, fake: Tensor, attributes: Tensor | None) -> tuple[Verdict, Verdict]:
        """Return what the discriminator says, in float32, of real and of generated images."""
        if not self.hparams["joint_batch"]:
            return self._judge_one(real, attributes), self._judge_one(fake, attributes)
        twice = None if attributes is None else attributes.repeat(2, 1)
        logits, seen = self._judge_one(torch.cat([real, fake]), twice)
        n = len(real)
        on_real = Verdict(logits[:n], None if seen is None else seen[:n])
        return on_real, Verdict(logits[n:], None if seen is None else seen[n:])

    def _judge_one(self, images: Tensor, attributes: Tensor | None) -> Verdict:
        logits, seen = self.discriminator(self.diff_augment(images), attributes)
        return Verdict(logits.float(), None if seen is None else seen.float())

    def _gradient_norm(self, network: nn.Module) -> Tensor:
        """Return the L2 norm of all gradients of a network, a scalar; 0 of a step that float16 overflowed in."""
        norm = nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)  # of 16-mixed alone
        if scaler is None:
            return norm
        return (norm / scaler.get_scale()).nan_to_num(nan=0.0, posinf=0.0)  # Lightning skips such a step

    def _real_images(self, images: Tensor) -> Tensor:
        """Return float (B, 3, S, S) in [-1, 1] of raw faces, some of them mirrored."""
        size = self.hparams["image_size"]
        signed = images.to(self.fixed_latents.dtype) / 127.5 - 1
        if signed.shape[-2:] != (size, size):
            signed = F.interpolate(signed, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        if flip := self.hparams["flip"]:
            mirrored = torch.rand(len(signed), 1, 1, 1, device=signed.device) < flip
            signed = torch.where(mirrored, signed.flip(-1), signed)
        return signed.contiguous(memory_format=self._memory_format)

    @torch.no_grad()
    def _average(self, averages: _Tensors, currents: _Tensors, count: Tensor | int) -> None:
        """Average all tensors of one type; the decay warms up, so that the first weights are soon forgotten."""
        if not averages[0].is_floating_point():
            torch._foreach_copy_(averages, currents)
            return
        n = int(count)
        torch._foreach_lerp_(averages, currents, 1 - min(self.hparams["ema"], (1 + n) / (10 + n)))

    # -- one epoch ---------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Learn as this run was told to: a continued one finds the rates of the old one in its optimizers."""
        for optimizer, rate in zip(self.trainer.optimizers, self._rates(), strict=True):
            self._set_rate(optimizer, rate)

    def _note(self, measured: Mapping[str, Tensor]) -> None:
        """Add to the sums of the epoch; logging each step would cost as much as a layer."""
        for name, value in measured.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def on_train_epoch_start(self) -> None:
        """Begin new sums."""
        self._sums, self._steps = {}, {"discriminator": 0, "generator": 0}

    def on_train_epoch_end(self) -> None:
        """Log the means of the epoch over its steps, and over processes."""
        means = {f"train/{name}": value for name, value in self.epoch_means().items()}
        self.log_dict(means, sync_dist=self.trainer.world_size > 1)

    def epoch_means(self) -> dict[str, float]:
        """Return losses, D(x), D(G(z)) and gradient norms, averaged over the steps of this epoch so far."""
        means = {}
        for name, total in self._sums.items():
            player = "generator" if name.startswith("generator") else "discriminator"
            means[name] = total.item() / self._steps[player]
        return means

    def broken_losses(self) -> list[str]:
        """Return in words which losses of this epoch are no longer finite."""
        losses = {name: value for name, value in self.epoch_means().items() if name.endswith("loss")}
        return [name.replace("_", " ") for name, value in losses.items() if not math.isfinite(value)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the name of the data and the labels that a conditional model samples from, eight to a byte."""
        checkpoint["trained_on"] = self.trained_on
        if self.attributes:
            packed = np.packbits(self.training_labels, axis=1)
            checkpoint["training_labels"] = torch.from_numpy(packed)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take both up again."""
        self.trained_on = checkpoint["trained_on"]
        if self.attributes:
            packed = checkpoint["training_labels"].numpy()
            self.training_labels = np.unpackbits(packed, axis=1, count=len(self.attributes))

    # -- learning ----------------------------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build an optimizer for each player, the discriminator's first."""
        optimizers: list[Optimizer] = []
        for network, rate in zip((self.discriminator, self.generator), self._rates(), strict=True):
            optimizer = build_optimizer(self.hparams["optimizer"], [network], rate, weight_decay=0.0)
            self._set_rate(optimizer, rate)
            optimizers.append(optimizer)
        return optimizers

    def _rates(self) -> tuple[float, float]:
        """Return the learning rates of the discriminator and of the generator."""
        own = self.hparams["discriminator_lr"]
        return self.hparams["lr"] if own is None else own, self.hparams["lr"]

    def _set_rate(self, optimizer: Optimizer, rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate
            if "betas" in group:
                group["betas"] = tuple(self.hparams["betas"] or (0.5, 0.999))


def _check_ranges(settings: Mapping[str, Any]) -> None:
    for name in ("latent_size", "width", "n_disc"):
        if settings[name] < 1:
            raise UserError(f"model.{name}={settings[name]} must be at least 1.")
    for name in ("flip", "ema"):
        if not 0 <= settings[name] <= 1:
            raise UserError(f"model.{name}={settings[name]} must lie between 0 and 1.")
    for name in ("r1", "gradient_penalty", "auxiliary"):
        if settings[name] < 0:
            raise UserError(f"model.{name}={settings[name]:g}: give a number from 0.")
    for name in ("lr", "discriminator_lr"):
        if settings[name] is not None and settings[name] <= 0:
            raise UserError(f"model.{name}={settings[name]:g} must be above 0.")
    betas = settings["betas"]
    if betas is not None and (len(betas) != 2 or not all(0 <= beta < 1 for beta in betas)):
        raise UserError(f"model.betas={list(betas)}: give two numbers from 0 and below 1: model.betas=[0.5,0.999].")


def _check_penalties(settings: Mapping[str, Any], loss: AdversarialLoss) -> None:
    penalties = [name for name in ("r1", "gradient_penalty") if settings[name]]
    if penalties and settings["normalise"] == "batch":
        raise UserError(
            f"model.{penalties[0]}={settings[penalties[0]]:g} penalises the slope at single images, which"
            " model.normalise=batch mixes. Add model.normalise=none (or spectral)."
        )
    if loss.critic and not penalties and settings["normalise"] != "spectral":
        raise UserError(
            "model.loss.name=wasserstein has no bound without a penalty: add model.gradient_penalty=10"
            " model.normalise=none (as loss=wasserstein does), or model.normalise=spectral."
        )


def _count_no_step(optimizer: LightningOptimizer) -> None:
    """Let ``global_step`` and ``max_steps`` count batches: Lightning would count the steps of both optimizers."""
    optimizer._on_before_step = optimizer._on_after_step = lambda: None
