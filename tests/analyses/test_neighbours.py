"""The nearest image matches the result of an exhaustive search."""

import numpy as np
import pytest

from celeba_lab.analyses.neighbours import nearest_images


def draw(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 4, 4), dtype=np.uint8)


def test_the_nearest_image_over_several_batches_equals_a_direct_search() -> None:
    others, queries = draw(50, 0), draw(40, 1)
    numbers = np.random.default_rng(2).permutation(1000)[:50]
    batches = [(numbers[start : start + 7], others[start : start + 7]) for start in range(0, 50, 7)]
    found, mirrored, distance = nearest_images(queries, batches)
    both = np.stack([others, others[..., ::-1]])  # (2, 50, 3, 4, 4)
    differences = queries[:, None, None].astype(float) - both[None]
    direct = np.sqrt((differences**2).mean(axis=(3, 4, 5)))  # (40, 2, 50)
    way, which = np.divmod(direct.reshape(40, -1).argmin(axis=1), 50)
    assert np.array_equal(found, numbers[which])
    assert np.array_equal(mirrored, way == 1)
    assert 0 < mirrored.sum() < 40
    assert distance == pytest.approx(direct.min(axis=(1, 2)), rel=1e-5)


def test_copies_and_mirrored_copies_are_found_at_distance_zero() -> None:
    others = draw(20, 1)
    queries = np.stack([others[7], others[3][..., ::-1]])
    found, mirrored, distance = nearest_images(queries, [(np.arange(20), others)])
    assert found.tolist() == [7, 3]
    assert mirrored.tolist() == [False, True]
    assert distance.tolist() == pytest.approx([0, 0], abs=0.05)


def test_the_first_of_equally_near_images_is_returned() -> None:
    others = np.repeat(draw(1, 0), 5, axis=0)
    found, mirrored, _ = nearest_images(others[:1], [(np.array([9, 4]), others[:2]), (np.array([1, 2]), others[:2])])
    assert (found.tolist(), mirrored.tolist()) == ([9], [False])
