"""Nearest-neighbour search for images in pixel space."""

from collections.abc import Iterable

import numpy as np


def nearest_images(
    queries: np.ndarray, batches: Iterable[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each query, find the image that is nearest to the query or its mirror image.

    The images are searched in batches, so they do not all have to fit into memory at once.

    Args:
        queries: Query images, uint8 (N, 3, H, W).
        batches: Batches of images to search, each consisting of image indices, int64 (B,), and pixels,
            uint8 (B, 3, H, W).

    Returns:
        Three arrays: the index of the nearest image for each query, int64 (N,); whether that image is nearer to the
        query's mirror image than to the query itself, bool (N,); and the root mean square difference over all pixels
        and channels, float64 (N,), in [0, 255]. If several images are equally near, the first one is returned.

    Example:
        >>> query = np.zeros((1, 3, 2, 2), dtype=np.uint8)
        >>> images = np.stack([query[0] + 9, query[0] + 3])
        >>> nearest_images(query, [(np.array([7, 8]), images)])
        (array([8]), array([False]), array([3.]))
    """
    n = len(queries)
    wanted = _flatten(np.concatenate([queries, queries[..., ::-1]]))  # (2 N, D): queries, then mirror images
    best = np.full(2 * n, np.inf, dtype=np.float32)
    number = np.full(2 * n, -1, dtype=np.int64)
    for numbers, images in batches:
        others = _flatten(images)
        # Squared distances, (2 N, B), without the squared norms of the queries, which are added at the end.
        squares = (others**2).sum(axis=1) - 2 * wanted @ others.T
        nearest = squares.argmin(axis=1)
        found = squares[np.arange(2 * n), nearest]
        closer = found < best
        best[closer], number[closer] = found[closer], numbers[nearest[closer]]
    mirrored = best[n:] < best[:n]
    squares = np.maximum(np.minimum(best[:n], best[n:]) + (wanted[:n].astype(np.float64) ** 2).sum(axis=1), 0)
    return np.where(mirrored, number[n:], number[:n]), mirrored, np.sqrt(squares / max(1, wanted.shape[1]))


def _flatten(images: np.ndarray) -> np.ndarray:
    """Return images as rows, float32 (N, D), centred on mid-grey so that float32 can resolve individual grey levels."""
    return images.reshape(len(images), -1).astype(np.float32) - 127.5
