"""Sample faces from a trained generator."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from celeba_lab.console import progress
from celeba_lab.errors import SettingError, UserError, check_above, did_you_mean
from celeba_lab.models.checkpoint_format import check_fit
from celeba_lab.models.gan.networks import Generator

_BATCH = 250  # faces per batch; larger batches are not faster


class FaceSampler:
    """A generator and the training labels from which attributes are sampled.

    Args:
        network: Generator network.
        attributes: Names of the generator's K attributes; empty if the generator is unconditional.
        labels: Labels of the training faces, uint8 (N, K). Attributes are drawn from the joint distribution of these
            labels.
        trained_on: Name of the training dataset, or None if unknown.
        generator_weights: Type of weights in the generator, either ``ema`` (moving average) or ``raw`` (weights of the
            last step).

    Raises:
        UserError: The generator is conditional, but ``labels`` is empty.

    Example:
        >>> generator = Generator(image_size=16, width=8, num_attributes=1)
        >>> sampler = FaceSampler(generator, ["Smiling"], labels=np.array([[0], [1]], dtype=np.uint8))
        >>> faces, attributes = sampler.sample(3, seed=0, requested={"Smiling": 1})
        >>> faces.shape, faces.dtype, attributes.flatten().tolist()
        (torch.Size([3, 3, 16, 16]), torch.uint8, [1, 1, 1])
    """

    def __init__(
        self,
        network: Generator,
        attributes: Sequence[str],
        labels: np.ndarray,
        trained_on: str | None = None,
        generator_weights: str = "raw",
    ) -> None:
        if len(attributes) and not len(labels):
            raise UserError("A conditional generator requires the labels of its training faces, but none were given.")
        self.network = network
        self.attributes = list(attributes)
        self.labels = labels
        self.trained_on = trained_on
        self.generator_weights = generator_weights

    @classmethod
    def from_checkpoint(cls, content: Mapping[str, Any], averaged: bool = True) -> "FaceSampler":
        """Build a sampler from a GAN checkpoint, with the generator in evaluation mode.

        Args:
            content: Content of a :class:`~celeba_lab.models.gan.module.GAN` checkpoint.
            averaged: If true, use the averaged weights, provided that the checkpoint contains them.
        """
        settings, state = content["hyper_parameters"], content["state_dict"]
        averaged = averaged and settings["ema"] > 0
        attributes = list(settings["attributes"] or []) if settings["conditional"] else []
        prefix = "average.module." if averaged else "generator."
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        sizes = (settings["image_size"], settings["latent_size"], settings["width"], len(attributes))
        check_fit(lambda: Generator(*sizes), weights)
        network = Generator(*sizes)
        network.load_state_dict(weights)
        if settings["channels_last"]:
            network.to(memory_format=torch.channels_last)
        labels = np.empty((0, 0), dtype=np.uint8)
        if attributes:
            labels = np.unpackbits(content["training_labels"].numpy(), axis=1, count=len(attributes))
        return cls(network.eval(), attributes, labels, content["trained_on"], "ema" if averaged else "raw")

    @property
    def device(self) -> torch.device:
        """Device of the generator."""
        return next(self.network.parameters()).device

    def latents(self, n: int, seed: int | None = None, truncation: float | None = None) -> Tensor:
        """Draw latents from a standard normal distribution, float (n, Z) on the generator's device.

        Args:
            n: Number of latents to draw.
            seed: Random seed. A seed gives the same latents on every device. If None, use torch's global random number
                generator.
            truncation: Maximum absolute value of each latent variable. Values beyond this limit are redrawn. A low
                limit gives typical faces with little variety (Brock et al., "Large Scale GAN Training for High Fidelity
                Natural Image Synthesis", ICLR 2019). If None, the values are not limited.

        Raises:
            SettingError: ``truncation`` is not above 0.
        """
        check_above("truncation", truncation, 0)
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        latents = torch.empty(n, self.network.latent_size)
        if truncation is None:
            latents.normal_(generator=generator)
        else:
            nn.init.trunc_normal_(latents, a=-truncation, b=truncation, generator=generator)
        return latents.to(next(self.network.parameters()))

    def draw_attributes(
        self, n: int, requested: Mapping[str, int] | None = None, seed: int | None = None
    ) -> Tensor | None:
        """Draw attributes for n faces.

        Each row contains the labels of a random training face that has all requested values, so the other attributes
        follow their conditional distribution. If no training face has all requested values, each row contains the
        labels of a random training face, with the requested attributes set to the requested values.

        Args:
            n: Number of faces.
            requested: Requested values by attribute name: 1 for faces with the attribute, 0 for faces without it.
            seed: Random seed. If None, use torch's global random number generator.

        Returns:
            The attributes, uint8 (n, K) on the generator's device, or None for an unconditional generator.

        Raises:
            UserError: The generator is unconditional or was not trained with a requested attribute.
            SettingError: A requested value is neither 0 nor 1.
        """
        columns = self._columns(requested or {})
        if not self.attributes:
            return None
        fitting = np.ones(len(self.labels), dtype=bool)
        for k, value in columns.items():
            fitting &= self.labels[:, k] == value
        pool = torch.from_numpy(self.labels[fitting] if fitting.any() else self.labels)
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        drawn = pool[torch.randint(len(pool), (n,), generator=generator)]  # (n, K), a copy
        for k, value in columns.items():
            drawn[:, k] = value
        return drawn.to(self.device)

    def _columns(self, requested: Mapping[str, int]) -> dict[int, int]:
        """Return the requested values, keyed by column index."""
        for name, value in requested.items():
            if not self.attributes:
                raise UserError(
                    f"This generator is unconditional, so {name} cannot be requested. Use a conditional generator."
                )
            if name not in self.attributes:
                hint = did_you_mean(name, self.attributes)
                raise UserError(
                    f"This generator has no attribute {name}. The available attributes are"
                    f" {', '.join(self.attributes)}.{hint}"
                )
            if value not in (0, 1):
                raise SettingError(f"attributes.{name}", value, "must be 1 to request the attribute or 0 to exclude it")
        return {self.attributes.index(name): int(value) for name, value in requested.items()}

    @torch.no_grad()
    def draw(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        """Generate faces with the generator in evaluation mode, uint8 (N, 3, S, S) on the CPU.

        Args:
            latents: Latents, float (N, Z).
            attributes: Attributes for a conditional generator, (N, K) in [0, 1].

        Raises:
            UserError: The latents or the attributes have the wrong shape.
        """
        training = self.network.training
        self.network.eval()
        faces = []
        for start in progress(range(0, len(latents), _BATCH), "generating faces", unit="batches"):
            part = slice(start, start + _BATCH)
            signed = self.network(latents[part], None if attributes is None else attributes[part]).float()
            faces.append(((signed + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu())
        self.network.train(training)
        return torch.cat(faces)

    def sample(
        self,
        n: int,
        seed: int | None = None,
        truncation: float | None = None,
        requested: Mapping[str, int] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Generate faces.

        Args:
            n: Number of faces to generate.
            seed: Random seed for latents and attributes. If None, use torch's global random number generator.
            truncation: Maximum absolute value of the latents; see :meth:`latents`.
            requested: Requested attributes; see :meth:`draw_attributes`.

        Returns:
            The faces, uint8 (n, 3, S, S), and their attributes, uint8 (n, K) or None, both on the CPU.

        Raises:
            UserError: See :meth:`latents` and :meth:`draw_attributes`.
        """
        attributes = self.draw_attributes(n, requested, seed)
        faces = self.draw(self.latents(n, seed, truncation), attributes)
        return faces, None if attributes is None else attributes.cpu()


def slerp(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Return latents on the arc between two latents, including both ends, float (steps, Z).

    Spherical interpolation (Shoemake, SIGGRAPH 1985) preserves the typical norm of the latents. A straight line would
    pass near the origin, where almost no latents are drawn during training (White, "Sampling Generative Networks",
    2016, arXiv:1609.04468).

    Args:
        first: First latent, float (Z,).
        last: Last latent, float (Z,).
        steps: Number of latents, at least 2.

    Example:
        >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), steps=3)[1]
        tensor([0.7071, 0.7071])
    """
    share = torch.linspace(0, 1, steps, device=first.device).unsqueeze(1)  # (steps, 1)
    cosine = torch.nn.functional.cosine_similarity(first, last, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if angle.sin() < 1e-4:  # for parallel latents, the formula below would divide by 0
        return torch.lerp(first, last, share)
    return (((1 - share) * angle).sin() * first + (share * angle).sin() * last) / angle.sin()
