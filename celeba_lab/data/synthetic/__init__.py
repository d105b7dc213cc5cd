"""Drawn faces with CelebA's attributes: labels from a model of their joint distribution, portraits from a canvas."""
