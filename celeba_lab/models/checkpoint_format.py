"""What every checkpoint says about itself."""

from typing import Any

FORMAT = 1
"""Version of the content of checkpoints; a higher one cannot be read by this version of the package."""

KEY = "celeba_lab"
"""Key of a checkpoint under which it says what it holds."""


def mark_checkpoint(checkpoint: dict[str, Any], kind: str) -> None:
    """Write into a checkpoint which kind of model it holds, and the version of its format.

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
