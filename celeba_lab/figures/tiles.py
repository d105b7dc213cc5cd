"""Generated faces, enlarged and side by side."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

_SIDE = 512  # pixels, about: tiles of small faces are enlarged to it

# Names of the filters that enlarge faces.
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def enlarge_faces(faces: Tensor, scale: int, name: str = "bicubic") -> Tensor:
    """Return faces, uint8 (N, 3, S, S), as uint8 (N, 3, scale * S, scale * S), by a filter of Pillow's."""
    if scale == 1:
        return faces
    side = scale * faces.shape[-1]
    large = np.empty((len(faces), side, side, 3), dtype=np.uint8)
    for k, face in enumerate(faces.permute(0, 2, 3, 1).numpy()):
        large[k] = np.asarray(Image.fromarray(face).resize((side, side), FILTERS[name]))
    return torch.from_numpy(large).permute(0, 3, 1, 2)


def tile_faces(faces: Tensor) -> np.ndarray:
    """Return faces, uint8 (N, 3, S, S), in rows of up to eight, enlarged to be seen: uint8 (H, W, 3)."""
    columns = min(8, len(faces))
    scale = max(1, _SIDE // (columns * faces.shape[-1]))
    large = enlarge_faces(faces, scale)
    return make_grid(large, nrow=columns, padding=2 * scale, pad_value=255).permute(1, 2, 0).numpy()
