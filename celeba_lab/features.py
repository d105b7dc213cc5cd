"""The features that distances are measured in, by the setting that names them."""

from pathlib import Path

import torch

from celeba_lab.checkpoints import is_checkpoint, load_classifier
from celeba_lab.errors import UserError, did_you_mean
from celeba_lab.models.distances import Features, classifier_features, imagenet_features, inception_features

_SETTING = "task.distances.features"
_NAMES = ("auto", "inception", "imagenet")


def build_features(features: str, device: torch.device | str = "cpu") -> Features | None:
    """Return the features by the setting ``task.distances.features``; None for ``auto`` where none can be had.

    What is built draws no random number of the run.

    Args:
        features: ``inception``; ``imagenet``, torchvision's MobileNetV2; ``auto``, the first of these whose weights can
            be had; or the path of MobileNetV2's ImageNet weights, or of a checkpoint of a classifier trained here.
        device: where they are computed.

    Raises:
        UserError: the weights cannot be had, or do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        built = _try_both() if features == "auto" else _build(features)
    return None if built is None else built.to(device)


def _build(features: str) -> Features:
    if features == "inception":
        try:
            return inception_features()
        except UserError as error:
            raise UserError(
                f"{_SETTING}=inception: {error} Or name weights that you have: {_SETTING}=mobilenet_v2.pth."
            ) from error
    if features == "imagenet":
        return imagenet_features("DEFAULT", _SETTING)
    if not Path(features).is_file():
        raise UserError(
            f"{_SETTING}={features}: there is no such file, and it is none of {', '.join(_NAMES)}."
            f"{did_you_mean(features, _NAMES)}"
        )
    if is_checkpoint(Path(features)):
        return classifier_features(load_classifier(features, "measure distances"), features)
    return imagenet_features(features, _SETTING)


def _try_both() -> Features | None:
    for build in (inception_features, lambda: imagenet_features("DEFAULT", _SETTING)):
        try:
            return build()
        except UserError:
            continue
    return None
