"""How far generated faces are from real ones: Fréchet and kernel distance in the features of a named network."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from celeba_lab.errors import UserError

# The usual scale of kernel distances in print.
KID_SCALE = 1000.0
_KID_SUBSETS = 100
_KID_SUBSET_SIZE = 1000
_SEED = 0
_BATCH = 100
_FEWEST = 3  # faces: a subset of two has pairs, and one is left out of each subset


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


@dataclass(frozen=True)
class Distance:
    """How far one set of faces is from another.

    Attributes:
        fid: Fréchet distance (Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017).
        kid: kernel distance with the cubic kernel, times 1,000 (Binkowski et al., "Demystifying MMD GANs", ICLR 2018);
            the mean over 100 random subsets of both sides, without bias, so it may fall below 0.
        kid_std: its standard deviation over the subsets.
        images: number of faces on the side that is judged.
        subset_size: faces of each side in a subset.
    """

    fid: float
    kid: float
    kid_std: float
    images: int
    subset_size: int


class Distances:
    """Distances from a fixed set of real faces.

    Args:
        features: in which to measure.
        real: uint8 (N, 3, S, S), faces that nothing was trained on.
        split: where they are from, in words.

    Raises:
        UserError: there are fewer than three real faces.
    """

    def __init__(self, features: Features, real: Tensor, split: str) -> None:
        _check_count(len(real), f"real faces of {split}")
        self.features = features
        self.split = split
        self.size = real.shape[-1]
        self.real = features(real)  # (N, D)

    def describe(self, n: int) -> str:
        """Say what the distance of n faces is of, so that unlike numbers are not compared."""
        return (
            f"{self.features.name}; {n:,} faces against {len(self.real):,} real ones of {self.split}, which were not"
            f" trained on, all of {self.size} x {self.size} pixels (real ones shrunk bilinearly, antialiased);"
            f" KID with the cubic kernel, times 1,000, mean of {_KID_SUBSETS} subsets of {self._subset_size(n):,}"
        )

    def _subset_size(self, n: int) -> int:
        return min(_KID_SUBSET_SIZE, n - 1, len(self.real) - 1)

    def measure(self, images: Tensor) -> Distance:
        """Return the distance of faces, uint8 (N, 3, S, S), from the real ones.

        Raises:
            UserError: there are fewer than three.
        """
        _check_count(len(images), "faces to judge")
        return self.between(self.features(images))

    def between(self, features: Tensor) -> Distance:
        """Return the distance of features, float (N, D), from those of the real faces."""
        subset = self._subset_size(len(features))
        passed_on = _AsTheyAre(self.features.num_features)
        fid = FrechetInceptionDistance(feature=passed_on, sync_on_compute=False).set_dtype(torch.float64)
        kid = KernelInceptionDistance(passed_on, _KID_SUBSETS, subset, sync_on_compute=False)
        for metric in (fid, kid):
            metric.update(self.real.double(), real=True)
            metric.update(features.double(), real=False)
        with torch.random.fork_rng(devices=[]):  # subsets are drawn, and training must not notice
            torch.default_generator.manual_seed(_SEED)  # torch.manual_seed would reach every GPU's as well
            mean, std = kid.compute()
        return Distance(fid.compute().item(), KID_SCALE * mean.item(), KID_SCALE * std.item(), len(features), subset)


def _check_count(n: int, what: str) -> None:
    if n < _FEWEST:
        raise UserError(f"Distances need at least {_FEWEST} {what}, and there are {n}.")


class _AsTheyAre(nn.Module):
    """Stands in for Inception where features were computed already, once for both distances."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features
