"""What a folder of synthetic faces was drawn from, and whether a folder is one. Imports nothing slow."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from celeba_lab.errors import UserError, check_at_least, check_choice

if TYPE_CHECKING:
    import numpy as np

VERSION = 1
"""Version of the drawing; it must be raised whenever the same settings give different bytes."""

DEFAULT_N = 6_000
PROPORTIONS = {"default": (0.8, 0.1, 0.1), "official": (162_770 / 202_599, 19_867 / 202_599, 19_962 / 202_599)}

RECORD = "synthetic.json"
"""Name of the file in the folder that contains the settings."""

NOTICE = "SYNTHETIC faces, drawn by celeba_lab: the results say nothing about CelebA."
"""Warning next to all results on synthetic faces."""


@dataclass(frozen=True)
class Settings:
    """What a folder of faces was drawn from; the same settings give the same bytes.

    Attributes:
        n: Number of faces, at least 10, so that no split is empty.
        seed: Seed of labels and faces, at least 0.
        proportions: Sizes of train, val and test, as a key of ``PROPORTIONS``.
        version: Version of the drawing.

    Raises:
        SettingError: A value is out of range.

    Example:
        >>> settings = Settings(n=100, seed=1)
        >>> print(settings)
        100 faces, seed 1, default proportions, version 1
        >>> settings.labels().shape
        (100, 40)
    """

    n: int = DEFAULT_N
    seed: int = 42
    proportions: str = "default"
    version: int = VERSION

    def __post_init__(self) -> None:
        check_at_least("n", self.n, 10)
        check_at_least("seed", self.seed, 0)
        check_choice("proportions", self.proportions, PROPORTIONS)

    def __str__(self) -> str:
        """Return the settings in words."""
        return f"{self.n:,} faces, seed {self.seed}, {self.proportions} proportions, version {self.version}"

    @property
    def image_ids(self) -> list[str]:
        """File names of the images, as in CelebA."""
        return [f"{k:06d}.jpg" for k in range(1, self.n + 1)]

    def labels(self) -> "np.ndarray":
        """Return the labels of all faces, uint8 (n, 40), 0 or 1, in the order of ``ATTRIBUTES``."""
        from celeba_lab.data.synthetic.distribution import AttributeDistribution

        return AttributeDistribution.load().sample(self.n, self.seed)

    def partition(self) -> "np.ndarray":
        """Return the partition of each face, int8 (n,): 0 train, 1 val, 2 test, in ascending order as in CelebA."""
        import numpy as np

        train, val, _ = PROPORTIONS[self.proportions]
        ends = np.maximum(np.rint(np.array([train, train + val]) * self.n), (1, 2)).astype(int)
        return np.searchsorted(ends, np.arange(self.n), side="right").astype(np.int8)


def holds_drawn_faces(root: Path) -> bool:
    """Return whether ``root`` is a folder of faces that :func:`~celeba_lab.data.synthetic.dataset.synthesize` made."""
    return (root / RECORD).is_file()


def find_settings(root: Path) -> Settings | None:
    """Return the settings of the faces in ``root``; None if it contains no synthetic faces.

    Raises:
        UserError: The file with the settings is damaged.
    """
    if not holds_drawn_faces(root):
        return None
    record = root / RECORD
    try:
        values = json.loads(record.read_text())
        if {key: type(value) for key, value in values.items()} != {
            "n": int,
            "seed": int,
            "proportions": str,
            "version": int,
        }:
            raise ValueError(f"unexpected content {values}")
        return Settings(**values)
    except (ValueError, AttributeError, OSError, UserError) as error:
        raise UserError(f"{record} is damaged. Delete the folder {root}, and the faces will be drawn again.") from error
