"""Settings of synthetic faces, and functions that find them in a folder. This module avoids slow imports."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from celeba_lab.errors import UserError, check_at_least, check_choice
from celeba_lab.files import read_file

if TYPE_CHECKING:
    import numpy as np

VERSION = 1
"""Version of the drawing code. Increase it whenever the same settings produce different files."""

DEFAULT_N = 6_000
PROPORTIONS = {"default": (0.8, 0.1, 0.1), "official": (162_770 / 202_599, 19_867 / 202_599, 19_962 / 202_599)}

RECORD = "synthetic.json"
"""Name of the settings file in a folder of synthetic faces."""
_MAX_RECORD_BYTES = 2**16  # The file takes less than 100 bytes.
_LARGEST = 2**63 - 1  # Runs record the settings, and integers of more than 64 bits do not fit into their tables.

NOTICE = "SYNTHETIC faces, drawn by celeba_lab: the results say nothing about CelebA."
"""Warning that is shown next to all results on synthetic faces."""


@dataclass(frozen=True)
class Settings:
    """Settings of a folder of synthetic faces. The same settings always produce the same files.

    Attributes:
        n: Number of faces. The minimum is 10, so that no split is empty.
        seed: Seed for the labels and faces, at least 0.
        proportions: Key in ``PROPORTIONS`` that selects the relative sizes of the three splits.
        version: Version of the drawing code.

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
        """Return the settings as text."""
        return f"{self.n:,} faces, seed {self.seed}, {self.proportions} proportions, version {self.version}"

    @property
    def image_ids(self) -> list[str]:
        """File names of the images, in CelebA's format."""
        return [f"{k:06d}.jpg" for k in range(1, self.n + 1)]

    def labels(self) -> "np.ndarray":
        """Return the binary labels of all faces, with columns in the order of ``ATTRIBUTES``, uint8 (n, 40)."""
        from celeba_lab.data.synthetic.distribution import AttributeDistribution

        return AttributeDistribution.load().sample(self.n, self.seed)

    def partition(self) -> "np.ndarray":
        """Return the partition of each face (0 train, 1 val, 2 test) in ascending order, int8 (n,)."""
        import numpy as np

        train, val, _ = PROPORTIONS[self.proportions]
        ends = np.maximum(np.rint(np.array([train, train + val]) * self.n), (1, 2)).astype(int)
        return np.searchsorted(ends, np.arange(self.n), side="right").astype(np.int8)


def holds_drawn_faces(root: Path) -> bool:
    """Return whether ``root`` contains faces from :func:`~celeba_lab.data.synthetic.dataset.synthesize`."""
    return (root / RECORD).is_file()


def find_settings(root: Path) -> Settings | None:
    """Return the settings of the faces in ``root``, or None if ``root`` does not contain synthetic faces.

    Raises:
        UserError: The settings file is damaged.
    """
    if not holds_drawn_faces(root):
        return None
    record = root / RECORD
    try:
        values = json.loads(read_file(record, _MAX_RECORD_BYTES))
        if {key: type(value) for key, value in values.items()} != {
            "n": int,
            "seed": int,
            "proportions": str,
            "version": int,
        }:
            raise ValueError("unexpected keys or types")
        if max(values["n"], values["seed"], values["version"]) > _LARGEST:
            raise ValueError("a number is too large")
        return Settings(**values)
    except (ValueError, AttributeError, RecursionError, OSError, UserError) as error:
        raise UserError(f"{record} is damaged. Delete the folder {root} so that the faces are drawn again.") from error
