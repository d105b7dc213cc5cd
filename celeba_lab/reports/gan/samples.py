"""The report for ``task=generate``: individual faces, a grid of faces, and interpolations between faces."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from celeba_lab import figures
from celeba_lab.console import Progress, console, progress
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.errors import SettingError, check_above, check_at_least, check_choice
from celeba_lab.figures.tiles import FILTERS
from celeba_lab.files import write_atomically
from celeba_lab.models.gan.sampler import FaceSampler, slerp
from celeba_lab.runs.folder import RunFolder

_GRID_FACES = 64  # Maximum number of faces in the grid.
_WALKS = 8  # Maximum number of interpolations. Each interpolation takes up one row of the figure.
_CHUNK = 250  # Number of faces to enlarge and write at a time.


@dataclass(frozen=True)
class Samples:
    """Generated faces and the attributes that were requested for them.

    Attributes:
        faces: Generated faces, uint8 (N, 3, S, S).
        requested: Attributes requested for each face, uint8 (N, K), or None if the generator is unconditional.
        attributes: Names of the K attributes.
        enlarge: Function that takes faces, uint8 (N, S, S, 3), and returns enlarged faces.
        title: Title for all figures.
    """

    faces: Tensor
    requested: Tensor | None
    attributes: Sequence[str]
    enlarge: Callable[[np.ndarray], np.ndarray]
    title: str

    def write(self, run: RunFolder) -> None:
        """Write each face to ``faces/``, and write a table of the requested attributes and a figure of the faces."""
        with Progress("writing the faces", len(self.faces), "faces") as bar:
            for start in range(0, len(self.faces), _CHUNK):
                large = self.enlarge(_as_images(self.faces[start : start + _CHUNK]))
                for k, face in enumerate(large, start):
                    _write_png(run.path / "faces" / f"{k:05d}.png", face)
                    bar.advance()
        if self.requested is not None:
            table = pd.DataFrame(self.requested.numpy(), columns=list(self.attributes))
            table.insert(0, "face", [f"{k:05d}.png" for k in range(len(self.requested))])
            run.table("requested", table)
        shown = self.enlarge(_as_images(self.faces[:_GRID_FACES]))
        first = f" (first {len(shown)} shown)" if len(self.faces) > len(shown) else ""
        title = f"{self.title} · {len(self.faces):,} faces{first}"
        run.figure("faces", _face_grid(shown, min(8, len(shown)), title))

    def draw_walks(self, run: RunFolder, sampler: FaceSampler, latents: Tensor, steps: int) -> None:
        """Draw interpolations between successive faces, for up to eight pairs.

        Args:
            run: Run folder for the figure.
            sampler: Generator that produces the faces.
            latents: Latents of the faces, float (N, Z).
            steps: Number of faces in each interpolation, at least 2.
        """
        faces = walk(sampler, latents[: _WALKS + 1], self.requested, steps)
        note = (
            f"interpolation from each face (left) to the next (right): {steps} faces on the arc between the two latents"
        )
        run.figure("interpolation", _face_grid(self.enlarge(_as_images(faces)), steps, f"{self.title} · {note}"))

    def show(self, seconds: float) -> None:
        """Print the number and size of the faces that were written, and the time taken."""
        size = self.enlarge(_as_images(self.faces[:1])).shape[1]
        console.print(f"wrote {len(self.faces):,} faces of {size} x {size} pixels to faces/ in {seconds:.1f} s")


def check_request(n: int, upscale: int, upscale_filter: str, truncation: float | None, interpolate: int | None) -> None:
    """Check the ``task=generate`` settings that determine which faces are generated and how they are written.

    Raises:
        SettingError: A setting is out of range, or there are too few faces for an interpolation.
    """
    check_at_least("n", n, 1)
    check_at_least("upscale", upscale, 1)
    check_choice("upscale_filter", upscale_filter, FILTERS)
    check_above("truncation", truncation, 0)
    if interpolate is not None:
        check_at_least("interpolate", interpolate, 2)
        if n < 2:
            raise SettingError("n", n, "must be at least 2 to interpolate from one face to the next")


def _write_png(path: Path, image: np.ndarray) -> None:
    write_atomically(path, lambda file: Image.fromarray(image).save(file, format="PNG", compress_level=1))


def _as_images(faces: Tensor) -> np.ndarray:
    """Convert faces, uint8 (N, 3, S, S), to images, uint8 (N, S, S, 3)."""
    images: np.ndarray = faces.permute(0, 2, 3, 1).numpy()
    return images


def _face_grid(images: np.ndarray, columns: int, title: str) -> Figure:
    return figures.face_grid(list(images), [""] * len(images), columns=columns, title=title)


def walk(sampler: FaceSampler, latents: Tensor, attributes: Tensor | None, steps: int) -> Tensor:
    """Interpolate the latents and attributes between each face and the next.

    Args:
        sampler: Generator that produces the faces.
        latents: Latents of the faces, float (N, Z).
        attributes: Attributes of the faces, (N, K), or None if the generator is unconditional.
        steps: Number of faces in each interpolation, at least 2.

    Returns:
        The faces of all interpolations, uint8 ((N - 1) * steps, 3, S, S).
    """
    drawn = []
    pairs = progress(pairwise(latents), "interpolating between faces", len(latents) - 1, "pairs")
    for k, (first, last) in enumerate(pairs):
        between = None
        if attributes is not None:
            share = torch.linspace(0, 1, steps, device=latents.device).unsqueeze(1)
            ends = attributes[k : k + 2].to(latents.device).float()
            between = torch.lerp(ends[0], ends[1], share)  # (steps, K)
        drawn.append(sampler.draw(slerp(first, last, steps), between))
    return torch.cat(drawn)


def generation_title(checkpoint: str, seed: int, attributes: Mapping[str, int] | None = None) -> str:
    """Return a title that names the checkpoint's file, the seed and the requested attributes, if any."""
    words = [name if value else f"not {name}" for name, value in (attributes or {}).items()]
    requested = f" · requested: {', '.join(words)}" if words else ""
    return f"{Path(checkpoint).name} · seed {seed}{requested}"


def has_training_data(datamodule: CelebADataModule, sampler: FaceSampler) -> bool:
    """Return whether a generator was trained on the given data, and print a warning if it was not.

    A generator with unknown training data is assumed to have been trained on the given data.
    """
    if sampler.trained_on in (None, datamodule.name):
        return True
    console.print(
        "Skipping the search for the nearest training faces, because the generator was trained on"
        f" {sampler.trained_on}, but this run uses {datamodule.name}. Set data.root to the folder that contains"
        " the generator's training data.",
        style="yellow",
    )
    return False
