"""Losses for the generator and the discriminator, built by name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from celeba_lab.errors import SettingError, check_choice, check_fraction, did_you_mean


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses that the discriminator and the generator minimise.

    Attributes:
        discriminator: Discriminator loss as a function that maps the logits of real and generated images, float (B,)
            each, to a scalar.
        generator: Generator loss as a function with the same signature. The logits of the real images may be None
            unless ``needs_real`` is true.
        needs_real: If true, the generator's loss also depends on real images.
        relative: If true, only differences between the logits of real and generated images are meaningful.
        critic: If true, the logits are scores on an arbitrary scale, which cannot be interpreted as probabilities.

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
        """Return D(x) and D(G(z)), the predicted probabilities that images are real, float (B,) each.

        The probability is the logistic function of the logit, even for losses that do not define probabilities (hinge
        and Wasserstein). If ``relative`` is true, the mean logit of the generated images is first subtracted from the
        logits of the real images, and vice versa.
        """
        if self.relative:
            real, fake = real - fake.mean(), fake - real.mean()
        return real.sigmoid(), fake.sigmoid()


def _bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def non_saturating(smooth: float = 0.0) -> AdversarialLoss:
    """Return the non-saturating loss (Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014).

    Args:
        smooth: Amount of one-sided label smoothing, in [0, 1]. The target probability of real images is ``1 - smooth``.
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

    The logits of real images are compared with the mean logit of generated images, and vice versa. The generator
    therefore also learns from real images.
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

    The loss is bounded only if the critic's gradient is bounded, for example by a gradient penalty or by spectral
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
    """Return the mean binary cross-entropy of a discriminator's attribute predictions.

    The loss follows Odena et al., "Conditional Image Synthesis with Auxiliary Classifier GANs" (ICML 2017). The
    discriminator minimises this loss only on real images, because training it on generated images would teach it the
    generator's mistakes. The generator minimises this loss on generated images.

    Args:
        predicted: Logits, float (B, K).
        attributes: Binary labels of real images, or binary attributes from which images were generated, (B, K).

    Example:
        >>> attribute_loss(torch.zeros(4, 2), torch.ones(4, 2, dtype=torch.uint8))
        tensor(0.6931)
    """
    return F.binary_cross_entropy_with_logits(predicted, attributes.to(predicted.dtype))


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Return the R1 penalty: half the mean squared norm of the logits' gradients with respect to real images.

    The penalty follows Mescheder et al., "Which Training Methods for GANs do actually Converge?" (ICML 2018).

    Args:
        logits: Logits of the images, float (B,).
        images: Real images, float (B, 3, S, S), with ``requires_grad=True``.

    Example:
        >>> images = torch.ones(2, 3, 4, 4, requires_grad=True)
        >>> print(r1_penalty(images.sum(dim=(1, 2, 3)), images).item())
        24.0
    """
    return _gradients(logits, images).square().sum(dim=1).mean() / 2


def gradient_penalty(
    discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor | None = None
) -> Tensor:
    """Return the mean squared difference between the gradient norm and 1, at interpolates of real and generated images.

    The penalty follows Gulrajani et al., "Improved Training of Wasserstein GANs" (NeurIPS 2017).

    Args:
        discriminate: Function that maps images to logits.
        real: Real images, float (B, 3, S, S).
        fake: Generated images, float (B, 3, S, S).
        mix: Weight of the real image in each interpolate, float (B, 1, 1, 1) in [0, 1]. By default, the weights are
            drawn at random.
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
"""Functions that build the losses, by name."""
_SETTINGS: dict[str, tuple[str, ...]] = {
    "non_saturating": ("smooth",),
    "hinge": (),
    "relativistic": (),
    "wasserstein": (),
}


def build_adversarial_loss(name: str, **settings: float) -> AdversarialLoss:
    """Build a loss by name.

    Args:
        name: Name of the loss, one of :data:`LOSSES`.
        settings: Keyword arguments of the function that builds the loss.

    Raises:
        SettingError: The name or a setting is unknown, or a value is not between 0 and 1.
    """
    check_choice("name", name, LOSSES)
    for key, value in settings.items():
        if key not in _SETTINGS[name]:
            raise SettingError(key, value, f"is not a setting of the loss {name}", did_you_mean(key, _SETTINGS[name]))
        check_fraction(key, value)
    return LOSSES[name](**settings)
