"""Losses of K binary attributes, by name: logits and labels in, one number out."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from celeba_lab.errors import UserError, did_you_mean

Loss = Callable[[Tensor, Tensor], Tensor]
"""Takes logits, float (B, K), and labels, float (B, K) in [0, 1]; returns a scalar."""


def build_loss(name: str = "bce", prevalence: Sequence[float] | None = None, **settings: float) -> Loss:
    """Return a loss by name.

    Args:
        name: ``bce``, ``weighted_bce``, ``focal`` or ``asymmetric``.
        prevalence: of the K attributes among the training images, for ``weighted_bce``.
        settings: of the loss, see its function.

    Raises:
        UserError: the name or a setting is unknown or out of range.
    """
    if name not in _LOSSES:
        raise UserError(f"model.loss.name={name}: it can be {', '.join(_LOSSES)}.{did_you_mean(name, _LOSSES)}")
    function, known = _LOSSES[name]
    for key, value in settings.items():
        if key not in known:
            raise UserError(f"model.loss.{key} is no setting of the loss {name}.{did_you_mean(key, known)}")
        if value < 0:
            raise UserError(f"model.loss.{key}={value:g}: give a number from 0.")
    if name == "weighted_bce":
        if prevalence is None:
            raise UserError("model.loss.name=weighted_bce needs the prevalence of the attributes in training.")
        function = partial(function, prevalence=torch.tensor(list(prevalence)))
    return partial(function, **settings)


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross-entropy."""
    return F.binary_cross_entropy_with_logits(logits, labels)


def weighted_binary_cross_entropy(
    logits: Tensor, labels: Tensor, prevalence: Tensor, power: float = 1.0, largest: float = 10.0
) -> Tensor:
    """Return the cross-entropy in which the rarer class of each attribute counts for more (King and Zeng, 2001).

    A class that a fraction p of the images belongs to has the weight (0.5 / p) ** power.

    Args:
        logits: float (B, K).
        labels: float (B, K) in [0, 1].
        prevalence: float (K,), of each attribute among the training images.
        power: 0 is the plain cross-entropy, 1 makes both classes count alike in total.
        largest: weight that a very rare class may have.
    """
    share = prevalence.to(logits)
    present, absent = ((0.5 / part.clamp_min(1e-6)).pow(power).clamp_max(largest) for part in (share, 1 - share))
    weight = labels * present + (1 - labels) * absent  # (B, K)
    return F.binary_cross_entropy_with_logits(logits, labels, weight=weight)


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Return the focal loss: what is right already counts for less (Lin et al., ICCV 2017).

    Args:
        logits: float (B, K).
        labels: float (B, K) in [0, 1].
        gamma: 0 is the plain cross-entropy.
    """
    return sigmoid_focal_loss(logits, labels, alpha=-1, gamma=gamma, reduction="mean")


def asymmetric(
    logits: Tensor, labels: Tensor, gamma_negative: float = 4.0, gamma_positive: float = 0.0, margin: float = 0.05
) -> Tensor:
    """Return the asymmetric loss: easy negatives count for less than easy positives (Ridnik et al., ICCV 2021).

    Args:
        logits: float (B, K).
        labels: float (B, K) in [0, 1].
        gamma_negative: focusing of the negatives.
        gamma_positive: focusing of the positives.
        margin: negatives of a lower probability than this count for nothing.
    """
    p = logits.sigmoid()
    shifted = (p - margin).clamp_min(0)
    positive = (1 - p).pow(gamma_positive) * F.logsigmoid(logits)
    negative = shifted.pow(gamma_negative) * torch.log((1 - shifted).clamp_min(1e-8))
    return -(labels * positive + (1 - labels) * negative).mean()


_LOSSES: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    "bce": (binary_cross_entropy, ()),
    "weighted_bce": (weighted_binary_cross_entropy, ("power", "largest")),
    "focal": (focal, ("gamma",)),
    "asymmetric": (asymmetric, ("gamma_negative", "gamma_positive", "margin")),
}
