"""Synthetic faces, which are drawn on first use. This module does not import torch."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from celeba_lab.console import Progress
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.celeba import CelebA
from celeba_lab.data.synthetic.dataset import synthesize
from celeba_lab.data.synthetic.settings import NOTICE, Settings, find_settings


class SyntheticFaces(CelebA):
    """Synthetic faces, which are drawn on first use unless ``root`` already contains synthetic faces.

    The arguments are the same as for :class:`~celeba_lab.data.celeba.CelebA`. Existing faces are used
    regardless of the settings they were drawn with.

    Example:
        >>> faces = SyntheticFaces("data/synthetic", ["Smiling"], image_size=64)  # draws nothing yet
        >>> faces.name
        'synthetic'
    """

    default_name = "synthetic"
    notice = NOTICE

    @property
    def annotations(self) -> Annotations:
        """Annotations in ``root``. If no faces exist yet, they are drawn first."""
        self._draw_missing()
        return super().annotations

    @property
    def image_folder(self) -> Path:
        """Folder that contains the images. If no faces exist yet, they are drawn first."""
        self._draw_missing()
        return super().image_folder

    @property
    def provenance(self) -> dict[str, Any]:
        """Settings that the faces were drawn with."""
        settings = find_settings(self.tables_folder)
        return {} if settings is None else {"synthetic": asdict(settings)}

    def _draw_missing(self) -> None:
        if self._annotations is None and self._shards is None and find_settings(self.root) is None:
            draw_faces(self.root, Settings())


def draw_faces(root: Path, settings: Settings, workers: int | None = None, overwrite: bool = False) -> None:
    """Draw faces and show progress.

    The arguments are the same as for :func:`~celeba_lab.data.synthetic.dataset.synthesize`.
    """
    with Progress(f"Drawing faces into {root}", settings.n, "faces") as progress:
        for done in synthesize(root, settings, workers, overwrite):
            progress.update(done)
