"""Feature extractors for comparing generated faces with real ones."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from celeba_lab.engine.checkpoints import is_checkpoint, load_classifier
from celeba_lab.engine.pretrained import downloading, fetch_weights, short_timeout
from celeba_lab.errors import SettingError, UserError, did_you_mean
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.distances import FeatureExtractor

_SETTING = "feature_extractor"
_INCEPTION = "weights-inception-2015-12-05-6726825d.pth"  # the file that torch-fidelity downloads
_NAMES = ("auto", "inception", "imagenet")


class _ClassifierFeatures(nn.Module):
    def __init__(self, classifier: AttributeClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.features(images)


def classifier_extractor(classifier: AttributeClassifier, name: str) -> FeatureExtractor:
    """Return a classifier's backbone as a feature extractor that resizes faces to the classifier's image size.

    Args:
        classifier: The classifier.
        name: Origin of the classifier's weights, used in descriptions.
    """
    size, resolution = classifier.hparams["image_size"], classifier.hparams["resolution"]
    through = f"{resolution} x {resolution} and " if resolution else ""
    num_features, backbone = classifier.backbone.num_features, classifier.backbone.name
    enlarged = f"resized bilinearly to {through}{size} x {size}, ImageNet normalisation"
    words = f"{num_features:,} features of {backbone} ({name}), {enlarged}"
    return FeatureExtractor(_ClassifierFeatures(classifier), num_features, words)


def imagenet_extractor(weights: str, image_size: int = 128) -> FeatureExtractor:
    """Return torchvision's MobileNetV2 as a feature extractor with 1,280 pooled features.

    Args:
        weights: Name or path of the weights; see :func:`~celeba_lab.engine.pretrained.fetch_weights`.
        image_size: Side length in pixels to which faces are resized with bilinear interpolation.

    Raises:
        UserError: The weights could not be loaded, or belong to a different network.
    """
    classifier = AttributeClassifier(["Smiling"], backbone="mobilenet_v2", image_size=image_size)
    state_dict, origin = fetch_weights(weights, "mobilenet_v2", _SETTING)
    assert state_dict is not None, "only auto and None can lead to random weights"
    classifier.load_pretrained(state_dict, origin)
    return classifier_extractor(classifier, origin)


def inception_extractor() -> FeatureExtractor:
    """Return a feature extractor with 2,048 features: the Inception network that is used for published FID values.

    Raises:
        UserError: The torch-fidelity package is not installed, or the weights could not be downloaded.
    """
    try:
        with short_timeout(), downloading(_INCEPTION):
            network = FrechetInceptionDistance(feature=2048).inception
    except ModuleNotFoundError as error:
        hint = "Install it with pip install 'celeba-lab[inception]'."
        raise UserError(f"Inception requires the torch-fidelity package. {hint}") from error
    except (OSError, RuntimeError) as error:
        hint = "Check the network connection."
        raise UserError(f"The Inception weights could not be downloaded ({error}). {hint}") from error
    return FeatureExtractor(
        network, 2048, "2,048 features of Inception (torch-fidelity), resized bilinearly to 299 x 299"
    )


def check_feature_extractor(name: str) -> None:
    """Check that ``name`` is a recognised feature extractor or the path to an existing file, without loading it.

    Raises:
        SettingError: The name is unknown, and no such file exists.
    """
    if name not in _NAMES and not Path(name).is_file():
        rule = f"must be one of {', '.join(_NAMES)}, or the path to a file"
        raise SettingError(_SETTING, name, rule, did_you_mean(name, _NAMES))


def build_feature_extractor(name: str, device: torch.device | str = "cpu") -> FeatureExtractor | None:
    """Build a feature extractor by name or path, without changing the random state of the run.

    Args:
        name: Name of a feature extractor, or path to MobileNetV2 ImageNet weights or a classifier checkpoint. The names
            are ``inception``, ``imagenet`` (torchvision's MobileNetV2) and ``auto`` (the first of these two whose
            weights can be loaded).
        device: Device that computes the features.

    Returns:
        The feature extractor, or None if ``name`` is ``auto`` and no weights could be loaded.

    Raises:
        SettingError: The name is unknown, or the weights could not be loaded or belong to a different network.
    """
    check_feature_extractor(name)
    with torch.random.fork_rng(devices=[]):
        extractor = _build_first() if name == "auto" else _build(name)
    return None if extractor is None else extractor.to(device)


def _build(name: str) -> FeatureExtractor:
    if name == "inception":
        try:
            return inception_extractor()
        except UserError as error:
            hint = f"{error} Alternatively, specify a weights file: {_SETTING}=mobilenet_v2.pth."
            raise SettingError(_SETTING, name, "could not be loaded", hint) from error
    if name == "imagenet":
        return imagenet_extractor("DEFAULT")
    if is_checkpoint(Path(name)):
        return classifier_extractor(load_classifier(name, "measure distances", _SETTING), name)
    return imagenet_extractor(name)


def _build_first() -> FeatureExtractor | None:
    """Return the first feature extractor whose weights can be loaded, or None if no weights can be loaded."""
    choices: tuple[Callable[[], FeatureExtractor], ...] = (inception_extractor, lambda: imagenet_extractor("DEFAULT"))
    for build in choices:
        try:
            return build()
        except UserError:
            continue
    return None
