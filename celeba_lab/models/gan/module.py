"""Generative adversarial network with two optimizers and an averaged generator."""

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
from typing_extensions import override

from celeba_lab.errors import (
    SettingError,
    check_above,
    check_at_least,
    check_choice,
    check_fraction,
    check_keywords,
    settings_of,
)
from celeba_lab.models.averaging import AveragedWeights, MovingAverage
from celeba_lab.models.checkpoint_format import mark_checkpoint
from celeba_lab.models.gan.augment import DiffAugment
from celeba_lab.models.gan.losses import (
    AdversarialLoss,
    attribute_loss,
    build_adversarial_loss,
    gradient_penalty,
    r1_penalty,
)
from celeba_lab.models.gan.networks import (
    NORMALIZATIONS,
    Discriminator,
    DiscriminatorOutput,
    Generator,
    check_power_of_two,
)
from celeba_lab.models.gan.sampler import FaceSampler
from celeba_lab.models.loop_progress import correct_loop_progress
from celeba_lab.models.optimization import build_optimizer, check_betas, check_optimizer, describe_parameters

# Seed of the fixed latents from which all sample grids are generated. The seed does not affect training.
_FIXED_SEED = 0


class GAN(L.LightningModule):
    """A face generator and a discriminator that are trained against each other.

    Checkpoints are self-contained and store both networks and the averaged generator. The checkpoints of a conditional
    model also store the training labels, because attributes are sampled from the joint distribution of these labels.

    Args:
        attributes: Names of the K attributes of a conditional model.
        conditional: If true, condition both the generator and the discriminator on attributes.
        image_size: Side length of the generated faces in pixels. Must be a power of 2, from 8 to 256.
        latent_size: Number of latent variables per face, Z.
        width: Number of channels in the generator's last feature map. Each earlier map has twice
            as many channels as the next.
        discriminator_width: Number of channels in the discriminator's first feature map. Defaults to ``width``.
        normalization: Type of normalisation in the discriminator; see
            :class:`~celeba_lab.models.gan.networks.Discriminator`.
        loss: Name and settings of the loss; see
            :func:`~celeba_lab.models.gan.losses.build_adversarial_loss`.
        r1: Weight of the gradient penalty at real images; 0 disables it. Gradient penalties are computed for each image
            separately, so they cannot be combined with batch normalisation.
        gradient_penalty: Weight of the gradient penalty between real and generated images (WGAN-GP); 0 disables it.
        auxiliary: Weight of a conditional model's auxiliary attribute loss (AC-GAN), which is used in addition to the
            discriminator's projection; 0 disables this loss.
        augment: Arguments of :class:`~celeba_lab.models.gan.augment.DiffAugment`, which is applied to all inputs of the
            discriminator.
        flip: Probability that a real image is mirrored.
        optimizer: Name of an optimizer in ``torch.optim``.
        lr: Learning rate of the generator, and of the discriminator unless ``discriminator_lr`` is set.
        discriminator_lr: Learning rate of the discriminator. Defaults to ``lr``.
        betas: The two beta coefficients of Adam. Defaults to (0.5, 0.999).
        n_disc: Number of discriminator steps per generator step.
        joint_batch: If true, pass real and generated images through the discriminator in one batch, so that they share
            batch statistics.
        ema: Decay of the moving average of the generator's weights; see
            :class:`~celeba_lab.models.averaging.MovingAverage`. 0 disables averaging.
        channels_last: If true, use the memory format ``channels_last``, which was faster on all tested CPUs and GPUs.

    Raises:
        SettingError: A setting is unknown or out of range, or two settings contradict each other.

    Example:
        >>> model = GAN(image_size=16, width=8).eval()
        >>> faces, _ = model.sampler().sample(2)
        >>> faces.shape
        torch.Size([2, 3, 16, 16])
    """

    trained_on: str | None = None  # name of the training dataset
    divergence_advice = "Lower lr or discriminator_lr"

    fixed_latents: Tensor

    def __init__(
        self,
        attributes: list[str] | None = None,
        conditional: bool = False,
        image_size: int = 32,
        latent_size: int = 100,
        width: int = 32,
        discriminator_width: int | None = None,
        normalization: str = "batch",
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
        check_power_of_two("image_size", image_size)
        for name, n in (("latent_size", latent_size), ("width", width), ("discriminator_width", discriminator_width)):
            check_at_least(name, n, 1)
        check_choice("normalization", normalization, NORMALIZATIONS)
        for name, weight in (("r1", r1), ("gradient_penalty", gradient_penalty), ("auxiliary", auxiliary)):
            check_at_least(name, weight, 0)
        check_fraction("flip", flip)
        check_above("lr", lr, 0)
        check_above("discriminator_lr", discriminator_lr, 0)
        check_betas("betas", betas)
        check_at_least("n_disc", n_disc, 1)
        check_fraction("ema", ema)
        check_optimizer(optimizer)
        self.save_hyperparameters()
        with settings_of("loss"):
            self.adversarial_loss = build_adversarial_loss(**(loss or {"name": "non_saturating"}))
        _check_penalties(self.hparams, self.adversarial_loss)
        if conditional and not attributes:
            raise SettingError("attributes", attributes, "must name at least one attribute if conditional=true")
        self.automatic_optimization = False
        self.attributes = list(attributes or []) if conditional else []
        sizes = (image_size, discriminator_width or width, len(self.attributes))
        self.generator = Generator(image_size, latent_size, width, len(self.attributes))
        self.discriminator = Discriminator(*sizes, normalization, classifies=auxiliary > 0)
        self.average = _average(self.generator, ema) if ema else None
        with settings_of("augment"):
            check_keywords(augment or {}, DiffAugment)
            self.diff_augment = DiffAugment(**(augment or {}))
        self.register_buffer("fixed_latents", _fixed_latents(latent_size))
        self.training_labels = np.empty((0, len(self.attributes)), dtype=np.uint8)
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.generator.to(memory_format=self._memory_format)
        self.discriminator.to(memory_format=self._memory_format)
        self._sums: dict[str, Tensor] = {}
        self._steps = {"discriminator": 0, "generator": 0}

    # -- generation --------------------------------------------------------------------------------------------------

    @override
    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        """Generate faces with the averaged generator.

        Latents are float (B, Z), and faces are float (B, 3, S, S) in [-1, 1].
        """
        faces: Tensor = self.sampler().network(latents, attributes)
        return faces

    def sampler(self, averaged: bool = True) -> FaceSampler:
        """Return a sampler for the generator.

        Args:
            averaged: If true, use the averaged weights when available. If false, use the weights of the last step.
        """
        network, weights = self.generator, "raw"
        if averaged and self.average is not None:
            network, weights = cast(Generator, self.average.module), "ema"
        return FaceSampler(network, self.attributes, self.training_labels, self.trained_on, weights)

    # -- batches -----------------------------------------------------------------------------------------------------

    @override
    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Update the discriminator and, every ``n_disc`` batches, also update the generator with the same faces."""
        d_optimizer, g_optimizer = cast(list[LightningOptimizer], self.optimizers())
        _count_no_step(g_optimizer)
        real = self._real_images(batch["image"])
        attributes = batch["label"] if self.attributes else None
        latents = torch.randn(len(real), self.hparams["latent_size"], device=self.device, dtype=real.dtype)
        fake = self.generator(latents, attributes).to(real.dtype)  # (B, 3, S, S)
        self._train_discriminator(d_optimizer, real, fake.detach(), attributes)
        if self.global_step % self.hparams["n_disc"] == 0:  # global_step counts batches across epochs
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

    def _attribute_loss(self, player: str, output: DiscriminatorOutput, attributes: Tensor | None) -> Tensor | float:
        """Return the weighted attribute loss, or 0 if the discriminator does not predict attributes."""
        if output.attributes is None or attributes is None:
            return 0.0
        loss = attribute_loss(output.attributes, attributes)
        self._note({f"{player}_attribute_loss": loss.detach()})
        weight: float = self.hparams["auxiliary"]
        return weight * loss

    def _judge(
        self, real: Tensor, fake: Tensor, attributes: Tensor | None
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """Return the discriminator's float32 outputs for real and generated images."""
        if not self.hparams["joint_batch"]:
            return self._judge_one(real, attributes), self._judge_one(fake, attributes)
        twice = None if attributes is None else attributes.repeat(2, 1)
        logits, predicted = self._judge_one(torch.cat([real, fake]), twice)
        n = len(real)
        on_real = DiscriminatorOutput(logits[:n], None if predicted is None else predicted[:n])
        return on_real, DiscriminatorOutput(logits[n:], None if predicted is None else predicted[n:])

    def _judge_one(self, images: Tensor, attributes: Tensor | None) -> DiscriminatorOutput:
        logits, predicted = self.discriminator(self.diff_augment(images), attributes)
        return DiscriminatorOutput(logits.float(), None if predicted is None else predicted.float())

    def _gradient_norm(self, network: nn.Module) -> Tensor:
        """Return the total L2 norm of a network's gradients, or 0 if the gradients overflowed in float16."""
        norm: Tensor = nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)  # only precision=16-mixed uses a scaler
        if scaler is None:
            return norm
        unscaled: Tensor = norm / scaler.scale(norm.new_ones(()))  # scaler.get_scale() would wait for the device.
        return unscaled.nan_to_num(nan=0.0, posinf=0.0)  # Lightning skips steps with overflowing gradients

    def _real_images(self, images: Tensor) -> Tensor:
        """Convert raw faces to float (B, 3, S, S) in [-1, 1], and mirror each face with probability ``flip``."""
        size = self.hparams["image_size"]
        signed = images.to(self.fixed_latents.dtype) / 127.5 - 1
        if signed.shape[-2:] != (size, size):
            signed = F.interpolate(signed, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        if flip := self.hparams["flip"]:
            mirrored = torch.rand(len(signed), 1, 1, 1, device=signed.device) < flip
            signed = torch.where(mirrored, signed.flip(-1), signed)
        return signed.contiguous(memory_format=self._memory_format)

    # -- epochs ------------------------------------------------------------------------------------------------------

    @override
    def on_train_start(self) -> None:
        # A resumed run uses the configured learning rates instead of the learning rates stored in the checkpoint.
        for optimizer, rate in zip(self.trainer.optimizers, self._rates(), strict=True):
            self._set_rate(optimizer, rate)
        self._sums = {name: total.to(self.device) for name, total in self._sums.items()}

    def _note(self, measured: Mapping[str, Tensor]) -> None:
        """Add values to the epoch's running sums. Logging at every step would cost as much time as an extra layer."""
        for name, value in measured.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    @override
    def on_train_epoch_start(self) -> None:
        self._sums, self._steps = {}, {"discriminator": 0, "generator": 0}

    @override
    def on_train_epoch_end(self) -> None:
        means = {f"train/{name}": value for name, value in self.epoch_means().items()}
        self.log_dict(means, sync_dist=self.trainer.world_size > 1)

    def epoch_means(self) -> dict[str, float]:
        """Return the losses, D(x), D(G(z)) and gradient norms, averaged over the current epoch so far."""
        means = {}
        for name, total in self._sums.items():
            player = "generator" if name.startswith("generator") else "discriminator"
            means[name] = total.item() / self._steps[player]
        return means

    def describe(self) -> str:
        """Return a one-line summary of the image size, conditioning and parameter counts."""
        size = self.hparams["image_size"]
        condition = f"conditional on {len(self.attributes)} attributes" if self.attributes else "unconditional"
        return (
            f"GAN, {size} x {size} pixels, {condition}; generator: {describe_parameters(self.generator)};"
            f" discriminator: {describe_parameters(self.discriminator)}"
        )

    @property
    def charts(self) -> dict[str, dict[str, list[str]]]:
        """Metrics that are best seen in one chart, as regular expressions by the title of a group and of a chart.

        D(x) and D(G(z)) are left out, because TensorBoard draws no lines for names with parentheses in such a chart.
        """
        return {
            "distances to real faces": {"KID x 1,000": ["^heldout/kid/"], "FID": ["^heldout/fid/"]},
            "generator and discriminator": {
                "losses": ["^train/generator_loss$", "^train/discriminator_loss$"],
                "gradient norms": ["^train/generator_gradient_norm$", "^train/discriminator_gradient_norm$"],
            },
        }

    def running_losses(self) -> dict[str, float]:
        """Return the mean losses of the current epoch by display name. This call synchronises with the device."""
        return {name.replace("_", " "): value for name, value in self.epoch_means().items() if name.endswith("loss")}

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        mark_checkpoint(checkpoint, "gan")
        checkpoint["trained_on"] = self.trained_on
        checkpoint["epoch_sums"] = {"sums": self._mean_over_processes(self._sums), "steps": self._steps}
        if self.attributes:
            packed = np.packbits(self.training_labels, axis=1)  # eight labels per byte
            checkpoint["training_labels"] = torch.from_numpy(packed)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        correct_loop_progress(checkpoint)
        self.trained_on = checkpoint["trained_on"]
        sums = checkpoint.get("epoch_sums", {"sums": {}, "steps": self._steps})  # missing in earlier checkpoints
        self._sums = {name: torch.as_tensor(total).reshape(()) for name, total in sums["sums"].items()}
        self._steps = {player: int(sums["steps"][player]) for player in self._steps}
        if self.attributes:
            packed = checkpoint["training_labels"].numpy()
            self.training_labels = np.unpackbits(packed, axis=1, count=len(self.attributes))

    def _mean_over_processes(self, sums: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average the running sums over all processes, which all save a checkpoint at the same time."""
        if self._trainer is None or self.trainer.world_size == 1:
            return sums
        # The reduction changes its argument.
        return {name: self.trainer.strategy.reduce(total.clone()) for name, total in sums.items()}

    # -- learning ----------------------------------------------------------------------------------------------------

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the discriminator's optimizer and the generator's optimizer, in that order."""
        optimizers: list[Optimizer] = []
        for network, rate in zip((self.discriminator, self.generator), self._rates(), strict=True):
            optimizer = build_optimizer(self.hparams["optimizer"], [network], rate, weight_decay=0.0)
            self._set_rate(optimizer, rate)
            optimizers.append(optimizer)
        return optimizers

    def _rates(self) -> tuple[float, float]:
        """Return the learning rates of the discriminator and the generator."""
        own = self.hparams["discriminator_lr"]
        return self.hparams["lr"] if own is None else own, self.hparams["lr"]

    def _set_rate(self, optimizer: Optimizer, rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate
            if "betas" in group:
                group["betas"] = tuple(self.hparams["betas"] or (0.5, 0.999))


def _average(generator: Generator, decay: float) -> AveragedWeights:
    """Return a moving average of a generator's weights. The average itself is not trained."""
    average = AveragedWeights(generator, multi_avg_fn=MovingAverage(decay), use_buffers=True)
    return average.requires_grad_(False)


def _fixed_latents(latent_size: int) -> Tensor:
    """Return the fixed latents from which all sample grids are generated, float (64, Z)."""
    return torch.randn(64, latent_size, generator=torch.Generator().manual_seed(_FIXED_SEED))


def _check_penalties(settings: Mapping[str, Any], loss: AdversarialLoss) -> None:
    penalties = [name for name in ("r1", "gradient_penalty") if settings[name]]
    if penalties and settings["normalization"] == "batch":
        [name, *_] = penalties
        rule = "cannot be combined with normalization=batch, which makes each output depend on the whole batch"
        raise SettingError(name, settings[name], rule, "Set normalization=none or normalization=spectral.")
    if loss.critic and not penalties and settings["normalization"] != "spectral":
        rule = "is unbounded without a gradient penalty or spectral normalisation"
        hint = "Set gradient_penalty=10 and normalization=none, or set normalization=spectral."
        raise SettingError("loss.name", "wasserstein", rule, hint)


def _count_no_step(optimizer: LightningOptimizer) -> None:
    """Make ``global_step`` and ``max_steps`` count batches instead of the steps of both optimizers."""
    optimizer._on_before_step = optimizer._on_after_step = lambda: None
