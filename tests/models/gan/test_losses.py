"""The losses of GANs compared with values computed by hand."""

import math

import pytest
import torch

from celeba_lab.errors import UserError
from celeba_lab.models.gan.losses import LOSSES, attribute_loss, build_adversarial_loss, gradient_penalty, r1_penalty

REAL, FAKE = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_non_saturating_equals_values_computed_by_hand() -> None:
    loss = build_adversarial_loss("non_saturating")
    by_hand = (softplus(-2) + softplus(0)) / 2 + (softplus(-1) + softplus(1)) / 2
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(by_hand)
    assert loss.generator(None, FAKE).item() == pytest.approx((softplus(1) + softplus(-1)) / 2)


def test_smooth_labels_equal_values_computed_by_hand() -> None:
    smooth = build_adversarial_loss("non_saturating", smooth=0.1).discriminator(REAL, FAKE)
    by_hand = sum(0.9 * softplus(-x) + 0.1 * softplus(x) for x in (2, 0)) / 2 + (softplus(-1) + softplus(1)) / 2
    assert smooth.item() == pytest.approx(by_hand)


def test_hinge_equals_values_computed_by_hand() -> None:
    loss = build_adversarial_loss("hinge")
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx((0 + 1) / 2 + (0 + 2) / 2)
    assert loss.generator(None, torch.tensor([-1.0, 3.0])).item() == pytest.approx(-1)


def test_wasserstein_equals_values_computed_by_hand() -> None:
    loss = build_adversarial_loss("wasserstein")
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(0 - 1)
    assert loss.generator(None, torch.tensor([-1.0, 3.0])).item() == pytest.approx(-1)


def test_relativistic_equals_values_computed_by_hand() -> None:
    """The mean logit is 1 for real images and 0 for generated images."""
    loss = build_adversarial_loss("relativistic")
    above = (softplus(-2) + softplus(0)) / 2  # real logits minus 0: 2 and 0
    below = (softplus(-1 - 1) + softplus(1 - 1)) / 2  # generated logits minus 1: -2 and 0
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx((above + below) / 2)
    swapped = (softplus(2) + softplus(0)) / 2, (softplus(2) + softplus(0)) / 2
    assert loss.generator(REAL, FAKE).item() == pytest.approx(sum(swapped) / 2)
    assert loss.needs_real


def test_relative_losses_give_relative_probabilities() -> None:
    real, fake = build_adversarial_loss("relativistic").probability(REAL, FAKE)
    assert real.tolist() == pytest.approx([1 / (1 + math.exp(-2)), 0.5])
    assert fake.tolist() == pytest.approx([1 / (1 + math.exp(2)), 0.5])
    # a critic's scores have no meaningful zero
    real, _ = build_adversarial_loss("wasserstein").probability(REAL + 50, FAKE + 50)
    assert real.tolist() == pytest.approx([1 / (1 + math.exp(-2)), 0.5])
    real, _ = build_adversarial_loss("hinge").probability(REAL, FAKE)
    assert real.tolist() == pytest.approx([1 / (1 + math.exp(-2)), 0.5])


@pytest.mark.parametrize("name", LOSSES)
def test_discriminator_and_generator_have_opposite_gradients(name: str) -> None:
    """The discriminator raises the logits of real images and lowers those of generated images.

    The generator raises the logits of generated images.
    """
    loss = build_adversarial_loss(name)
    real, fake = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    loss.discriminator(real, fake).backward()
    assert (real.grad < 0).all()
    assert (fake.grad > 0).all()
    fake.grad = None
    loss.generator(real.detach(), fake).backward()
    assert (fake.grad < 0).all()


def test_the_attribute_loss_is_the_cross_entropy() -> None:
    seen, attributes = torch.tensor([[2.0, -1.0], [0.0, 3.0]]), torch.tensor([[1, 0], [1, 0]], dtype=torch.uint8)
    by_hand = (softplus(-2) + softplus(-1) + softplus(0) + softplus(3)) / 4
    assert attribute_loss(seen, attributes).item() == pytest.approx(by_hand)


def test_r1_of_a_linear_discriminator_is_half_its_squared_weight() -> None:
    weight = torch.randn(3, 4, 4)
    images = torch.randn(5, 3, 4, 4, requires_grad=True)
    logits = (images * weight).sum(dim=(1, 2, 3))
    assert r1_penalty(logits, images).item() == pytest.approx(weight.square().sum().item() / 2, rel=1e-5)


def test_the_gradient_penalty_of_a_linear_discriminator_depends_only_on_its_norm() -> None:
    weight = torch.full((3, 4, 4), 3 / math.sqrt(48))  # norm 3
    real, fake = torch.randn(5, 3, 4, 4), torch.randn(5, 3, 4, 4)
    penalty = gradient_penalty(lambda images: (images * weight).sum(dim=(1, 2, 3)), real, fake)
    assert penalty.item() == pytest.approx((3 - 1) ** 2, rel=1e-4)


def test_the_gradient_penalty_is_computed_between_real_and_generated_images() -> None:
    """The gradient of |x|^2 / 2 is x, so the penalty reveals the point at which it was computed."""
    real, fake = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 4.0)
    mix = torch.full((1, 1, 1, 1), 0.25)
    penalty = gradient_penalty(lambda x: x.square().sum(dim=(1, 2, 3)) / 2, real, fake, mix)
    assert penalty.item() == pytest.approx((3 - 1) ** 2)


def test_an_unknown_loss_or_setting_is_rejected() -> None:
    with pytest.raises(UserError, match=r"^name=hingge must be one of non_saturating, hinge.*Did you mean 'hinge"):
        build_adversarial_loss("hingge")
    with pytest.raises(UserError, match=r"^margin=1 is not a setting of the loss hinge"):
        build_adversarial_loss("hinge", margin=1.0)
