"""The networks whose features distances are measured in, by the setting that names them."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from celeba_lab.engine.checkpoints import is_checkpoint, load_classifier
from celeba_lab.engine.pretrained import fetch_weights, short_timeout
from celeba_lab.errors import UserError, did_you_mean
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.distances import Features


class _ClassifierFeatures(nn.Module):
    def __init__(self, classifier: AttributeClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.features(images)


def classifier_features(classifier: AttributeClassifier, name: str) -> Features:
    """Return the features that a classifier sees, at its own image size and normalised as ImageNet's pictures.

    Args:
        classifier: the network.
        name: says which it is.
    """
    size, resolution = classifier.hparams["image_size"], classifier.hparams["resolution"]
    through = f"{resolution} x {resolution} and " if resolution else ""
    num_features, backbone = classifier.backbone.num_features, classifier.backbone.name
    enlarged = f"bilinear to {through}{size} x {size}, ImageNet normalisation"
    words = f"{num_features:,} features of {backbone} ({name}), {enlarged}"
    return Features(_ClassifierFeatures(classifier), num_features, words)


def imagenet_features(weights: str, setting: str = "weights", image_size: int = 128) -> Features:
    """Return the 1,280 pooled features of torchvision's MobileNetV2, faces enlarged bilinearly.

    Args:
        weights: by name or path, as :func:`~celeba_lab.engine.pretrained.fetch_weights` takes them.
        setting: what errors call them.
        image_size: side in pixels to which faces are brought.

    Raises:
        UserError: the weights cannot be had, or do not fit.
    """
    classifier = AttributeClassifier(["Smiling"], backbone="mobilenet_v2", image_size=image_size)
    state_dict, source = fetch_weights(weights, "mobilenet_v2", setting)
    assert state_dict is not None, "only auto and None may end in random weights"
    classifier.load_pretrained(state_dict, source)
    return classifier_features(classifier, source)


def inception_features() -> Features:
    """Return the 2,048 features of the Inception network that published distances are measured in.

    Raises:
        UserError: torch-fidelity, which brings it, or its weights cannot be had.
    """
    try:
        with short_timeout():
            network = FrechetInceptionDistance(feature=2048).inception
    except ModuleNotFoundError as error:
        raise UserError("Inception needs the package torch-fidelity: pip install 'celeba-lab[inception]'.") from error
    except (OSError, RuntimeError) as error:
        raise UserError(f"Inception's weights could not be downloaded ({error}). Connect to the network.") from error
    return Features(network, 2048, "2,048 features of Inception (torch-fidelity), bilinear to 299 x 299")


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
