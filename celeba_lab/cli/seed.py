"""Seed all random number generators without importing additional libraries."""

import os
import random
import sys

from celeba_lab.errors import check_between

LARGEST_SEED = 2**32 - 1
"""Largest seed that NumPy accepts."""


def check_seed(seed: int) -> None:
    """Raise a ``SettingError`` if NumPy would not accept the seed."""
    check_between("seed", seed, 0, LARGEST_SEED)


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch, as ``lightning.seed_everything(seed, workers=True)`` does.

    Importing torch and Lightning takes seconds, and tasks such as ``compare`` do not use these libraries. The torch
    generator is therefore seeded only if torch is already imported. Tasks that use torch import it at the top of their
    modules.
    """
    import numpy as np

    os.environ["PL_GLOBAL_SEED"] = str(seed)  # Lightning's subprocesses read this variable.
    os.environ["PL_SEED_WORKERS"] = "1"  # Tells Lightning to seed the DataLoader workers, too.
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # Some libraries use this global generator.
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
