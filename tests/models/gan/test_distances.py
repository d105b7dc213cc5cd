"""Distances compared with direct computations, and descriptions of distances."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from celeba_lab.errors import UserError
from celeba_lab.models.gan.distances import Distances, FeatureExtractor

D = 12


class Pixels(nn.Module):
    """A network that returns the first D numbers of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1 / 64))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().flatten(1)[:, :D] * self.scale


def faces(n: int, seed: int, brighter: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(brighter, 128 + brighter, (n, 3, 4, 4), dtype=torch.uint8, generator=generator)


@pytest.fixture
def distances() -> Distances:
    return Distances(FeatureExtractor(Pixels(), D, "pixels"), faces(150, 0), "val")


def by_hand_fid(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real))


def by_hand_kid(x: np.ndarray, y: np.ndarray) -> float:
    """Return the unbiased estimate over all pairs, multiplied by 1,000."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    within = (kernel(x, x).sum() - np.trace(kernel(x, x))) / (n * (n - 1))
    within += (kernel(y, y).sum() - np.trace(kernel(y, y))) / (m * (m - 1))
    return float(1000 * (within - 2 * kernel(x, y).mean()))


@pytest.mark.parametrize("brighter", [0, 20, 100])
def test_both_distances_equal_direct_computations(distances: Distances, brighter: int) -> None:
    generated = faces(120, 1, brighter)
    measured = distances.measure(generated)
    x, y = (distances.feature_extractor(images).double().numpy() for images in (generated, faces(150, 0)))
    assert measured.fid == pytest.approx(by_hand_fid(y, x), rel=1e-6, abs=1e-6)
    error = 4 * measured.kid_std / 10 + 1e-9  # standard error of the mean of 100 subsets
    assert measured.kid == pytest.approx(by_hand_kid(x, y), abs=error)
    assert (measured.images, measured.subset_size) == (120, 119)


def test_different_faces_have_a_much_larger_distance(distances: Distances) -> None:
    floor, far = distances.measure(faces(150, 2)), distances.measure(faces(150, 3, brighter=60))
    assert abs(floor.kid) < 30
    assert far.kid > 100 + 20 * abs(floor.kid)
    assert far.fid > 5 * floor.fid


def test_measuring_is_reproducible_and_does_not_change_random_states(distances: Distances) -> None:
    torch.manual_seed(0)
    first, drawn = distances.measure(faces(100, 1, 10)), torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(3))
    assert distances.measure(faces(100, 1, 10)) == first


def test_measuring_does_not_seed_the_accelerators(distances: Distances, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.manual_seed would also seed all accelerators, and their states would not be restored."""
    monkeypatch.setattr("torch.cuda.manual_seed_all", lambda seed: pytest.fail("every GPU was seeded"))
    distances.measure(faces(100, 1, 10))


def test_the_description_of_a_distance_is_complete(distances: Distances) -> None:
    assert distances.describe(120) == (
        "pixels; 120 generated faces and 150 real faces from val that were not used in training, all 4 x 4 pixels (real"
        " faces downsampled bilinearly with antialiasing); KID with the cubic kernel, multiplied by 1,000, averaged"
        " over 100 subsets of 119 faces"
    )
    assert distances.describe(120).endswith(f"of {distances.measure(faces(120, 1)).subset_size} faces")
    assert distances.describe(9000).endswith("subsets of 149 faces")


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_faces_are_rejected(distances: Distances, n: int) -> None:
    """Two faces give subsets of a single face, which contain no pairs, so the kernel distance would be NaN."""
    with pytest.raises(UserError, match=f"at least 3 generated faces, but there are only {n}"):
        distances.measure(faces(n, 0))
    with pytest.raises(UserError, match=f"at least 3 real faces from val, but there are only {n}"):
        Distances(FeatureExtractor(Pixels(), D, "pixels"), faces(n, 0), "val")
    assert np.isfinite(distances.measure(faces(3, 0)).kid)


def test_computing_the_features_of_many_faces_shows_progress(distances: Distances, work_shown: dict[str, str]) -> None:
    distances.measure(faces(250, 1))
    assert work_shown == {"computing features": "3/3 batches"}
