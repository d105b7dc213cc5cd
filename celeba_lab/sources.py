"""Which faces a run is about: CelebA or drawn ones."""

from pathlib import Path

from omegaconf import DictConfig, open_dict
from rich.panel import Panel

from celeba_lab.console import console
from celeba_lab.data.annotations import holds_annotations


def choose_data(cfg: DictConfig) -> str | None:
    """Turn ``data=auto`` into CelebA if ``data.root`` holds it, else into the synthetic faces.

    Returns:
        The folder without CelebA, where it came to that.
    """
    if cfg.data is None or cfg.data.name != "auto":
        return None
    with open_dict(cfg.data):
        otherwise = cfg.data.pop("otherwise")
    root = str(cfg.data.root)
    if holds_annotations(Path(root).expanduser()):
        cfg.data.name = "celeba"
        return None
    cfg.data.update(otherwise)
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
