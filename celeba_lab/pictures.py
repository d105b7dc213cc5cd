"""Pictures of generated faces: enlarged, side by side, and one epoch after the other."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from celeba_lab.run import write_atomically

FRAMES = "epoch_*.png"  # the tiles of each epoch, in one folder
_COLOURS = 128  # of a frame, of 256: with 32 frames a file of about 5 MB
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


def animate(folder: Path, path: Path, seconds: float = 8.0, most: int = 32) -> int:
    """Make an animated GIF of the pictures in a folder, in the order of their epochs; the last stays for a second.

    Args:
        folder: has them.
        path: of the GIF.
        seconds: that it takes, about.
        most: frames; of more pictures, so many are shown, evenly over the epochs, the first and the last among them.

    Returns:
        The number of its frames; 0, and no file, where there are fewer than two.
    """
    files = sorted(folder.glob(FRAMES))
    if len(files) < 2:
        return 0
    shown = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(most, len(files))).round().astype(int))]
    frames = [Image.open(file).convert("RGB").quantize(_COLOURS) for file in shown]
    each = max(40, round(1000 * seconds / len(frames)))  # milliseconds
    durations = [each] * (len(frames) - 1) + [1000]
    first, *rest = frames
    write_atomically(
        path,
        lambda file: first.save(
            file, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=False
        ),
    )
    return len(frames)
