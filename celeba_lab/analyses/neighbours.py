"""Nearest images, pixel by pixel."""

from collections.abc import Iterable

import numpy as np


def nearest_images(
    queries: np.ndarray, batches: Iterable[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find for each image the nearest of many others, as they are or mirrored; they may be too many for the memory.

    Args:
        queries: uint8 (N, 3, H, W).
        batches: for each part of the others their numbers, int64 (B,), and the images, uint8 (B, 3, H, W).

    Returns:
        The number of the nearest, int64 (N,); whether it is so near when it is mirrored, bool (N,); and its distance,
        float64 (N,): the root mean square of the differences of all pixels and colours, of 255. Of equally near ones it
        is the first.
    """
    n = len(queries)
    wanted = _centred(np.concatenate([queries, queries[..., ::-1]]))  # (2 N, D): the queries, then their mirror images
    best = np.full(2 * n, np.inf, dtype=np.float32)
    number = np.full(2 * n, -1, dtype=np.int64)
    for numbers, images in batches:
        others = _centred(images)
        squares = (others**2).sum(axis=1) - 2 * wanted @ others.T  # (2 N, B), without the squares of the queries
        nearest = squares.argmin(axis=1)
        found = squares[np.arange(2 * n), nearest]
        closer = found < best
        best[closer], number[closer] = found[closer], numbers[nearest[closer]]
    mirrored = best[n:] < best[:n]
    squares = np.maximum(np.minimum(best[:n], best[n:]) + (wanted[:n].astype(np.float64) ** 2).sum(axis=1), 0)
    return np.where(mirrored, number[n:], number[:n]), mirrored, np.sqrt(squares / max(1, wanted.shape[1]))


def _centred(images: np.ndarray) -> np.ndarray:
    """Return float32 (N, D) about mid grey, where single precision tells differences of less than a grey level."""
    return images.reshape(len(images), -1).astype(np.float32) - 127.5
