"""Differentiable random augmentations, applied to both real and generated images.

The method follows Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (NeurIPS 2020). A
discriminator that is trained only on augmented images is less likely to memorise the training set. Generated images are
augmented in the same way, so the generator does not learn to imitate the augmentations.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from celeba_lab.errors import check_fraction


class DiffAugment(nn.Module):
    """Randomly change the colours of each image, translate it and mask out a square.

    Args:
        color: Strength of the changes in brightness, saturation and contrast, from 0 (no changes) to 1 (as in the
            paper).
        translation: Maximum shift in each direction, as a fraction of the side length. The margin is filled with
            mid-grey.
        cutout: Side length of the grey square, as a fraction of the image's side length. The centre of the square may
            lie anywhere in the image.

    Raises:
        SettingError: An argument is not between 0 and 1.

    Example:
        >>> images = torch.rand(2, 3, 32, 32, requires_grad=True)
        >>> changed = DiffAugment(color=1.0, translation=0.125)(2 * images - 1)
        >>> changed.sum().backward()
        >>> images.grad.shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, color: float = 0.0, translation: float = 0.0, cutout: float = 0.0) -> None:
        super().__init__()
        for name, value in {"color": color, "translation": translation, "cutout": cutout}.items():
            check_fraction(name, value)
        self.color, self.translation, self.cutout = color, translation, cutout

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Augment images, float (B, 3, H, W) in [-1, 1]."""
        if self.color:
            images = self._recolor(images)
        if self.translation:
            images = self._translate(images)
        if self.cutout:
            images = self._cut_out(images)
        return images

    def _recolor(self, images: Tensor) -> Tensor:
        shape = (3, len(images), 1, 1, 1)
        brightness, saturation, contrast = torch.rand(shape, device=images.device, dtype=images.dtype)
        images = images + self.color * (brightness - 0.5)
        gray = images.mean(dim=1, keepdim=True)
        images = torch.lerp(gray, images, 1 + self.color * (2 * saturation - 1))
        middle = images.mean(dim=(1, 2, 3), keepdim=True)
        return torch.lerp(middle, images, 1 + self.color * (contrast - 0.5))

    def _translate(self, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        reach_y, reach_x = round(height * self.translation), round(width * self.translation)
        padded = F.pad(images, (reach_x, reach_x, reach_y, reach_y))
        top = torch.randint(0, 2 * reach_y + 1, (n, 1, 1), device=images.device)
        left = torch.randint(0, 2 * reach_x + 1, (n, 1, 1), device=images.device)
        rows = top + torch.arange(height, device=images.device).view(1, height, 1)
        columns = left + torch.arange(width, device=images.device).view(1, 1, width)
        picked = torch.arange(n, device=images.device).view(n, 1, 1)
        return padded.permute(0, 2, 3, 1)[picked, rows, columns].permute(0, 3, 1, 2)

    def _cut_out(self, images: Tensor) -> Tensor:
        n, _, height, width = images.shape
        high, wide = round(height * self.cutout), round(width * self.cutout)
        y = torch.randint(0, height + 1, (n, 1, 1, 1), device=images.device)
        x = torch.randint(0, width + 1, (n, 1, 1, 1), device=images.device)
        rows = torch.arange(height, device=images.device).view(1, 1, height, 1)
        columns = torch.arange(width, device=images.device).view(1, 1, 1, width)
        top, left = y - high // 2, x - wide // 2
        inside = (rows >= top) & (rows < top + high) & (columns >= left) & (columns < left + wide)
        return images.masked_fill(inside, 0.0)
