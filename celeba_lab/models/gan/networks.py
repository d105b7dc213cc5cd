"""Generator and discriminator of a DCGAN for images of 32, 64, 128 ... pixels, with or without attributes."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from celeba_lab.errors import UserError, did_you_mean

_START = 4  # pixels of the smallest feature map
_SLOPE = 0.2  # of the leaky ReLU
_INIT = 0.02  # standard deviation of the first weights

NORMALISE = ("batch", "spectral", "none")


class Generator(nn.Module):
    """Latents to images: a 4 x 4 map that doubles its side and halves its channels until it is an image.

    After Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
    Adversarial Networks" (ICLR 2016). At 32 pixels and a width of 32 the maps have 128, 64 and 32 channels.

    Args:
        image_size: side of the images in pixels: 8, 16, 32, 64, 128 ...
        latent_size: Z, numbers that an image is made from.
        width: channels of the last map before the image.
        num_attributes: K attributes that the image shall have; 0 for a generator that is told nothing.

    Raises:
        UserError: there are no images of this size.

    Example:
        >>> Generator(image_size=64)(torch.randn(2, 100)).shape
        torch.Size([2, 3, 64, 64])
    """

    def __init__(
        self,
        image_size: int = 32,
        latent_size: int = 100,
        width: int = 32,
        num_attributes: int = 0,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.width = width
        self.latent_size = latent_size
        self.num_attributes = num_attributes
        channels = [width * 2**k for k in reversed(range(_doublings(image_size)))]  # the deepest map first
        inputs = latent_size + num_attributes
        # A transposed convolution of a single pixel; as a matrix product it takes a third of the time.
        self.spread = nn.Linear(inputs, _START * _START * channels[0], bias=False)
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(channels):
            layers += [nn.BatchNorm2d(wide), nn.ReLU(inplace=True), _double(wide, narrow)]
        layers += [nn.BatchNorm2d(channels[-1]), nn.ReLU(inplace=True), _double(channels[-1], 3), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        _initialise(self)

    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        """Return images, float (B, 3, S, S) in [-1, 1].

        Args:
            latents: float (B, Z), standard normal.
            attributes: (B, K) of 0 and 1, for a generator that is told of them; on the way from one face to another,
                between the two.

        Raises:
            UserError: the latents or the attributes have another size.
        """
        if latents.ndim != 2 or latents.shape[1] != self.latent_size:
            raise UserError(f"This generator takes latents (B, {self.latent_size}), not {tuple(latents.shape)}.")
        if self.num_attributes:
            attributes = _given(attributes, "generator", len(latents), self.num_attributes)
            latents = torch.cat([latents, 2 * attributes.to(latents.dtype) - 1], dim=1)
        first = self.spread(latents).view(len(latents), _START, _START, -1)  # (B, 4, 4, C)
        return self.layers(first.permute(0, 3, 1, 2))


class Verdict(NamedTuple):
    """What a discriminator says of images.

    Attributes:
        logits: (B,), above 0 for images that look real.
        attributes: logits (B, K) of the attributes that it sees; None if it does not classify.
    """

    logits: Tensor
    attributes: Tensor | None


class Discriminator(nn.Module):
    """Images to one logit each: how real they look, and where asked, how well they show their attributes.

    The attributes enter as the projection of Miyato and Koyama, "cGANs with Projection Discriminator" (ICLR 2018), here
    of the whole last map instead of its sum, since faces are aligned: an attribute has its place.

    Args:
        image_size: side of the images in pixels.
        width: channels of the first map; each next one has half the side and twice the channels.
        num_attributes: K attributes that are judged too; 0 for none.
        classifies: say of the attributes, too, which of them an image has.
        normalise: ``batch`` normalisation as in DCGAN; ``spectral``: every weight by its largest singular value
            (Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018); or ``none``, which
            a penalty on single gradients asks for.

    Raises:
        UserError: there are no images of this size, or nothing is so called that normalises.
    """

    def __init__(
        self,
        image_size: int = 32,
        width: int = 32,
        num_attributes: int = 0,
        normalise: str = "batch",
        classifies: bool = False,
    ) -> None:
        super().__init__()
        _check_choice("normalise", normalise, NORMALISE)
        channels = [width * 2**k for k in range(_doublings(image_size))]
        in_batches = normalise == "batch"
        layers: list[nn.Module] = []
        for k, (narrow, wide) in enumerate(zip([3, *channels], channels, strict=False)):
            layers.append(nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=not in_batches))
            if k and in_batches:  # none on the image, as in DCGAN
                layers.append(nn.BatchNorm2d(wide))
            layers.append(nn.LeakyReLU(_SLOPE, inplace=True))
        self.layers = nn.Sequential(*layers)
        size = _START * _START * channels[-1]  # of the last map
        self.judge = nn.Linear(size, 1, bias=not in_batches)  # a convolution of that map
        self.projection = nn.Linear(num_attributes, size, bias=False) if num_attributes else None
        self.classify = nn.Linear(size, num_attributes) if num_attributes and classifies else None
        _initialise(self)
        if normalise == "spectral":
            for module in list(_weighted(self)):
                spectral_norm(module)

    def forward(self, images: Tensor, attributes: Tensor | None = None) -> Verdict:
        """Return how real images look, and what the discriminator sees in them.

        Args:
            images: float (B, 3, S, S) in [-1, 1].
            attributes: (B, K) of 0 and 1, for a discriminator that is told of them.

        Raises:
            UserError: the attributes have another size.
        """
        features = self.layers(images).permute(0, 2, 3, 1).flatten(1)  # (B, 4 * 4 * C)
        logits = self.judge(features).flatten()  # (B,)
        if self.projection is not None:
            attributes = _given(attributes, "discriminator", len(images), self.projection.in_features)
            embedded = self.projection(2 * attributes.to(features.dtype) - 1)  # (B, 4 * 4 * C)
            # Divided as a mean over places would be: undivided, the projection outweighs everything else.
            logits = logits + (embedded * features).sum(dim=1) / _START**2
        return Verdict(logits, None if self.classify is None else self.classify(features))


def _given(attributes: Tensor | None, player: str, n: int, num_attributes: int) -> Tensor:
    if attributes is None or attributes.shape != (n, num_attributes):
        found = "none" if attributes is None else str(tuple(attributes.shape))
        raise UserError(f"This {player} takes the attributes of each face, ({n}, {num_attributes}), not {found}.")
    return attributes


def _doublings(image_size: int) -> int:
    """Return how often 4 pixels must double; raise UserError if they never meet the size."""
    doublings = math.log2(image_size / _START) if image_size > 0 else 0
    if doublings < 1 or doublings != int(doublings):
        raise UserError(f"model.image_size={image_size}: a GAN draws 8, 16, 32, 64, 128 or 256 pixels a side.")
    return int(doublings)


def _double(channels: int, out: int) -> nn.ConvTranspose2d:
    """Return a layer from (B, channels, S, S) to (B, out, 2 S, 2 S)."""
    return nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1, bias=False)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        hint = did_you_mean(value, choices)
        raise UserError(f"model.{name}={value}: it can be {', '.join(choices)}.{hint}")


def _weighted(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            yield module


def _initialise(network: nn.Module) -> None:
    """Draw weights as DCGAN does: from N(0, 0.02), of batch normalisation from N(1, 0.02)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, _INIT)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, _INIT)
            nn.init.zeros_(module.bias)
