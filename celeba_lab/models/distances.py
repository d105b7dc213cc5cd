"""How far generated faces are from real ones: Fréchet and kernel distance in the features of a named network."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from celeba_lab.errors import UserError
from celeba_lab.models.classifier import AttributeClassifier
from celeba_lab.models.networks import fetch_weights

# The usual scale of kernel distances in print.
KID_SCALE = 1000.0
_KID_SUBSETS = 100
_KID_SUBSET_SIZE = 1000
_SEED = 0
_BATCH = 100


class Features(nn.Module):
    """A network at rest: faces, uint8 (B, 3, H, W), to feature vectors, float (B, D).

    Args:
        network: does that.
        num_features: D.
        name: says which network with which weights, and how it enlarges faces.
    """

    def __init__(self, network: nn.Module, num_features: int, name: str) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.num_features = num_features
        self.name = name

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return the features, float32 (N, D) on the CPU, of any number of faces."""
        device = next(self.network.parameters()).device
        return torch.cat([self.network(batch.to(device)).float().cpu() for batch in images.split(_BATCH)])


class _ClassifierFeatures(nn.Module):
    def __init__(self, classifier: AttributeClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.features(images)


def classifier_features(classifier: AttributeClassifier, name: str) -> Features:
    """Return the features that a classifier trained here looks at, at its own image size."""
    size = classifier.hparams["image_size"]
    network = _ClassifierFeatures(classifier)
    return Features(network, classifier.backbone.num_features, f"{name}, bilinear to {size} x {size}")


def imagenet_features(weights: str, backbone: str = "mobilenet_v2", image_size: int = 128) -> Features:
    """Return the pooled features of a torchvision backbone, faces enlarged bilinearly and normalised as ImageNet's.

    Args:
        weights: as ``model.weights``, by name or path.
        backbone: the torchvision name.
        image_size: side in pixels to which faces are brought.

    Raises:
        UserError: the weights cannot be had, or do not fit.
    """
    state_dict, source = fetch_weights(weights, backbone)
    assert state_dict is not None, "only auto and None may end in random weights"
    classifier = AttributeClassifier(["Smiling"], backbone=backbone, image_size=image_size)
    classifier.load_pretrained(state_dict, source)
    return classifier_features(classifier, f"{classifier.backbone.num_features} features of {backbone} ({source})")


def inception_features() -> Features:
    """Return the 2,048 features of the Inception network that published distances are measured in.

    Raises:
        UserError: torch-fidelity, which brings it, or its weights cannot be had.
    """
    try:
        network = FrechetInceptionDistance(feature=2048).inception
    except ModuleNotFoundError as error:
        raise UserError(
            "task.distances.features=inception needs the package torch-fidelity: pip install 'celeba-lab[inception]'."
        ) from error
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"task.distances.features=inception: its weights could not be downloaded ({error}). Connect to the network,"
            " or name weights that you have: task.distances.features=mobilenet_v2.pth."
        ) from error
    return Features(network, 2048, "2048 features of Inception (torch-fidelity), bilinear to 299 x 299")


def build_features(features: str) -> Features | None:
    """Return the features by the setting ``task.distances.features``; None for ``auto`` where none can be had.

    Args:
        features: ``inception``; ``imagenet``, torchvision's MobileNetV2; ``auto``, the first of these whose weights can
            be had; or the path of MobileNetV2's ImageNet weights, or of a checkpoint of a classifier trained here.

    Raises:
        UserError: the weights cannot be had, or do not fit.
    """
    if features == "inception":
        return inception_features()
    if features == "imagenet":
        return imagenet_features("DEFAULT")
    if features != "auto":
        return imagenet_features(features)
    for build in (inception_features, lambda: imagenet_features("DEFAULT")):
        try:
            return build()
        except UserError:
            continue
    return None


@dataclass(frozen=True)
class Distance:
    """How far one set of faces is from another.

    Attributes:
        fid: Fréchet distance (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017).
        kid: kernel distance with the cubic kernel, times 1,000 (Binkowski et al., "Demystifying MMD GANs", ICLR 2018);
            the mean over 100 random subsets of both sides, without bias, so it may fall below 0.
        kid_std: its standard deviation over the subsets.
        generated: number of faces on the side that is judged.
        subset_size: faces of each side in a subset.
    """

    fid: float
    kid: float
    kid_std: float
    generated: int
    subset_size: int


class Distances:
    """Distances from a fixed set of real faces.

    Args:
        features: in which to measure.
        real: uint8 (N, 3, S, S), faces that nothing was trained on.
        split: where they are from, in words.

    Raises:
        UserError: there are fewer than two real faces.
    """

    def __init__(self, features: Features, real: Tensor, split: str) -> None:
        if len(real) < 2:
            raise UserError(f"Distances need at least two real faces, and {split} has {len(real)}.")
        self.features = features
        self.split = split
        self.real = features(real)  # (N, D)

    def describe(self, distance: Distance) -> str:
        """Say what a distance is of, so that unlike numbers are not compared."""
        return (
            f"{self.features.name}; {distance.generated:,} faces against {len(self.real):,} real ones of {self.split};"
            f" KID times 1,000, mean of {_KID_SUBSETS} subsets of {distance.subset_size:,}"
        )

    def measure(self, images: Tensor) -> Distance:
        """Return the distance of faces, uint8 (N, 3, S, S), from the real ones.

        Raises:
            UserError: there are fewer than two.
        """
        if len(images) < 2:
            raise UserError(f"Distances need at least two generated faces, not {len(images)}.")
        return self.between(self.features(images))

    def between(self, features: Tensor) -> Distance:
        """Return the distance of features, float (N, D), from those of the real faces."""
        subset = min(_KID_SUBSET_SIZE, len(features) - 1, len(self.real) - 1)
        passed_on = _AsTheyAre(self.features.num_features)
        fid = FrechetInceptionDistance(feature=passed_on, sync_on_compute=False).set_dtype(torch.float64)
        kid = KernelInceptionDistance(passed_on, _KID_SUBSETS, subset, sync_on_compute=False)
        for metric in (fid, kid):
            metric.update(self.real.double(), real=True)
            metric.update(features.double(), real=False)
        with torch.random.fork_rng(devices=[]):  # subsets are drawn, and training must not notice
            torch.manual_seed(_SEED)
            mean, std = kid.compute()
        return Distance(fid.compute().item(), KID_SCALE * mean.item(), KID_SCALE * std.item(), len(features), subset)


class _AsTheyAre(nn.Module):
    """Stands in for Inception where features were computed already, once for both distances."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
