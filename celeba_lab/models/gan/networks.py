"""Generator and discriminator of a DCGAN, for images of 8, 16, 32, 64, 128 ... pixels, with or without attributes."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from celeba_lab.errors import SettingError, UserError, check_choice

_START = 4  # side of the smallest feature map in pixels
_SLOPE = 0.2  # slope of the leaky ReLU
_INIT = 0.02  # standard deviation of the initial weights

NORMALIZATIONS = ("batch", "spectral", "none")


class Generator(nn.Module):
    """A network that turns latents into images.

    A map of 4 x 4 pixels doubles its side and halves its channels until it is an image, after Radford, Metz and
    Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks" (ICLR
    2016). For images of 32 pixels and a width of 32 the maps have 128, 64 and 32 channels.

    Args:
        image_size: Side of the images in pixels: 8, 16, 32, 64, 128 ...
        latent_size: Number of latent variables that an image is generated from, Z.
        width: Number of channels of the last feature map before the image.
        num_attributes: Number of attributes that an image is generated with, K; 0 for an unconditional generator.

    Raises:
        SettingError: The image size is not 8, 16, 32, 64, 128 ...

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
        channels = [width * 2**k for k in reversed(range(_doublings(image_size)))]  # the smallest map first
        inputs = latent_size + num_attributes
        # This is a transposed convolution of a single pixel. As a matrix product it takes a third of the time.
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
            latents: Latents, float (B, Z), drawn from a standard normal distribution.
            attributes: Attributes for a conditional generator, (B, K) of 0 and 1, or of values between them to
                interpolate between faces.

        Raises:
            UserError: The latents or the attributes have another size.
        """
        if latents.ndim != 2 or latents.shape[1] != self.latent_size:
            raise UserError(f"This generator takes latents (B, {self.latent_size}), not {tuple(latents.shape)}.")
        if self.num_attributes:
            attributes = _checked(attributes, "generator", len(latents), self.num_attributes)
            latents = torch.cat([latents, 2 * attributes.to(latents.dtype) - 1], dim=1)
        first = self.spread(latents).view(len(latents), _START, _START, -1)  # (B, 4, 4, C)
        images: Tensor = self.layers(first.permute(0, 3, 1, 2))
        return images


class DiscriminatorOutput(NamedTuple):
    """The predictions of a discriminator for a batch of images.

    Attributes:
        logits: Logits, float (B,), that are above 0 for images predicted to be real.
        attributes: Logits, float (B, K), of the attributes of the images; None if it does not predict them.

    Example:
        >>> output = Discriminator(image_size=16, width=8)(torch.randn(4, 3, 16, 16))
        >>> output.logits.sigmoid().shape, output.attributes
        (torch.Size([4]), None)
    """

    logits: Tensor
    attributes: Tensor | None


class Discriminator(nn.Module):
    """A network that predicts whether images are real, and optionally which attributes they have.

    A conditional discriminator uses the projection of Miyato and Koyama, "cGANs with Projection Discriminator" (ICLR
    2018), but of the whole last feature map instead of its sum: faces are aligned, so attributes have fixed positions.

    Args:
        image_size: Side of the images in pixels.
        width: Number of channels of the first feature map; each map after it has half the side and twice the channels.
        num_attributes: Number of attributes that the images should have, K; 0 for an unconditional discriminator.
        normalization: ``batch`` for batch normalisation, as in DCGAN; ``spectral`` to divide each weight by its
            largest singular value (Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR
            2018); or ``none``, for penalties on the gradients of single images.
        classifies: If true, also predict the attributes of the images.

    Raises:
        SettingError: The image size or the normalisation is unknown.

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
        size = _START * _START * channels[-1]  # of the last map, flattened
        self.judge = nn.Linear(size, 1, bias=not in_batches)  # the same as a convolution of the whole map
        self.projection = nn.Linear(num_attributes, size, bias=False) if num_attributes else None
        self.classify = nn.Linear(size, num_attributes) if num_attributes and classifies else None
        _initialise(self)
        if normalization == "spectral":
            for module in list(_weighted(self)):
                spectral_norm(module)

    def forward(self, images: Tensor, attributes: Tensor | None = None) -> DiscriminatorOutput:
        """Return the predictions for a batch.

        Args:
            images: Images, float (B, 3, S, S) in [-1, 1].
            attributes: Attributes that the images should have, (B, K) of 0 and 1, for a conditional discriminator.

        Raises:
            UserError: The attributes have the wrong size.
        """
        features = self.layers(images).permute(0, 2, 3, 1).flatten(1)  # (B, 4 * 4 * C)
        logits = self.judge(features).flatten()  # (B,)
        if self.projection is not None:
            attributes = _checked(attributes, "discriminator", len(images), self.projection.in_features)
            embedded = self.projection(2 * attributes.to(features.dtype) - 1)  # (B, 4 * 4 * C)
            # The division makes it a mean over positions. Without it the projection would outweigh everything else.
            logits = logits + (embedded * features).sum(dim=1) / _START**2
        return DiscriminatorOutput(logits, None if self.classify is None else self.classify(features))


def _checked(attributes: Tensor | None, player: str, n: int, num_attributes: int) -> Tensor:
    if attributes is None or attributes.shape != (n, num_attributes):
        found = "none" if attributes is None else str(tuple(attributes.shape))
        raise UserError(f"This {player} takes the attributes of each face, ({n}, {num_attributes}), not {found}.")
    return attributes


def _doublings(image_size: int) -> int:
    """Return how many times 4 pixels are doubled to get this image size."""
    check_power_of_two("image_size", image_size)
    return int(math.log2(image_size / _START))


def check_power_of_two(setting: str, size: int) -> None:
    """Check that an image size can be reached by doubling.

    Raises:
        SettingError: The size is not a power of 2, or is below 8.
    """
    if size < 8 or size & (size - 1):
        raise SettingError(setting, size, "must be a power of 2 that is at least 8, such as 32, 64 or 128")


def _double(channels: int, out: int) -> nn.ConvTranspose2d:
    """Return a layer from (B, channels, S, S) to (B, out, 2 S, 2 S)."""
    return nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1, bias=False)


def _weighted(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the convolutions and linear layers of a network."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            yield module


def _initialise(network: nn.Module) -> None:
    """Draw the initial weights as DCGAN does: from N(0, 0.02), and those of batch normalisation from N(1, 0.02)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, _INIT)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, _INIT)
            nn.init.zeros_(module.bias)
