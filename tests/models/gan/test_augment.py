"""Differentiable augmentation: gradients, independent sampling and ranges."""

import pytest
import torch

from celeba_lab.errors import UserError
from celeba_lab.models.gan.augment import DiffAugment

IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("settings", [{"color": 1.0}, {"translation": 0.25}, {"cutout": 0.5}])
def test_gradients_pass_through_the_augmentation(settings: dict) -> None:
    images = IMAGES.clone().requires_grad_()
    DiffAugment(**settings)(images).square().sum().backward()
    assert images.grad.isfinite().all()
    assert (images.grad.flatten(1).abs().sum(dim=1) > 0).all()


def test_colour_gradients_agree_with_finite_differences() -> None:
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def change(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return DiffAugment(color=1.0, translation=0.25, cutout=0.5)(x)

    assert torch.autograd.gradcheck(change, images)


@pytest.mark.parametrize("settings", [{"color": 1.0}, {"translation": 0.25}, {"cutout": 0.5}])
def test_each_image_is_augmented_independently(settings: dict) -> None:
    same = IMAGES[:1].expand(16, -1, -1, -1)
    changed = DiffAugment(**settings)(same)
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 8


def test_the_margin_of_a_translated_image_is_grey() -> None:
    moved = DiffAugment(translation=0.25)(IMAGES)
    for before, after in zip(IMAGES, moved, strict=True):
        fits = [
            torch.equal(torch.nn.functional.pad(before, (4, 4, 4, 4))[:, y : y + 16, x : x + 16], after)
            for y in range(9)
            for x in range(9)
        ]
        assert any(fits)


@pytest.mark.parametrize(("cutout", "side"), [(0.5, 8), (0.125, 2), (0.3, 5)])
def test_the_cutout_is_a_grey_square_of_the_given_size(cutout: float, side: int) -> None:
    images = IMAGES.repeat(30, 1, 1, 1)
    cut = DiffAugment(cutout=cutout)(images)
    gray = (cut == 0).all(dim=1)
    assert ((cut == images).all(dim=1) | gray).all()
    heights, widths = gray.any(dim=2).sum(dim=1), gray.any(dim=1).sum(dim=1)
    assert (heights.max(), widths.max()) == (side, side)  # part of the square may be outside the image
    assert gray.flatten(1).any(dim=1).float().mean() > 0.8


def test_colours_change_as_much_as_in_the_paper() -> None:
    """Brightness changes by up to 0.5, saturation by factors from 0 to 2, contrast by factors from 0.5 to 1.5."""
    flat = torch.full((4000, 3, 2, 2), 0.2)
    brighter = DiffAugment(color=1.0)(flat)[:, 0, 0, 0] - 0.2
    assert (brighter.min().item(), brighter.max().item()) == pytest.approx((-0.5, 0.5), abs=0.01)
    # The mean is grey, so only saturation and contrast matter.
    colored = flat * torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1)
    factor = DiffAugment(color=1.0)(colored)
    factor = (factor[:, 0, 0, 0] - factor[:, 1, 0, 0]) / 0.4
    assert 0 <= factor.min() < 0.02
    assert 2.8 < factor.max() <= 3  # up to 2 times the saturation and 1.5 times the contrast
    halves = torch.cat([torch.full((4000, 3, 1, 2), 0.4), torch.full((4000, 3, 1, 2), -0.4)], dim=2)
    contrast = DiffAugment(color=1.0)(halves)
    contrast = (contrast[:, 0, 0, 0] - contrast[:, 0, 1, 0]) / 0.8
    assert (contrast.min().item(), contrast.max().item()) == pytest.approx((0.5, 1.5), abs=0.01)
    less = DiffAugment(color=0.5)(flat)[:, 0, 0, 0] - 0.2
    assert (less.min().item(), less.max().item()) == pytest.approx((-0.25, 0.25), abs=0.01)


def test_the_defaults_change_nothing() -> None:
    assert torch.equal(DiffAugment()(IMAGES), IMAGES)


def test_colour_changes_do_not_move_pixels() -> None:
    """Pixels have not moved if their order by brightness is unchanged."""
    gray = IMAGES.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    changed = DiffAugment(color=1.0)(gray)
    for before, after in zip(gray[:, 0].flatten(1), changed[:, 0].flatten(1), strict=True):
        assert torch.equal(before.argsort(), after.argsort())


def test_a_fraction_out_of_range_is_rejected() -> None:
    with pytest.raises(UserError, match=r"^cutout=2 must be between 0 and 1\.$"):
        DiffAugment(cutout=2.0)
