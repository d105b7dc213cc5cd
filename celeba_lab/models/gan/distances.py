"""Fréchet and kernel distances between generated and real faces, computed from a network's features."""

from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from typing_extensions import override

from celeba_lab.console import progress
from celeba_lab.errors import UserError
from celeba_lab.models.inference import FEWEST_IMAGES, Inference

# By convention, kernel distances are multiplied by 1,000.
KID_SCALE = 1000.0
_KID_SUBSETS = 100
_KID_SUBSET_SIZE = 1000
_SEED = 0
_BATCH = 100
_FEWEST = 3  # Each subset must contain at least two faces and omit at least one.


class FeatureExtractor(nn.Module):
    """A frozen network that maps faces, uint8 (B, 3, H, W), to feature vectors, float (B, D).

    Args:
        network: Network that computes the feature vectors.
        num_features: Length of a feature vector, D.
        name: Description of the network, the origin of its weights and the resizing of faces.

    Example:
        >>> class MeanColour(nn.Linear):
        ...     def forward(self, images):
        ...         return super().forward(images.float().mean(dim=(2, 3)))
        >>> extractor = FeatureExtractor(MeanColour(3, 4), num_features=4, name="mean colour")
        >>> extractor(torch.zeros(7, 3, 16, 16, dtype=torch.uint8)).shape
        torch.Size([7, 4])
    """

    def __init__(self, network: nn.Module, num_features: int, name: str) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.num_features = num_features
        self.name = name

    @override
    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Return the features of any number of faces, uint8 (N, 3, H, W), as float32 (N, D) on the CPU."""
        device = next(self.network.parameters()).device
        batches = progress(torch.split(images, _BATCH), "computing features", unit="batches")
        if len(images) < FEWEST_IMAGES:
            return torch.cat([self.network(batch.to(device)).float().cpu() for batch in batches])
        with closing(Inference(self.network, images[:2].to(device))) as inference:
            return torch.cat([inference.map(inference.network, batch.to(device)).float().cpu() for batch in batches])


@dataclass(frozen=True)
class Distance:
    """Fréchet and kernel distances between generated and real faces.

    Attributes:
        fid: Fréchet distance (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017).
        kid: Kernel distance with the cubic kernel (Binkowski et al., "Demystifying MMD GANs", ICLR 2018), multiplied by
            1,000 and averaged over 100 random subsets of the generated and real faces. The estimate is unbiased, so it
            can be negative.
        kid_std: Standard deviation of the kernel distance over the subsets.
        images: Number of generated faces.
        subset_size: Number of faces per subset, which is the same for generated and real faces.

    Example:
        >>> distance = Distance(fid=22.1, kid=3.8, kid_std=0.9, images=2000, subset_size=1000)
        >>> print(f"FID {distance.fid}, KID x 1,000 {distance.kid}")
        FID 22.1, KID x 1,000 3.8
    """

    fid: float
    kid: float
    kid_std: float
    images: int
    subset_size: int


class Distances:
    """Measures the distances between generated faces and a fixed set of real faces.

    Args:
        feature_extractor: Network that computes the features to compare.
        real: Real faces that were not used in training, uint8 (N, 3, S, S).
        split: Names of the splits that contain the real faces, used in descriptions.

    Raises:
        UserError: Fewer than three real faces are given.

    Example:
        >>> class MeanColour(nn.Linear):
        ...     def forward(self, images):
        ...         return super().forward(images.float().mean(dim=(2, 3)))
        >>> real = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8)
        >>> distances = Distances(FeatureExtractor(MeanColour(3, 4), 4, "mean colour"), real, split="val")
        >>> print(f"{abs(distances.measure(real).fid):.3f}")
        0.000
    """

    def __init__(self, feature_extractor: FeatureExtractor, real: Tensor, split: str) -> None:
        _check_count(len(real), f"real faces from {split}")
        self.feature_extractor = feature_extractor
        self.split = split
        self.size = real.shape[-1]
        self.real = feature_extractor(real)  # (N, D)

    def describe(self, n: int) -> str:
        """Describe a measurement of n generated faces. Distances with different descriptions are not comparable."""
        return (
            f"{self.feature_extractor.name}; {n:,} generated faces and {len(self.real):,} real faces from {self.split}"
            f" that were not used in training, all {self.size} x {self.size} pixels (real faces downsampled"
            " bilinearly with antialiasing); KID with the cubic kernel, multiplied by 1,000, averaged over"
            f" {_KID_SUBSETS} subsets of {self._subset_size(n):,} faces"
        )

    def _subset_size(self, n: int) -> int:
        return min(_KID_SUBSET_SIZE, n - 1, len(self.real) - 1)

    def measure(self, images: Tensor) -> Distance:
        """Measure the distances between generated faces, uint8 (N, 3, S, S), and the real faces.

        Raises:
            UserError: Fewer than three generated faces are given.
        """
        _check_count(len(images), "generated faces")
        return self.between(self.feature_extractor(images))

    def between(self, features: Tensor) -> Distance:
        """Measure the distances to the real faces, given the features of generated faces, float (N, D)."""
        subset = self._subset_size(len(features))
        passed_on = _Identity(self.feature_extractor.num_features)
        fid = FrechetInceptionDistance(feature=passed_on, sync_on_compute=False).set_dtype(torch.float64)
        kid = KernelInceptionDistance(passed_on, _KID_SUBSETS, subset, sync_on_compute=False)
        for metric in (fid, kid):
            metric.update(self.real.double(), real=True)
            metric.update(features.double(), real=False)
        with torch.random.fork_rng(devices=[]):  # Drawing the subsets must not affect training.
            torch.default_generator.manual_seed(_SEED)  # Calling torch.manual_seed would also seed all GPUs.
            mean, std = kid.compute()
        return Distance(fid.compute().item(), KID_SCALE * mean.item(), KID_SCALE * std.item(), len(features), subset)


def _check_count(n: int, what: str) -> None:
    if n < _FEWEST:
        raise UserError(f"Measuring distances requires at least {_FEWEST} {what}, but there are only {n}.")


class _Identity(nn.Module):
    """A replacement for the feature extractor of FID and KID, so that both metrics share precomputed features."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
