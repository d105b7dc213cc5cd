"""DCGAN generator and discriminator for square images, with or without conditioning on attributes."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from celeba_lab.errors import SettingError, UserError, check_choice

_START = 4  # Side length of the smallest feature map in pixels.
_SLOPE = 0.2  # Slope of the leaky ReLU.
_INIT = 0.02  # Standard deviation of the initial weights.

NORMALIZATIONS = ("batch", "spectral", "none")


class Generator(nn.Module):
    """A network that generates images from latents.

    The architecture follows Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks" (ICLR 2016). The first feature map has 4 x 4 pixels. Each layer doubles the side
    length and halves the number of channels. For example, with an image size of 32 and a width of 32, the feature maps
    have 128, 64 and 32 channels.

    Args:
        image_size: Side length of the images in pixels. Must be a power of 2 from 8 to 256.
        latent_size: Number of latent variables per image, Z.
        width: Number of channels in the last feature map before the image.
        num_attributes: Number of attributes, K, or 0 for an unconditional generator.

    Raises:
        SettingError: The image size is not a power of 2, or is out of range.

    Example:
        >>> Generator(image_size=16, width=8)(torch.randn(2, 100)).shape
        torch.Size([2, 3, 16, 16])
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
        channels = [width * 2**k for k in reversed(range(_doublings(image_size)))]  # smallest feature map first
        inputs = latent_size + num_attributes
        # A transposed convolution of a single pixel would be equivalent, but it would take three times as long.
        self.spread = nn.Linear(inputs, _START * _START * channels[0], bias=False)
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(channels):
            layers += [nn.BatchNorm2d(wide), nn.ReLU(inplace=True), _double(wide, narrow)]
        layers += [nn.BatchNorm2d(channels[-1]), nn.ReLU(inplace=True), _double(channels[-1], 3), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        _initialize(self)

    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        """Generate images, float (B, 3, S, S) in [-1, 1].

        Args:
            latents: Latents, float (B, Z), drawn from a standard normal distribution.
            attributes: Binary attributes, (B, K), for a conditional generator. Values between 0 and 1 interpolate
                between faces.

        Raises:
            UserError: The latents or the attributes have the wrong shape.
        """
        if latents.ndim != 2 or latents.shape[1] != self.latent_size:
            raise UserError(
                f"This generator expects latents of shape (B, {self.latent_size}), but got {tuple(latents.shape)}."
            )
        if self.num_attributes:
            attributes = _checked(attributes, "generator", len(latents), self.num_attributes)
            latents = torch.cat([latents, 2 * attributes.to(latents.dtype) - 1], dim=1)
        first = self.spread(latents).view(len(latents), _START, _START, -1)  # (B, 4, 4, C)
        images: Tensor = self.layers(first.permute(0, 3, 1, 2))
        return images


class DiscriminatorOutput(NamedTuple):
    """A discriminator's predictions for a batch of images.

    Attributes:
        logits: Logits, above 0 for images that are predicted to be real, float (B,).
        attributes: Attribute logits, float (B, K), or None if the discriminator does not predict attributes.

    Example:
        >>> output = Discriminator(image_size=16, width=8)(torch.randn(4, 3, 16, 16))
        >>> output.logits.sigmoid().shape, output.attributes
        (torch.Size([4]), None)
    """

    logits: Tensor
    attributes: Tensor | None


class Discriminator(nn.Module):
    """A network that predicts whether images are real and, optionally, which attributes they have.

    A conditional discriminator uses a projection, as in Miyato and Koyama, "cGANs with Projection Discriminator" (ICLR
    2018). The paper projects the spatial sum of the last feature map. This class projects the whole feature map
    instead, because attributes have fixed positions in aligned faces.

    Args:
        image_size: Side length of the images in pixels. Must be a power of 2 from 8 to 256.
        width: Number of channels in the first feature map. Each subsequent map has half the side length and twice the
            number of channels.
        num_attributes: Number of attributes, K, or 0 for an unconditional discriminator.
        normalization: ``batch`` for batch normalisation, as in DCGAN; ``spectral`` for spectral normalisation (Miyato
            et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018); or ``none``. Gradient
            penalties cannot be combined with batch normalisation.
        classifies: If true, also predict the images' attributes.

    Raises:
        SettingError: The image size or the normalisation is not supported.

    Example:
        >>> discriminator = Discriminator(image_size=16, width=8, num_attributes=2, classifies=True)
        >>> output = discriminator(torch.randn(4, 3, 16, 16), torch.ones(4, 2))
        >>> output.logits.shape, output.attributes.shape
        (torch.Size([4]), torch.Size([4, 2]))
    """

    def __init__(
        self,
        image_size: int = 32,
        width: int = 32,
        num_attributes: int = 0,
        normalization: str = "batch",
        classifies: bool = False,
    ) -> None:
        super().__init__()
        check_choice("normalization", normalization, NORMALIZATIONS)
        channels = [width * 2**k for k in range(_doublings(image_size))]
        in_batches = normalization == "batch"
        layers: list[nn.Module] = []
        for k, (narrow, wide) in enumerate(zip([3, *channels], channels, strict=False)):
            layers.append(nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=not in_batches))
            if k and in_batches:  # the first map is not normalised, as in DCGAN
                layers.append(nn.BatchNorm2d(wide))
            layers.append(nn.LeakyReLU(_SLOPE, inplace=True))
        self.layers = nn.Sequential(*layers)
        size = _START * _START * channels[-1]  # Size of the flattened last feature map.
        self.judge = nn.Linear(size, 1, bias=not in_batches)  # Equivalent to a convolution over the whole map.
        self.projection = nn.Linear(num_attributes, size, bias=False) if num_attributes else None
        self.classify = nn.Linear(size, num_attributes) if num_attributes and classifies else None
        _initialize(self)
        if normalization == "spectral":
            for module in list(_weighted(self)):
                spectral_norm(module)

    def forward(self, images: Tensor, attributes: Tensor | None = None) -> DiscriminatorOutput:
        """Return the predictions for a batch of images.

        Args:
            images: Images, float (B, 3, S, S) in [-1, 1].
            attributes: Binary attributes, (B, K), for a conditional discriminator.

        Raises:
            UserError: The attributes have the wrong shape.
        """
        features = self.layers(images).permute(0, 2, 3, 1).flatten(1)  # (B, 4 * 4 * C)
        logits = self.judge(features).flatten()
        if self.projection is not None:
            attributes = _checked(attributes, "discriminator", len(images), self.projection.in_features)
            embedded = self.projection(2 * attributes.to(features.dtype) - 1)
            # The mean over the positions is used, because the sum would dominate the logit.
            logits = logits + (embedded * features).sum(dim=1) / _START**2
        return DiscriminatorOutput(logits, None if self.classify is None else self.classify(features))


