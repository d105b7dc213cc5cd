"""The synthetic faces as batches; drawn when they are first asked for."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from celeba_lab.console import console
from celeba_lab.data.annotations import Annotations
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.synthetic.dataset import NOTICE, Settings, find_settings, synthesize


class SyntheticDataModule(CelebADataModule):
    """Drawn faces, in every respect like :class:`CelebADataModule`; ``root`` is filled if it holds none."""

    default_name = "synthetic"
    notice = NOTICE

    @property
    def annotations(self) -> Annotations:
        """The annotations of ``root``."""
        self._draw_missing()
        return super().annotations

    @property
    def image_folder(self) -> Path:
        """The folder with the images."""
        self._draw_missing()
        return super().image_folder

    @property
    def provenance(self) -> dict[str, Any]:
        """What the faces were drawn from."""
        settings = find_settings(self.root)
        return {} if settings is None else {"synthetic": asdict(settings)}

    def _draw_missing(self) -> None:
        if self._annotations is None and find_settings(self.root) is None:  # faces of whatever settings will do
            draw_faces(self.root, Settings())


def draw_faces(root: Path, settings: Settings, workers: int | None = None, overwrite: bool = False) -> None:
    """Draw faces with a progress bar; see :func:`celeba_lab.data.synthetic.dataset.synthesize`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console.quiet) as progress:
        bar = progress.add_task(f"drawing faces into {escape(str(root))}", total=settings.n)
        for done in synthesize(root, settings, workers, overwrite):
            progress.update(bar, completed=done)
