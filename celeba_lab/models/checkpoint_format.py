"""Model kind and format version of checkpoints."""

from typing import Any

FORMAT = 1
"""Version of the checkpoint format. Checkpoints with a higher version cannot be read by this version of celeba_lab."""

KEY = "celeba_lab"
"""Key under which a checkpoint stores its model kind and format version."""


def mark_checkpoint(checkpoint: dict[str, Any], kind: str, **facts: str) -> None:
    """Store the model kind and the format version in a checkpoint.

    Args:
        checkpoint: Checkpoint that Lightning is about to save.
        kind: Model kind, ``classifier`` or ``gan``.
        **facts: More facts about the model.

    Example:
        >>> checkpoint = {}
        >>> mark_checkpoint(checkpoint, "gan")
        >>> checkpoint
        {'celeba_lab': {'kind': 'gan', 'format': 1}}
    """
    checkpoint[KEY] = {"kind": kind, "format": FORMAT, **facts}
