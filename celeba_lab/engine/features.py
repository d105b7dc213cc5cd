"""Networks that compute the features by which generated faces are compared with real ones."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from celeba_lab.engine.checkpoints import is_checkpoint, load_classifier
from celeba_lab.engine.pretrained import fetch_weights, short_timeout
from celeba_lab.errors import SettingError, UserError, did_you_mean
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.distances import FeatureExtractor

_SETTING = "feature_extractor"
_NAMES = ("auto", "inception", "imagenet")


class _ClassifierFeatures(nn.Module):
    def __init__(self, classifier: AttributeClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.features(images)


def classifier_extractor(classifier: AttributeClassifier, name: str) -> FeatureExtractor:
    """Return the backbone of a classifier as a feature extractor, with the image size of the classifier.

    Args:
        classifier: The classifier.
        name: Origin of its weights, for descriptions.
    """
    size, resolution = classifier.hparams["image_size"], classifier.hparams["resolution"]
    through = f"{resolution} x {resolution} and " if resolution else ""
    num_features, backbone = classifier.backbone.num_features, classifier.backbone.name
    enlarged = f"bilinear to {through}{size} x {size}, ImageNet normalisation"
    words = f"{num_features:,} features of {backbone} ({name}), {enlarged}"
    return FeatureExtractor(_ClassifierFeatures(classifier), num_features, words)


def imagenet_extractor(weights: str, image_size: int = 128) -> FeatureExtractor:
    """Return torchvision's MobileNetV2, which gives 1,280 pooled features; faces are enlarged bilinearly.

    Args:
        weights: Name or path of the weights; see :func:`~celeba_lab.engine.pretrained.fetch_weights`.
        image_size: Side in pixels to which faces are enlarged.

    Raises:
        UserError: The weights could not be loaded, or belong to another network.
    """
    classifier = AttributeClassifier(["Smiling"], backbone="mobilenet_v2", image_size=image_size)
    state_dict, origin = fetch_weights(weights, "mobilenet_v2", _SETTING)
    assert state_dict is not None, "only auto and None may end in random weights"
    classifier.load_pretrained(state_dict, origin)
    return classifier_extractor(classifier, origin)


def inception_extractor() -> FeatureExtractor:
    """Return the Inception network that published distances use, which gives 2,048 features.

    Raises:
        UserError: The package torch-fidelity, which defines it, is missing, or its weights could not be downloaded.
    """
    try:
        with short_timeout():
            network = FrechetInceptionDistance(feature=2048).inception
    except ModuleNotFoundError as error:
        raise UserError("Inception needs the package torch-fidelity: pip install 'celeba-lab[inception]'.") from error
    except (OSError, RuntimeError) as error:
        raise UserError(f"Inception's weights could not be downloaded ({error}). Connect to the network.") from error
    return FeatureExtractor(network, 2048, "2,048 features of Inception (torch-fidelity), bilinear to 299 x 299")


def build_feature_extractor(name: str, device: torch.device | str = "cpu") -> FeatureExtractor | None:
    """Return the feature extractor that a setting names. Building it draws no random numbers of the run.

    Args:
        name: ``inception``; ``imagenet``, which is torchvision's MobileNetV2; ``auto``, the first of these whose
            weights can be loaded; or the path of MobileNetV2's ImageNet weights or of a checkpoint of a classifier.
        device: Device that computes the features.

    Returns:
        The feature extractor; None for ``auto`` if no weights could be loaded.

    Raises:
        SettingError: The name is unknown, or the weights could not be loaded or belong to another network.
    """
    with torch.random.fork_rng(devices=[]):
        extractor = _build_first() if name == "auto" else _build(name)
    return None if extractor is None else extractor.to(device)


def _build(name: str) -> FeatureExtractor:
    if name == "inception":
        try:
            return inception_extractor()
        except UserError as error:
            hint = f"{error} Alternatively, set the path of a weights file: {_SETTING}=mobilenet_v2.pth."
            raise SettingError(_SETTING, name, "could not be loaded", hint) from error
    if name == "imagenet":
        return imagenet_extractor("DEFAULT")
    if not Path(name).is_file():
        rule = f"must be one of {', '.join(_NAMES)}, or the path of a file"
        raise SettingError(_SETTING, name, rule, did_you_mean(name, _NAMES))
    if is_checkpoint(Path(name)):
        return classifier_extractor(load_classifier(name, "measure distances", _SETTING), name)
    return imagenet_extractor(name)


def _build_first() -> FeatureExtractor | None:
    """Return the first feature extractor whose weights can be loaded; None if there is none."""
    choices: tuple[Callable[[], FeatureExtractor], ...] = (inception_extractor, lambda: imagenet_extractor("DEFAULT"))
    for build in choices:
        try:
            return build()
        except UserError:
            continue
    return None
