"""Names of the metrics of a classifier and of the distances of a GAN, in a module that does not import torch."""

from collections.abc import Sequence

DISTANCE_METRICS = ("heldout/kid", "heldout/fid")
"""Names of the distances between generated and real faces, which can be measured during the training of a GAN."""


def metric_names(attributes: Sequence[str], ranking: bool = True) -> list[str]:
    """Return the names of the metrics that a classifier logs for a split, without the split prefix.

    Args:
        attributes: Names of the attributes.
        ranking: If true, AUROC and average precision are included.

    Example:
        >>> metric_names(["Smiling"], ranking=False)
        ['loss', 'accuracy', 'balanced_accuracy', 'precision', 'recall', 'f1']
    """
    names = ["loss", "accuracy", "balanced_accuracy", "precision", "recall", "f1"]
    names += ["auroc", "average_precision"] if ranking else []
    return names + ([f"accuracy/{name}" for name in attributes] if len(attributes) > 1 else [])