def _checked(attributes: Tensor | None, player: str, n: int, num_attributes: int) -> Tensor:
    if attributes is None or attributes.shape != (n, num_attributes):
        found = "none" if attributes is None else str(tuple(attributes.shape))
        raise UserError(f"This {player} expects attributes of shape ({n}, {num_attributes}), but got {found}.")
    return attributes


def _doublings(image_size: int) -> int:
    """Return the number of doublings from the side length of the smallest feature map to the image size."""
    check_power_of_two("image_size", image_size)
    return int(math.log2(image_size / _START))


def check_power_of_two(setting: str, size: int) -> None:
    """Check that an image size is a power of 2 from 8 to 256.

    Raises:
        SettingError: The size is not a power of 2, or is out of range.
    """
    if not 8 <= size <= 256 or size & (size - 1):
        raise SettingError(setting, size, "must be a power of 2 from 8 to 256, such as 32, 64 or 128")


def _double(channels: int, out: int) -> nn.ConvTranspose2d:
    """Return a layer that upsamples (B, channels, S, S) to (B, out, 2 * S, 2 * S)."""
    return nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1, bias=False)


def _weighted(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the convolutional and linear layers of a network."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            yield module


def _initialize(network: nn.Module) -> None:
    """Draw the initial weights from N(0, 0.02), or from N(1, 0.02) for batch normalisation, as in DCGAN."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, _INIT)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, _INIT)
            nn.init.zeros_(module.bias)
