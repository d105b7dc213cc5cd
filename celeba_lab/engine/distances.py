"""Settings of the distances between generated and real faces, which are measured during GAN training."""

from dataclasses import dataclass, field

import numpy as np
import torch
from omegaconf import DictConfig

from celeba_lab.console import Progress, console
from celeba_lab.data.annotations import SPLITS
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.metric_names import DISTANCE_METRICS
from celeba_lab.engine.callbacks.distances import DistanceSchedule
from celeba_lab.engine.features import build_feature_extractor, check_feature_extractor
from celeba_lab.errors import SettingError, check_at_least, check_choice
from celeba_lab.models.gan.distances import Distances

_HINT = "Set the task's distances.feature_extractor to the path of a weights file, such as mobilenet_v2.pth."


@dataclass(frozen=True)
class DistanceSettings:
    """Settings for measuring the distances between generated and real faces.

    Attributes:
        feature_extractor: Name or path of the network whose features are compared; see
            :func:`~celeba_lab.engine.features.build_feature_extractor`.
        n_images: Number of faces to generate for each measurement.
        splits: Splits from which the real faces are taken. The training split is not allowed.
        every_n_epochs: Number of epochs between measurements. If None, distances are measured only after training.

    Raises:
        SettingError: A setting is out of range.

    Example:
        >>> DistanceSettings(n_images=500).splits
        ['val', 'test']
        >>> DistanceSettings(splits=["train"])
        Traceback (most recent call last):
            ...
        celeba_lab.errors.SettingError: splits=[train] must not include train, because the generator is trained on it.
    """

    feature_extractor: str = "auto"
    n_images: int = 2000
    splits: list[str] = field(default_factory=lambda: ["val", "test"])
    every_n_epochs: int | None = None

    def __post_init__(self) -> None:
        check_feature_extractor(self.feature_extractor)
        check_at_least("n_images", self.n_images, 3)
        check_at_least("every_n_epochs", self.every_n_epochs, 1)
        if not self.splits:
            raise SettingError("splits", self.splits, "must name at least one split")
        if "train" in self.splits:
            raise SettingError("splits", self.splits, "must not include train, because the generator is trained on it")
        for split in self.splits:
            check_choice("splits", split, [split for split in SPLITS if split != "train"])

    def schedule(
        self, datamodule: CelebADataModule, device: torch.device, callbacks: DictConfig | None = None
    ) -> DistanceSchedule | None:
        """Compute the features of the real faces, and return a callback that compares generated faces with them.

        Args:
            datamodule: Data module that reads the real faces.
            device: Device of the feature extractor.
            callbacks: The ``callbacks`` group of the configuration, of which some can monitor the distances.

        Returns:
            The callback, or None if no feature extractor could be loaded.

        Raises:
            SettingError: No feature extractor could be loaded, but a callback monitors the distances.
        """
        used = [split for split in self.splits if datamodule.counts[split]]
        for split in used or self.splits[:1]:  # If all splits are empty, setting up the first split raises an error.
            datamodule.setup_split(split)
        with Progress("loading the feature extractor"):
            feature_extractor = build_feature_extractor(self.feature_extractor, device)
        if feature_extractor is None:
            reason = "neither the Inception weights nor the MobileNetV2 weights could be loaded"
            if found := _find_monitor(callbacks):
                raise SettingError(*found, f"is not measured, because {reason}", _HINT, is_absolute=True)
            console.print(f"NO DISTANCES: {reason}. {_HINT}", style="bold yellow")
            return None
        rows = np.concatenate([datamodule.split_indices(split) for split in used])
        with Progress(f"computing the features of {len(rows):,} real faces"):
            distances = Distances(feature_extractor, datamodule.read_faces(rows), " + ".join(used))
        return DistanceSchedule(distances, self.n_images, self.every_n_epochs)


def check_monitors(callbacks: DictConfig | None, distances: DistanceSettings | None) -> None:
    """Check that the distances are measured during training if a callback monitors them.

    Args:
        callbacks: The ``callbacks`` group of the configuration.
        distances: Settings for the distances. If None, no distances are measured.

    Raises:
        SettingError: The distances are not measured during training.
    """
    if found := _find_monitor(callbacks):
        rule = f"must not be null, because {found[0]}={found[1]} needs distances during training"
        if distances is None:
            raise SettingError("distances", None, rule)
        if distances.every_n_epochs is None:
            raise SettingError("distances.every_n_epochs", None, rule)


def _find_monitor(callbacks: DictConfig | None) -> tuple[str, str] | None:
    """Return the setting of a callback that monitors a distance, and the distance, or None if there is none."""
    for node in filter(None, (callbacks or {}).values()):
        if node.get("monitor") in DISTANCE_METRICS:
            return str(node._get_full_key("monitor")), str(node.monitor)
    return None
