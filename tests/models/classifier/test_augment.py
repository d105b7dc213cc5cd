"""Random augmentations: independent sampling, ranges and units."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from celeba_lab.models.classifier.augment import RandomAugment, enlarge

SIDE = 64
EVERYTHING = {"flip": 0.5, "shift": 0.1, "scale": 0.2, "rotate": 20.0, "light": 0.3}
EACH = [{"flip": 0.5}, {"shift": 0.1}, {"scale": 0.2}, {"rotate": 20.0}, {"light": 0.3}]
IDS = [next(iter(options)) for options in EACH]


def one_image(copies: int) -> torch.Tensor:
    return torch.rand(1, 3, SIDE, SIDE).expand(copies, -1, -1, -1).clone()


def blob(x: float, y: float, copies: int) -> torch.Tensor:
    """Return images of a bright spot that is x pixels to the right of the centre and y pixels below it."""
    axis = torch.arange(SIDE) - (SIDE - 1) / 2
    spot = torch.exp(-((axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * 2.0**2))
    return spot.expand(copies, 3, -1, -1).clone()


def centers(images: torch.Tensor) -> torch.Tensor:
    """Return the centre of brightness of each image, (B, 2), in pixels relative to the image centre."""
    axis = torch.arange(SIDE) - (SIDE - 1) / 2
    weight = images[:, 0] / images[:, 0].sum(dim=(1, 2), keepdim=True)
    return torch.stack([(weight.sum(1) * axis).sum(1), (weight.sum(2) * axis).sum(1)], dim=1)


def test_the_defaults_change_nothing():
    images = one_image(4)
    assert torch.equal(RandomAugment()(images), images)


@pytest.mark.parametrize("options", EACH, ids=IDS)
def test_changes_are_sampled_for_each_image(options):
    changed = RandomAugment(**options)(one_image(16))
    different = len({tuple(image.flatten().tolist()) for image in changed})
    assert different == 2 if "flip" in options else different == 16


def test_flip_one_mirrors_every_image_exactly():
    images = torch.rand(8, 3, SIDE, SIDE)
    assert torch.equal(RandomAugment(flip=1.0)(images), images.flip(-1))


def test_flip_one_mirrors_every_image_when_images_are_also_shifted():
    # Flipping and shifting share one resampling step. After a tiny shift, only the flip is visible.
    images = blob(12, 5, 8)
    moved = RandomAugment(flip=1.0, shift=1e-6)(images)
    torch.testing.assert_close(moved, images.flip(-1), atol=1e-3, rtol=0)


def test_flip_is_the_fraction_of_mirrored_images():
    images = blob(12, 0, 1000)
    for options in ({"flip": 0.3}, {"flip": 0.3, "shift": 1e-6}):
        mirrored = (centers(RandomAugment(**options)(images))[:, 0] < 0).float().mean().item()
        assert mirrored == pytest.approx(0.3, abs=0.05)  # The tolerance is three standard errors.


@pytest.mark.parametrize("shift", [0.05, 0.2])
def test_shift_is_a_fraction_of_the_side_length(shift):
    moved = centers(RandomAugment(shift=shift)(blob(0, 0, 300)))
    furthest = moved.abs().amax(dim=0)
    assert (furthest <= shift * SIDE + 0.05).all()
    assert (furthest >= 0.95 * shift * SIDE).all()
    assert (moved.amax(dim=0) > 0).all()
    assert (moved.amin(dim=0) < 0).all()


def test_scale_is_a_fraction_of_the_size():
    moved = centers(RandomAugment(scale=0.25)(blob(16, 0, 300)))
    factors = moved[:, 0] / 16
    assert factors.max().item() == pytest.approx(1.25, rel=0.02)
    assert factors.min().item() == pytest.approx(1 / 1.25, rel=0.02)
    assert moved[:, 1].abs().max() < 0.05


def test_rotation_is_in_degrees():
    moved = centers(RandomAugment(rotate=30.0)(blob(18, 0, 300)))
    angles = torch.rad2deg(torch.atan2(moved[:, 1], moved[:, 0]))
    assert angles.max().item() == pytest.approx(30, abs=0.7)
    assert angles.min().item() == pytest.approx(-30, abs=0.7)
    torch.testing.assert_close(moved.norm(dim=1), torch.full((300,), 18.0), atol=0.1, rtol=0)


def test_mirrored_images_are_rotated_without_shear():
    moved = centers(RandomAugment(flip=1.0, rotate=30.0)(blob(18, 0, 300)))
    assert (moved[:, 0] < 0).all()
    torch.testing.assert_close(moved.norm(dim=1), torch.full((300,), 18.0), atol=0.1, rtol=0)
    assert moved[:, 1].max().item() == pytest.approx(9, abs=0.3)
    assert moved[:, 1].min().item() == pytest.approx(-9, abs=0.3)


def test_light_is_a_fraction_of_brightness_and_contrast():
    low, high = 0.4, 0.6
    images = torch.full((500, 3, 8, 8), low)
    images[..., 4:] = high
    relit = RandomAugment(light=0.2)(images)
    brightness = relit.mean(dim=(1, 2, 3)) / 0.5
    contrast = (relit.amax(dim=(1, 2, 3)) - relit.amin(dim=(1, 2, 3))) / (high - low)
    for factor in (brightness, contrast):
        assert factor.max().item() == pytest.approx(1.2, abs=0.01)
        assert factor.min().item() == pytest.approx(0.8, abs=0.01)
    correlation = torch.corrcoef(torch.stack([brightness, contrast]))[0, 1]
    assert correlation.abs() < 0.15, "brightness and contrast should be sampled independently"


@pytest.mark.parametrize("options", [EVERYTHING, {"light": 1.0}, {"shift": 0.9, "scale": 1.0, "rotate": 180.0}])
def test_values_stay_between_zero_and_one(options):
    images = (torch.rand(64, 3, SIDE, SIDE) > 0.5).float()
    changed = RandomAugment(**options)(images)
    assert changed.shape == images.shape
    assert changed.isfinite().all()
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6


def test_shifted_images_have_no_black_border():
    images = torch.full((32, 3, SIDE, SIDE), 0.7)
    moved = RandomAugment(shift=0.2, scale=0.3, rotate=45.0)(images)
    torch.testing.assert_close(moved, images, atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_images():
    images = one_image(8)
    augment = RandomAugment(**EVERYTHING)
    torch.manual_seed(5)
    first = augment(images)
    torch.manual_seed(5)
    assert torch.equal(augment(images), first)
    assert not torch.equal(augment(images), first)


def test_random_augment_has_no_state():
    assert not RandomAugment(**EVERYTHING).state_dict()


def test_guard_torchvision_samples_once_per_batch():
    flip = v2.RandomHorizontalFlip(0.5)
    image = one_image(16)
    for _ in range(10):
        mirrored = (flip(image) != image).flatten(1).any(dim=1)
        assert mirrored.all() or not mirrored.any(), "torchvision now samples per image: RandomAugment may use it"
    assert math.isclose(flip.p, 0.5)


def test_enlarge_magnifies_the_centre():
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(enlarge(images, 1.0), images)
    middle = slice(8, 24)
    twice = F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)[:, :, 16:48, 16:48]
    torch.testing.assert_close(enlarge(images, 2.0), twice)
    torch.testing.assert_close(enlarge(images, 0.5)[:, :, middle, middle], F.avg_pool2d(images, 2))


def test_the_margin_of_a_shrunk_image_is_filled_by_reflection():
    white = torch.ones(1, 3, 16, 16)
    torch.testing.assert_close(enlarge(white, 0.5), white)
