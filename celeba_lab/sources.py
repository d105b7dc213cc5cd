"""Which faces a run is about: CelebA or drawn ones, which are made where they are missing."""

from pathlib import Path

from omegaconf import DictConfig, open_dict
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from celeba_lab.console import console
from celeba_lab.data.annotations import holds_annotations
from celeba_lab.data.synthetic.dataset import Settings, find_settings, synthesize


def choose_data(cfg: DictConfig) -> str | None:
    """Turn ``data=auto`` into CelebA if ``data.root`` holds it, else into the synthetic faces.

    Returns:
        The folder without CelebA, where it came to that.
    """
    if cfg.data is None or cfg.data.name != "auto":
        return None
    with open_dict(cfg.data):
        synthetic_root, root = cfg.data.pop("synthetic_root"), str(cfg.data.root)
    if holds_annotations(Path(root).expanduser()):
        cfg.data.name = "celeba"
        return None
    cfg.data.name, cfg.data.root = "synthetic", synthetic_root
    return root


def announce_data(cfg: DictConfig, without_celeba: str | None) -> None:
    """Say which data this run is about; nobody shall take a synthetic result for one of CelebA.

    Args:
        cfg: the configuration.
        without_celeba: what :func:`choose_data` returned.
    """
    console.print(f"data: {cfg.data.name} in {cfg.data.root}", style="bold")
    if cfg.data.name != "synthetic":
        return
    lines = ["SYNTHETIC faces, drawn by celeba_lab: the results say nothing about CelebA."]
    if without_celeba is not None:
        lines = [
            f"There is no CelebA in {without_celeba}. Instead:",
            *lines,
            "For CelebA: data=celeba data.root=FOLDER",
        ]
    console.print(Panel("\n".join(lines), title="not CelebA", style="bold yellow", expand=False))


def draw_missing_faces(cfg: DictConfig) -> None:
    """Draw the synthetic faces into ``data.root`` unless it has some, of whatever settings.

    Raises:
        UserError: the folder holds something else, or cannot be written.
    """
    if cfg.data is None or cfg.data.name != "synthetic":
        return
    root = Path(cfg.data.root)
    if find_settings(root) is None:
        draw_faces(root, Settings())


def draw_faces(root: Path, settings: Settings, workers: int | None = None, overwrite: bool = False) -> None:
    """Draw faces with a progress bar; see :func:`celeba_lab.data.synthetic.dataset.synthesize`."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console.quiet) as progress:
        bar = progress.add_task(f"drawing faces into {root}", total=settings.n)
        for done in synthesize(root, settings, workers, overwrite):
            progress.update(bar, completed=done)
