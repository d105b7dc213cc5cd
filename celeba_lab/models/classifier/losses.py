"""Losses for K binary attributes, built by name."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from celeba_lab.errors import SettingError, check_at_least, check_choice, did_you_mean

Loss = Callable[[Tensor, Tensor], Tensor]
"""Function that takes logits, float (B, K), and labels, float (B, K) in [0, 1], and returns a scalar."""


def build_loss(name: str = "bce", prevalence: Sequence[float] | None = None, **settings: float) -> Loss:
    """Build a loss by name.

    Args:
        name: Name of the loss: ``bce``, ``weighted_bce``, ``focal`` or ``asymmetric``.
        prevalence: Prevalence of each of the K attributes among the training images, required by ``weighted_bce``.
        settings: Keyword arguments of the loss function.

    Raises:
        SettingError: The name or a setting is unknown, or a setting is below 0.

    Example:
        >>> loss = build_loss("focal", gamma=2.0)
        >>> loss(torch.zeros(4, 1), torch.ones(4, 1))
        tensor(0.1733)
    """
    check_choice("name", name, _SETTINGS)
    for key, value in settings.items():
        if key not in _SETTINGS[name]:
            raise SettingError(key, value, f"is not a setting of the loss {name}", did_you_mean(key, _SETTINGS[name]))
        check_at_least(key, value, 0)
    function = _FUNCTIONS[name]
    if name == "weighted_bce":
        if prevalence is None:
            raise SettingError("name", name, "requires the prevalence of the attributes among the training images")
        function = partial(function, prevalence=torch.tensor(list(prevalence)))
    return partial(function, **settings)


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross-entropy between logits, float (B, K), and labels, float (B, K) in [0, 1]."""
    return F.binary_cross_entropy_with_logits(logits, labels)


def weighted_binary_cross_entropy(
    logits: Tensor, labels: Tensor, prevalence: Tensor, power: float = 1.0, largest: float = 10.0
) -> Tensor:
    """Return the cross-entropy with a larger weight for each attribute's rarer class (King and Zeng, 2001).

    A class that makes up a fraction p of the images has the weight (0.5 / p) ** power.

    Args:
        logits: Logits, float (B, K).
        labels: Labels, float (B, K) in [0, 1].
        prevalence: Prevalence of each attribute among the training images, float (K,).
        power: Exponent of the weights. 0 gives the plain cross-entropy, and 1 gives both classes the same total weight.
        largest: Upper bound on the weights of rare classes.
    """
    share = prevalence.to(logits, non_blocking=True)
    present, absent = ((0.5 / part.clamp_min(1e-6)).pow(power).clamp_max(largest) for part in (share, 1 - share))
    weight = labels * present + (1 - labels) * absent  # (B, K)
    return F.binary_cross_entropy_with_logits(logits, labels, weight=weight)


def focal(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Return the focal loss, which down-weights correct predictions (Lin et al., ICCV 2017).

    Args:
        logits: Logits, float (B, K).
        labels: Labels, float (B, K) in [0, 1].
        gamma: Focusing parameter; 0 gives the plain cross-entropy.
    """
    loss: Tensor = sigmoid_focal_loss(logits, labels, alpha=-1, gamma=gamma, reduction="mean")
    return loss


def asymmetric(
    logits: Tensor, labels: Tensor, gamma_negative: float = 4.0, gamma_positive: float = 0.0, margin: float = 0.05
) -> Tensor:
    """Return the asymmetric loss, which down-weights easy negatives more than easy positives (Ridnik et al., 2021).

    Args:
        logits: Logits, float (B, K).
        labels: Labels, float (B, K) in [0, 1].
        gamma_negative: Focusing parameter for negatives.
        gamma_positive: Focusing parameter for positives.
        margin: Predicted probability below which negatives have no weight.
    """
    p = logits.sigmoid()
    shifted = (p - margin).clamp_min(0)
    positive = (1 - p).pow(gamma_positive) * F.logsigmoid(logits)
    negative = shifted.pow(gamma_negative) * torch.log((1 - shifted).clamp_min(1e-8))
    return -(labels * positive + (1 - labels) * negative).mean()


_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "bce": binary_cross_entropy,
    "weighted_bce": weighted_binary_cross_entropy,
    "focal": focal,
    "asymmetric": asymmetric,
}
_SETTINGS: dict[str, tuple[str, ...]] = {
    "bce": (),
    "weighted_bce": ("power", "largest"),
    "focal": ("gamma",),
    "asymmetric": ("gamma_negative", "gamma_positive", "margin"),
}
