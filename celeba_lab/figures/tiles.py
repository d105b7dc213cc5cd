"""Functions that enlarge faces and tile them into a single image."""

import numpy as np
from PIL import Image

_WIDTH = 512  # approximate width in pixels of an image tiled from small faces
_COLUMNS = 8

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Pillow's resampling filters by name."""


def enlarge_faces(faces: np.ndarray, scale: int, name: str = "bicubic") -> np.ndarray:
    """Enlarge faces with one of Pillow's resampling filters.

    Args:
        faces: Faces, uint8 (N, S, S, 3).
        scale: Scale factor for the width and height, at least 1.
        name: Name of the filter, a key of :data:`FILTERS`.

    Returns:
        The enlarged faces, uint8 (N, scale * S, scale * S, 3).
    """
    if scale == 1:
        return faces
    side = scale * faces.shape[1]
    large = np.empty((len(faces), side, side, 3), dtype=np.uint8)
    for k, face in enumerate(faces):
        large[k] = np.asarray(Image.fromarray(face).resize((side, side), FILTERS[name]))
    return large


def tile_faces(faces: np.ndarray) -> np.ndarray:
    """Enlarge faces and tile them on a white background.

    Each row contains up to eight faces and is about 512 pixels wide.

    Args:
        faces: Faces, uint8 (N, S, S, 3), with N at least 1.

    Returns:
        The tiled image, uint8 (H, W, 3). A single face has no white border.
    """
    columns = min(_COLUMNS, len(faces))
    scale = max(1, _WIDTH // (columns * faces.shape[1]))
    large = enlarge_faces(faces, scale)
    if len(large) == 1:
        single: np.ndarray = large[0]
        return single
    side, gap = large.shape[1], 2 * scale
    rows = -(-len(large) // columns)
    tiles = np.full((rows * (side + gap) + gap, columns * (side + gap) + gap, 3), 255, dtype=np.uint8)
    for k, face in enumerate(large):
        top, left = (gap + place * (side + gap) for place in divmod(k, columns))
        tiles[top : top + side, left : left + side] = face
    return tiles
