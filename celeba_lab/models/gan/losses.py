"""Losses of the two players of a GAN, by name: logits in, one number out."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature

import torch
import torch.nn.functional as F
from torch import Tensor

from celeba_lab.errors import UserError, did_you_mean


@dataclass(frozen=True)
class AdversarialLoss:
    """What each player minimises.

    Attributes:
        discriminator: takes logits of real and of generated images, float (B,) each; returns a scalar.
        generator: takes the same; one that ``needs_real`` looks at both.
        needs_real: the generator's loss looks at real images too.
        relative: a logit says how real an image is only beside those of the other kind.
        critic: logits are scores without a scale, so that neither their zero nor their size says who is ahead.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor | None, Tensor], Tensor]
    needs_real: bool = False
    relative: bool = False
    critic: bool = False

    def probability(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Return D(x) and D(G(z)), float (B,) each: how probably an image is real, as the discriminator sees it.

        Of losses without probabilities (hinge, Wasserstein) it is the logistic function of the logit all the same; of a
        critic, of the logit beside the mean of the other kind.
        """
        if self.relative:
            real, fake = real - fake.mean(), fake - real.mean()
        return real.sigmoid(), fake.sigmoid()


def _bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def non_saturating(smooth: float = 0.0) -> AdversarialLoss:
    """Return the non-saturating loss (Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014).

    Args:
        smooth: real images are to be told with a probability of 1 minus this (one-sided label smoothing).
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

    Each image is judged beside the mean logit of the other kind, so the generator learns from real images as well.
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

    It is bounded only for a critic whose slope is: by a gradient penalty or by spectral normalisation.
    """
    return AdversarialLoss(
        discriminator=lambda real, fake: fake.mean() - real.mean(),
        generator=lambda real, fake: -fake.mean(),
        relative=True,
        critic=True,
    )


def _given(logits: Tensor | None) -> Tensor:
    assert logits is not None, "a loss that needs_real is given real logits"
    return logits


def attribute_loss(seen: Tensor, attributes: Tensor) -> Tensor:
    """Return the cross-entropy of the attributes that a discriminator sees in images, a mean over all of them.

    After Odena et al., "Conditional Image Synthesis with Auxiliary Classifier GANs" (ICML 2017). The discriminator
    learns it of real images, the generator of its own; a discriminator that learnt it of generated images as well would
    learn the generator's mistakes.

    Args:
        seen: logits, float (B, K).
        attributes: (B, K) of 0 and 1, of a real image its labels, of a generated one what was asked for.
    """
    return F.binary_cross_entropy_with_logits(seen, attributes.to(seen.dtype))


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Return half the mean squared norm of the gradient at real images.

    After Mescheder et al., "Which Training Methods for GANs do actually Converge?" (ICML 2018).

    Args:
        logits: float (B,), of ``images``, which require gradients.
        images: float (B, 3, S, S).
    """
    return _gradients(logits, images).square().sum(dim=1).mean() / 2


def gradient_penalty(
    discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor | None = None
) -> Tensor:
    """Return how far the norm of the gradient is from 1 between real and generated images, squared.

    After Gulrajani et al., "Improved Training of Wasserstein GANs" (NeurIPS 2017).

    Args:
        discriminate: images to logits.
        real: float (B, 3, S, S).
        fake: float (B, 3, S, S).
        mix: float (B, 1, 1, 1) in [0, 1], the share of the real image; drawn by default.
    """
    if mix is None:
        mix = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    between = torch.lerp(fake.detach(), real, mix).requires_grad_(True)
    return (_gradients(discriminate(between), between).norm(dim=1) - 1).square().mean()


def _gradients(logits: Tensor, images: Tensor) -> Tensor:
    """Return float32 (B, 3 * S * S)."""
    [gradients] = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradients.float().flatten(start_dim=1)


LOSSES: dict[str, Callable[..., AdversarialLoss]] = {
    "non_saturating": non_saturating,
    "hinge": hinge,
    "relativistic": relativistic,
    "wasserstein": wasserstein,
}


def build_adversarial_loss(name: str, **settings: float) -> AdversarialLoss:
    """Return a loss by name.

    Raises:
        UserError: there is none of that name, or it has no such setting.
    """
    if name not in LOSSES:
        raise UserError(f"model.loss.name={name}: it can be {', '.join(LOSSES)}.{did_you_mean(name, LOSSES)}")
    for setting in settings.keys() - signature(LOSSES[name]).parameters.keys():
        raise UserError(f"model.loss: {name} has no setting {setting}.")
    return LOSSES[name](**settings)
