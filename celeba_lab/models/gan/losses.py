"""Losses of the generator and the discriminator, by name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from celeba_lab.errors import SettingError, check_choice, check_fraction, did_you_mean


@dataclass(frozen=True)
class AdversarialLoss:
    """What the generator and the discriminator minimise.

    Attributes:
        discriminator: Function of the logits of real and of generated images, float (B,) each, that returns a scalar.
        generator: Function of the same logits. Those of the real images may be None unless ``needs_real``.
        needs_real: If true, the loss of the generator depends on real images as well.
        relative: If true, a logit says how real an image is only in comparison with images of the other kind.
        critic: If true, logits are scores without a scale, so neither their sign nor their size says which of the two
            networks is ahead.

    Example:
        >>> loss = build_adversarial_loss("hinge")
        >>> real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])
        >>> loss.discriminator(real, fake)
        tensor(1.5000)
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor | None, Tensor], Tensor]
    needs_real: bool = False
    relative: bool = False
    critic: bool = False

    def probability(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Return D(x) and D(G(z)), float (B,) each: the probabilities that the images are real.

        For losses without probabilities (hinge, Wasserstein) they are the logistic function of the logit, and for
        relative losses that of the difference between the logit and the mean logit of the other kind.
        """
        if self.relative:
            real, fake = real - fake.mean(), fake - real.mean()
        return real.sigmoid(), fake.sigmoid()


def _bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def non_saturating(smooth: float = 0.0) -> AdversarialLoss:
    """Return the non-saturating loss (Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014).

    Args:
        smooth: Number in [0, 1]. The target probability of real images is 1 minus this number (one-sided label
            smoothing).
    """
    return AdversarialLoss(
        discriminator=lambda real, fake: _bce(real, 1 - smooth) + _bce(fake, 0),
        generator=lambda real, fake: _bce(fake, 1),
    )


def hinge() -> AdversarialLoss:
    """Return the hinge loss (Lim and Ye, "Geometric GAN", 2017, arXiv:1705.02894)."""
    return AdversarialLoss(
        discriminator=lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        generator=lambda real, fake: -fake.mean(),
    )


def relativistic() -> AdversarialLoss:
    """Return the relativistic average loss (Jolicoeur-Martineau, "The relativistic discriminator", ICLR 2019).

    Each logit is compared with the mean logit of the other kind, so the generator learns from real images as well.
    """

    def apart(above: Tensor, below: Tensor) -> Tensor:
        return (_bce(above - below.mean(), 1) + _bce(below - above.mean(), 0)) / 2

    return AdversarialLoss(
        discriminator=apart,
        generator=lambda real, fake: apart(fake, _given(real)),
        needs_real=True,
        relative=True,
    )


def wasserstein() -> AdversarialLoss:
    """Return the Wasserstein loss (Arjovsky et al., "Wasserstein GAN", ICML 2017).

    The loss is bounded only if the gradient of the critic is bounded, for example by a gradient penalty or by spectral
    normalisation.
    """
    return AdversarialLoss(
        discriminator=lambda real, fake: fake.mean() - real.mean(),
        generator=lambda real, fake: -fake.mean(),
        relative=True,
        critic=True,
    )


def _given(logits: Tensor | None) -> Tensor:
    assert logits is not None, "this loss needs the logits of real images"
    return logits


def attribute_loss(predicted: Tensor, attributes: Tensor) -> Tensor:
    """Return the mean cross-entropy of the attributes that a discriminator predicts.

    After Odena et al., "Conditional Image Synthesis with Auxiliary Classifier GANs" (ICML 2017). The discriminator is
    trained with real images only, the generator with its own: from generated images the discriminator would learn the
    mistakes of the generator.

    Args:
        predicted: Logits, float (B, K).
        attributes: (B, K) of 0 and 1: the labels of real images, or the attributes that images were generated with.

    Example:
        >>> attribute_loss(torch.zeros(4, 2), torch.ones(4, 2, dtype=torch.uint8))
        tensor(0.6931)
    """
    return F.binary_cross_entropy_with_logits(predicted, attributes.to(predicted.dtype))


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Return half the mean squared norm of the gradient at real images.

    After Mescheder et al., "Which Training Methods for GANs do actually Converge?" (ICML 2018).

    Args:
        logits: Logits of the images, float (B,).
        images: Real images, float (B, 3, S, S), which require gradients.

    Example:
        >>> images = torch.ones(2, 3, 4, 4, requires_grad=True)
        >>> print(r1_penalty(images.sum(dim=(1, 2, 3)), images).item())
        24.0
    """
    return _gradients(logits, images).square().sum(dim=1).mean() / 2


def gradient_penalty(
    discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor | None = None
) -> Tensor:
    """Return the mean squared difference between 1 and the norm of the gradient, between real and generated images.

    After Gulrajani et al., "Improved Training of Wasserstein GANs" (NeurIPS 2017).

    Args:
        discriminate: Function from images to logits.
        real: Real images, float (B, 3, S, S).
        fake: Generated images, float (B, 3, S, S).
        mix: Share of the real image in each mixed image, float (B, 1, 1, 1) in [0, 1]; drawn at random by default.
    """
    if mix is None:
        mix = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    between = torch.lerp(fake.detach(), real, mix).requires_grad_(True)
    norms: Tensor = _gradients(discriminate(between), between).norm(dim=1)  # (B,)
    return (norms - 1).square().mean()


def _gradients(logits: Tensor, images: Tensor) -> Tensor:
    """Return the gradient of each logit with respect to its image, float32 (B, 3 * S * S)."""
    [gradients] = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradients.float().flatten(start_dim=1)


LOSSES: dict[str, Callable[..., AdversarialLoss]] = {
    "non_saturating": non_saturating,
    "hinge": hinge,
    "relativistic": relativistic,
    "wasserstein": wasserstein,
}
"""Function that builds each loss, by the name of the loss in the settings."""
_SETTINGS: dict[str, tuple[str, ...]] = {
    "non_saturating": ("smooth",),
    "hinge": (),
    "relativistic": (),
    "wasserstein": (),
}


def build_adversarial_loss(name: str, **settings: float) -> AdversarialLoss:
    """Return a loss by its name.

    Args:
        name: Name of the loss, one of :data:`LOSSES`.
        settings: Settings of the loss; see the function of that name.

    Raises:
        SettingError: There is no loss with this name, it does not have this setting, or a value is out of range.
    """
    check_choice("name", name, LOSSES)
    for key, value in settings.items():
        if key not in _SETTINGS[name]:
            raise SettingError(key, value, f"is not a setting of the loss {name}", did_you_mean(key, _SETTINGS[name]))
        check_fraction(key, value)
    return LOSSES[name](**settings)
