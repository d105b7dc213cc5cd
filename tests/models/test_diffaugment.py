"""The differentiable augmentation: gradients pass, each image has its own draw, the range of its changes."""

import pytest
import torch

from celeba_lab.errors import UserError
from celeba_lab.models.diffaugment import DiffAugment

IMAGES = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize("settings", [{"color": 1.0}, {"translation": 0.25}, {"cutout": 0.5}])
def test_gradients_pass_through(settings: dict) -> None:
    images = IMAGES.clone().requires_grad_()
    DiffAugment(**settings)(images).square().sum().backward()
    assert images.grad.isfinite().all()
    assert (images.grad.flatten(1).abs().sum(dim=1) > 0).all()


def test_colour_agrees_with_finite_differences() -> None:
    images = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    def change(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return DiffAugment(color=1.0, translation=0.25, cutout=0.5)(x)

    assert torch.autograd.gradcheck(change, images)


@pytest.mark.parametrize("settings", [{"color": 1.0}, {"translation": 0.25}, {"cutout": 0.5}])
def test_each_image_has_its_own_draw(settings: dict) -> None:
    same = IMAGES[:1].expand(16, -1, -1, -1)
    changed = DiffAugment(**settings)(same)
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 8


def test_a_move_keeps_what_stays_in_the_picture_and_fills_with_grey() -> None:
    moved = DiffAugment(translation=0.25)(IMAGES)
    for before, after in zip(IMAGES, moved, strict=True):
        fits = [
            torch.equal(torch.nn.functional.pad(before, (4, 4, 4, 4))[:, y : y + 16, x : x + 16], after)
            for y in range(9)
            for x in range(9)
        ]
        assert any(fits)


def test_a_cut_is_grey_and_no_larger_than_asked() -> None:
    cut = DiffAugment(cutout=0.5)(IMAGES)
    grey = (cut == 0).all(dim=1)
    assert ((cut == IMAGES).all(dim=1) | grey).all()
    assert grey.any(dim=2).sum(dim=1).max() <= 8
    assert grey.flatten(1).any(dim=1).float().mean() > 0.5


def test_nothing_asked_changes_nothing() -> None:
    assert torch.equal(DiffAugment()(IMAGES), IMAGES)


def test_colour_does_not_move_a_pixel() -> None:
    """Attributes stay what they are: the order of brightness within a picture is kept."""
    grey = IMAGES.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    changed = DiffAugment(color=1.0)(grey)
    for before, after in zip(grey[:, 0].flatten(1), changed[:, 0].flatten(1), strict=True):
        assert torch.equal(before.argsort(), after.argsort())


def test_a_fraction_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match=r"model.augment.cutout=2.0 must lie between 0 and 1"):
        DiffAugment(cutout=2.0)
