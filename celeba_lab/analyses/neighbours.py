"""Nearest images, pixel by pixel."""

from collections.abc import Iterable

import numpy as np


def nearest_images(
    queries: np.ndarray, batches: Iterable[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Find for each image the nearest of many others, which may be too many for the memory.

    Args:
        queries: uint8 (N, ...).
        batches: for each part of the others their numbers, int64 (B,), and the images, uint8 (B, ...), of the same
            shape.

    Returns:
        The number of the nearest, int64 (N,), and its distance, float64 (N,): the root mean square of the differences
        of all pixels and colours, of 255. Of equally near ones it is the first.
    """
    wanted = _flat(queries)
    best = np.full(len(queries), np.inf)
    number = np.full(len(queries), -1, dtype=np.int64)
    lengths = (wanted**2).sum(axis=1, keepdims=True)
    for numbers, images in batches:
        others = _flat(images)
        squares = lengths - 2 * wanted @ others.T + (others**2).sum(axis=1)  # (N, B)
        nearest = squares.argmin(axis=1)
        found = squares[np.arange(len(wanted)), nearest]
        closer = found < best
        best[closer], number[closer] = found[closer], numbers[nearest[closer]]
    return number, np.sqrt(np.maximum(best, 0) / max(1, wanted.shape[1]))


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64)
