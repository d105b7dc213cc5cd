"""Synthetic faces as a Lightning data module."""

from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.synthetic.faces import SyntheticFaces


class SyntheticDataModule(SyntheticFaces, CelebADataModule):
    """Synthetic faces as batches of uint8 images, which are drawn on first use.

    The arguments are the same as for :class:`~celeba_lab.data.celeba.CelebA`.

    Example:
        >>> faces = SyntheticDataModule("data/synthetic", ["Smiling"], image_size=64)  # draws nothing yet
        >>> faces.name
        'synthetic'
    """

    name: str
