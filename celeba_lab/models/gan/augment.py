"""Random changes of real and generated images alike, through which gradients flow.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (NeurIPS 2020): a discriminator that sees
only changed images cannot learn the training set by heart, and as the generated ones are changed in the same way, the
generator does not learn the changes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from celeba_lab.errors import UserError


class DiffAugment(nn.Module):
    """Change colours, move and cut out, each image of a batch by its own draw.

    Args:
        color: change brightness, saturation and contrast: 0 for no change, 1 for the paper's.
        translation: largest move in each direction, as a fraction of the side; what comes in is mid grey.
        cutout: side of the square that is greyed out, as a fraction of the side; its middle is anywhere in the image.

    Raises:
        UserError: a fraction is out of range.
    """

    def __init__(self, color: float = 0.0, translation: float = 0.0, cutout: float = 0.0) -> None:
        super().__init__()
        for name, value in {"color": color, "translation": translation, "cutout": cutout}.items():
            if not 0 <= value <= 1:
                raise UserError(f"model.augment.{name}={value} must lie between 0 and 1.")
        self.color, self.translation, self.cutout = color, translation, cutout

    def forward(self, images: Tensor) -> Tensor:
        """Return changed images, float (B, 3, H, W), from images in [-1, 1]."""
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
        grey = images.mean(dim=1, keepdim=True)
        images = torch.lerp(grey, images, 1 + self.color * (2 * saturation - 1))
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
