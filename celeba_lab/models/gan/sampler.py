"""Drawing faces with a trained generator, whether it comes from a checkpoint or was exported alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from celeba_lab.errors import UserError, did_you_mean
from celeba_lab.models.gan.networks import Generator

_BATCH = 250  # faces; larger batches are no faster


class FaceSampler:
    """A generator and what it takes to ask it for faces.

    Args:
        network: draws them.
        attributes: the K names that it was told of; none of an unconditional one.
        labels: uint8 (N, K), of the training faces, from whose joint distribution attributes are drawn.
        trained_on: the name of the training data; None where it is not known.
        weights: which of the generator's weights these are: ``ema``, an average over the steps, or ``raw``, the last.

    Raises:
        UserError: the generator was told of attributes, and there is no label to draw from.
    """

    def __init__(
        self,
        network: Generator,
        attributes: Sequence[str],
        labels: np.ndarray,
        trained_on: str | None = None,
        weights: str = "raw",
    ) -> None:
        if len(attributes) and not len(labels):
            raise UserError("A conditional generator samples the labels of its training faces, and there are none.")
        self.network = network
        self.attributes = list(attributes)
        self.labels = labels
        self.trained_on = trained_on
        self.weights = weights

    @property
    def device(self) -> torch.device:
        """Where the generator is."""
        return next(self.network.parameters()).device

    def latents(self, n: int, seed: int | None = None, truncation: float | None = None) -> Tensor:
        """Return latents, float (n, Z) on the generator's device, standard normal.

        Args:
            n: how many.
            seed: gives the same latents on every device; the global generator by default.
            truncation: numbers farther from 0 than this are drawn again, which trades variety for typical faces
                (Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", ICLR 2019).

        Raises:
            UserError: the truncation is not above 0.
        """
        if truncation is not None and truncation <= 0:
            raise UserError(f"truncation={truncation:g} must be above 0; null for none.")
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        latents = torch.empty(n, self.network.latent_size)
        if truncation is None:
            latents.normal_(generator=generator)
        else:
            nn.init.trunc_normal_(latents, a=-truncation, b=truncation, generator=generator)
        return latents.to(next(self.network.parameters()))

    def draw_attributes(self, n: int, asked: Mapping[str, int] | None = None, seed: int | None = None) -> Tensor | None:
        """Return attributes of n faces to draw, uint8 (n, K) on the generator's device; None if it was told of none.

        Each row is that of a training face, picked at random among those that have what is asked for, so everything
        else follows its true distribution given that. Where no training face has it all, it is written over random
        rows.

        Args:
            n: how many.
            asked: attribute to 0 or 1.
            seed: of the picks; the global generator by default.

        Raises:
            UserError: the generator was told of no attributes, or not of this one, or a value is neither 0 nor 1.
        """
        columns = self._columns(asked or {})
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

    def _columns(self, asked: Mapping[str, int]) -> dict[int, int]:
        """Return column to value of what is asked for."""
        for name, value in asked.items():
            if not self.attributes:
                raise UserError(
                    f"This generator was not told of attributes, so it cannot be asked for {name}. Train one that is:"
                    " experiment=gan model.conditional=true."
                )
            if name not in self.attributes:
                hint = did_you_mean(name, self.attributes)
                raise UserError(f"This generator knows no {name}, only {', '.join(self.attributes)}.{hint}")
            if value not in (0, 1):
                raise UserError(f"attributes: {name} is {value}; 1 asks for an attribute, 0 refuses it.")
        return {self.attributes.index(name): int(value) for name, value in asked.items()}

    @torch.no_grad()
    def draw(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        """Return faces, uint8 (N, 3, S, S) on the CPU, as the network at rest draws them.

        Args:
            latents: float (N, Z).
            attributes: (N, K) from 0 to 1, for a conditional generator.

        Raises:
            UserError: the latents have another size.
        """
        training = self.network.training
        self.network.eval()
        faces = []
        for start in range(0, len(latents), _BATCH):
            part = slice(start, start + _BATCH)
            signed = self.network(latents[part], None if attributes is None else attributes[part]).float()
            faces.append(((signed + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu())
        self.network.train(training)
        return torch.cat(faces)

    def sample(
        self, n: int, seed: int | None = None, truncation: float | None = None, asked: Mapping[str, int] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return n faces, uint8 (n, 3, S, S), and what was asked of each, uint8 (n, K) or None, both on the CPU.

        Args:
            n: how many.
            seed: see :meth:`latents`.
            truncation: see :meth:`latents`.
            asked: see :meth:`draw_attributes`.

        Raises:
            UserError: see these two.
        """
        attributes = self.draw_attributes(n, asked, seed)
        faces = self.draw(self.latents(n, seed, truncation), attributes)
        return faces, None if attributes is None else attributes.cpu()


def slerp(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Return latents on the arc between two, float (steps, Z), both ends included.

    Spherical interpolation (Shoemake, SIGGRAPH 1985) keeps their length typical; a straight line would pass near the
    origin, where no training latent lay (White, "Sampling Generative Networks", 2016, arXiv:1609.04468).

    Args:
        first: float (Z,).
        last: float (Z,).
        steps: at least 2.
    """
    share = torch.linspace(0, 1, steps, device=first.device).unsqueeze(1)  # (steps, 1)
    cosine = torch.nn.functional.cosine_similarity(first, last, dim=0).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if angle.sin() < 1e-4:  # the same direction, or its opposite, to which no arc is the shortest
        return torch.lerp(first, last, share)
    return (((1 - share) * angle).sin() * first + (share * angle).sin() * last) / angle.sin()
