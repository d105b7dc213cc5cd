"""The nearest image, against a direct search."""

import numpy as np
import pytest

from celeba_lab.analyses.neighbours import nearest_images


def test_the_nearest_of_several_batches_is_that_of_a_direct_search() -> None:
    rng = np.random.default_rng(0)
    others, queries = (rng.integers(0, 256, (n, 3, 4, 4), dtype=np.uint8) for n in (50, 9))
    numbers = rng.permutation(1000)[:50]
    batches = [(numbers[start : start + 7], others[start : start + 7]) for start in range(0, 50, 7)]
    found, distance = nearest_images(queries, batches)
    differences = queries[:, None].astype(float) - others[None]
    direct = np.sqrt((differences**2).mean(axis=(2, 3, 4)))
    assert np.array_equal(found, numbers[direct.argmin(axis=1)])
    assert distance == pytest.approx(direct.min(axis=1))


def test_a_copy_is_found_at_distance_zero() -> None:
    others = np.random.default_rng(1).integers(0, 256, (20, 3, 4, 4), dtype=np.uint8)
    found, distance = nearest_images(others[[7, 3]], [(np.arange(20), others)])
    assert found.tolist() == [7, 3]
    assert distance.tolist() == pytest.approx([0, 0], abs=1e-3)
