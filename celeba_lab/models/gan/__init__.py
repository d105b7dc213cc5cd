"""Generative adversarial networks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeba_lab.models.gan.module import GAN

__all__ = ["GAN"]


def __getattr__(name: str) -> Any:
    """Import ``GAN`` on first access, because a program that uses only a generator does not need Lightning."""
    if name != "GAN":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from celeba_lab.models.gan.module import GAN

    return GAN
