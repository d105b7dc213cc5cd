"""The report of ``task=generate``: single faces, a grid of them, and walks from face to face."""

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
from celeba_lab.console import console
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.files import write_atomically
from celeba_lab.models.gan.sampler import FaceSampler, slerp
from celeba_lab.runs.run import RunFolder

_GRID_FACES = 64  # maximum number of faces in the grid
_WALKS = 8  # maximum number of walks, each of which is a row of the figure
_CHUNK = 250  # number of faces that are enlarged and written at a time


@dataclass(frozen=True)
class Samples:
    """Generated faces and what they were asked to show.

    Attributes:
        faces: Generated faces, uint8 (N, 3, S, S).
        asked: Attributes that a conditional generator was given for each face, uint8 (N, K); None for an unconditional
            one.
        attributes: Names of the K attributes.
        enlarge: Function that enlarges faces, uint8 (N, S, S, 3).
        title: Title of every figure.
    """

    faces: Tensor
    asked: Tensor | None
    attributes: Sequence[str]
    enlarge: Callable[[np.ndarray], np.ndarray]
    title: str

    def write(self, run: RunFolder) -> None:
        """Write ``faces/00000.png`` and so on, the table of attributes, and a grid of the first 64 faces."""
        for start in range(0, len(self.faces), _CHUNK):
            large = self.enlarge(_as_images(self.faces[start : start + _CHUNK]))
            for k, face in enumerate(large, start):
                _write_png(run.path / "faces" / f"{k:05d}.png", face)
        if self.asked is not None:
            table = pd.DataFrame(self.asked.numpy(), columns=list(self.attributes))
            table.insert(0, "face", [f"{k:05d}.png" for k in range(len(self.asked))])
            run.table("asked", table)
        shown = self.enlarge(_as_images(self.faces[:_GRID_FACES]))
        first = f", the first {len(shown)}" if len(self.faces) > len(shown) else ""
        title = f"{self.title} · {len(self.faces):,} faces{first}"
        run.figure("faces", _face_grid(shown, min(8, len(shown)), title))

    def draw_walks(self, run: RunFolder, sampler: FaceSampler, latents: Tensor, steps: int) -> None:
        """Draw a walk from each of the first eight faces to the next, in latents and attributes.

        Args:
            run: Folder of the figure.
            sampler: Generator of the faces.
            latents: Latents of the faces, float (N, Z).
            steps: Number of faces in each walk, at least 2.
        """
        faces = walk(sampler, latents[: _WALKS + 1], self.asked, steps)
        note = f"from each face (left) to the next (right), {steps} steps on the arc between their latents"
        run.figure("interpolation", _face_grid(self.enlarge(_as_images(faces)), steps, f"{self.title} · {note}"))

    def show(self, seconds: float) -> None:
        """Print how many faces were written, and in how many seconds."""
        size = self.enlarge(_as_images(self.faces[:1])).shape[1]
        console.print(
            f"{len(self.faces):,} faces of {size} x {size} pixels in {seconds:.1f} s: faces/00000.png and so on"
        )


def _write_png(path: Path, image: np.ndarray) -> None:
    write_atomically(path, lambda file: Image.fromarray(image).save(file, format="PNG", compress_level=1))


def _as_images(faces: Tensor) -> np.ndarray:
    """Return faces, uint8 (N, 3, S, S), as uint8 (N, S, S, 3)."""
    images: np.ndarray = faces.permute(0, 2, 3, 1).numpy()
    return images


def _face_grid(images: np.ndarray, columns: int, title: str) -> Figure:
    return figures.face_grid(list(images), [""] * len(images), columns=columns, title=title)


def walk(sampler: FaceSampler, latents: Tensor, attributes: Tensor | None, steps: int) -> Tensor:
    """Walk from each face to the next.

    Args:
        sampler: Generator of the faces.
        latents: Latents of the faces, float (N, Z).
        attributes: Attributes of the faces, (N, K), for a conditional generator; None for an unconditional one.
        steps: Number of faces in each walk, at least 2.

    Returns:
        The faces of all walks, uint8 ((N - 1) * steps, 3, S, S).
    """
    drawn = []
    for k, (first, last) in enumerate(pairwise(latents)):
        between = None
        if attributes is not None:
            share = torch.linspace(0, 1, steps, device=latents.device).unsqueeze(1)
            ends = attributes[k : k + 2].to(latents.device).float()
            between = torch.lerp(ends[0], ends[1], share)  # (steps, K)
        drawn.append(sampler.draw(slerp(first, last, steps), between))
    return torch.cat(drawn)


def describe_request(attributes: Mapping[str, int] | None) -> str:
    """Return what a conditional generator was asked for, as the end of a title; empty for nothing."""
    words = [name if value else f"not {name}" for name, value in (attributes or {}).items()]
    return f" · asked for {', '.join(words)}" if words else ""


def has_training_data(datamodule: CelebADataModule, sampler: FaceSampler) -> bool:
    """Return whether a generator was trained on this data, as far as is known; print a warning if it was not."""
    if sampler.trained_on in (None, datamodule.name):
        return True
    console.print(
        f"The nearest training faces are left out: the generator was trained on {sampler.trained_on}, and the data here"
        f" is {datamodule.name}. Set data.root to the folder of its training data.",
        style="yellow",
    )
    return False
