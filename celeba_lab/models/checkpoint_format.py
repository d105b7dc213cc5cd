"""The kind of model and the format version in every checkpoint."""

from typing import Any

FORMAT = 1
"""Version of the content of checkpoints; a higher one cannot be read by this version of the package."""

KEY = "celeba_lab"
"""Key in a checkpoint of its kind and its format."""


def mark_checkpoint(checkpoint: dict[str, Any], kind: str) -> None:
    """Write the kind of model and the version of the format into a checkpoint.

    Args:
        checkpoint: The checkpoint that Lightning is about to save.
        kind: Kind of model, ``classifier`` or ``gan``.

    Example:
        >>> checkpoint = {}
        >>> mark_checkpoint(checkpoint, "gan")
        >>> checkpoint
        {'celeba_lab': {'kind': 'gan', 'format': 1}}
    """
    checkpoint[KEY] = {"kind": kind, "format": FORMAT}
