"""Generative adversarial networks."""

from celeba_lab.models.gan.module import GAN

__all__ = ["GAN"]
