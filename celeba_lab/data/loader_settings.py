"""Settings of the data loaders. This module does not import torch."""

from dataclasses import dataclass

from celeba_lab.errors import check_at_least, check_between

DEFAULT_BATCH_SIZE = 32
"""Number of images in a training batch, unless a batch size is given or chosen for the device."""

MOST_WORKERS = 256
"""Maximum number of worker processes of a loader. More would slow down or exhaust any machine."""


@dataclass(frozen=True)
class LoaderSettings:
    """Settings shared by all loaders of a data module.

    Attributes:
        batch_size: Number of images in a training batch. Default: :data:`DEFAULT_BATCH_SIZE`.
        eval_batch_size: Number of images in a validation, test or prediction batch. Default: four times
            ``batch_size``, or on a GPU 16 times, up to 512.
        num_workers: Number of worker processes per loader. If None, the number depends on the device and store.
        seed: Seed for shuffling the training images.

    Raises:
        SettingError: A value is out of range.
    """

    batch_size: int | None
    eval_batch_size: int | None
    num_workers: int | None
    seed: int

    def __post_init__(self) -> None:
        check_at_least("batch_size", self.batch_size, 2)  # Batch normalisation cannot be trained with one face.
        check_at_least("eval_batch_size", self.eval_batch_size, 1)
        check_between("num_workers", self.num_workers, 0, MOST_WORKERS)
        check_at_least("seed", self.seed, 0)
