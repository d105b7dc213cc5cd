"""The printed result of ``task=export``."""

from pathlib import Path

from celeba_lab.console import console, display_path

_WORDS = {"ema": "averaged weights", "raw": "last weights"}


def show_export(path: Path, megabytes: float, weights: str) -> None:
    """Print an exported generator's path and size, and the kind of weights it contains.

    Args:
        path: Path to the exported file.
        megabytes: Size of the file in megabytes.
        weights: ``ema`` for the averaged weights, or ``raw`` for the last weights.
    """
    console.print(f"{display_path(path)}: {megabytes:.1f} MB, {_WORDS[weights]}")
