"""Random augmentations for batches of images on the accelerator, sampled independently for each image.

torchvision's transforms sample their parameters only once per batch, and Kornia would be an additional dependency. The
augmentations that help with aligned faces require only a few tensor operations.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from celeba_lab.errors import check_between, check_fraction


class RandomAugment(nn.Module):
    """Randomly flip, shift, scale and rotate each image, and change its brightness and contrast.

    Args:
        flip: Probability of a horizontal flip.
        shift: Maximum shift in each direction, as a fraction of the side length.
        scale: Maximum relative change in size. For example, 0.1 gives scale factors between 1 / 1.1 and 1.1.
        rotate: Maximum rotation in degrees.
        light: Maximum relative change in brightness and contrast.

    Raises:
        SettingError: ``rotate`` is not between 0 and 180, or another argument is not between 0 and 1.

    Example:
        >>> images = torch.rand(4, 3, 32, 32)
        >>> RandomAugment(flip=0.5, rotate=10.0)(images).shape
        torch.Size([4, 3, 32, 32])
    """

    def __init__(
        self, flip: float = 0.0, shift: float = 0.0, scale: float = 0.0, rotate: float = 0.0, light: float = 0.0
    ) -> None:
        super().__init__()
        check_fraction("flip", flip)
        check_fraction("shift", shift)
        check_fraction("scale", scale)
        check_between("rotate", rotate, 0, 180)
        check_fraction("light", light)
        self.flip, self.shift, self.scale, self.rotate, self.light = flip, shift, scale, rotate, light

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Augment images, float (B, 3, H, W) in [0, 1]."""
        if self.shift or self.scale or self.rotate:
            images = self._move(images)
        elif self.flip:
            images = mirror(images, self.draw_mirrored(len(images), images.device))
        if self.light:
            images = self._relight(images)
        return images

    @property
    def only_flips(self) -> bool:
        """Whether no other augmentation than the horizontal flip is used."""
        return not (self.shift or self.scale or self.rotate or self.light)

    def draw_mirrored(self, n: int, device: torch.device) -> Tensor:
        """Draw for each of n images whether it is mirrored, bool (n,)."""
        return torch.rand(n, device=device) < self.flip

    def _move(self, images: Tensor) -> Tensor:
        B = len(images)  # noqa: N806 (shape letters are capitals)
        zoom = (1 + self.scale) ** _uniform(B, images)
        angle = _uniform(B, images) * math.radians(self.rotate)
        signs = torch.where(self.draw_mirrored(B, images.device), -1.0, 1.0)
        x, y = _uniform(B, images) * 2 * self.shift, _uniform(B, images) * 2 * self.shift  # the grid spans [-1, 1]
        cos, sin = zoom * torch.cos(angle), zoom * torch.sin(angle)
        theta = torch.stack([cos * signs, -sin, x, sin * signs, cos, y], dim=1).view(B, 2, 3)
        grid = F.affine_grid(theta.to(images.dtype), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

    def _relight(self, images: Tensor) -> Tensor:
        shape = (len(images), 1, 1, 1)
        brightness = 1 + self.light * _uniform(len(images), images).view(shape)
        contrast = 1 + self.light * _uniform(len(images), images).view(shape)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return ((images - mean) * contrast + mean * brightness).clamp(0, 1)


def mirror(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror the selected images of a batch, (B, 3, H, W).

    Args:
        images: The images.
        mirrored: Whether each image is mirrored, bool (B,).

    Example:
        >>> mirror(torch.tensor([[[[1, 2]]], [[[3, 4]]]]), torch.tensor([True, False])).tolist()
        [[[[2, 1]]], [[[3, 4]]]]
    """
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)


def enlarge(images: Tensor, factor: float) -> Tensor:
    """Enlarge images, float (B, 3, H, W), about their centres.

    A factor below 1 shrinks the images and fills the margin by reflection.

    Example:
        >>> enlarge(torch.ones(1, 3, 4, 4), 0.5).min()
        tensor(1.)
    """
    theta = images.new_tensor([[1 / factor, 0, 0], [0, 1 / factor, 0]]).expand(len(images), 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _uniform(n: int, like: Tensor) -> Tensor:
    """Draw n uniform random numbers from [-1, 1) on the device of ``like``."""
    return torch.rand(n, device=like.device) * 2 - 1
