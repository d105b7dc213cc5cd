"""Which faces a run is about: CelebA or drawn ones."""

from pathlib import Path

from omegaconf import DictConfig, open_dict
from rich.panel import Panel
from rich.text import Text

from celeba_lab.console import console
from celeba_lab.data.layouts import holds_annotations
from celeba_lab.data.synthetic.dataset import NOTICE, find_settings, holds_drawn_faces

_SYNTHETIC = "celeba_lab.data.synthetic.datamodule.SyntheticDataModule"


def choose_data(cfg: DictConfig) -> str | None:
    """Turn ``data=auto`` into CelebA if ``data.root`` holds it, else into the synthetic faces.

    A folder of drawn faces is called synthetic however it was asked for.

    Returns:
        The folder without CelebA, where it came to that.
    """
    if cfg.data is None:
        return None
    with open_dict(cfg.data):
        otherwise = cfg.data.pop("otherwise", None)
        missing = None
        if otherwise is not None and not holds_annotations(_folder(cfg)):
            missing = str(cfg.data.root)
            cfg.data.update(otherwise)
        elif cfg.data.name == "auto":
            cfg.data.name = "celeba"
        if holds_drawn_faces(_folder(cfg)):
            cfg.data.update(_target_=_SYNTHETIC, name="synthetic")
    return missing


def announce_data(cfg: DictConfig, without_celeba: str | None) -> None:
    """Say which data this run is about; nobody shall take a synthetic result for one of CelebA.

    Args:
        cfg: the configuration.
        without_celeba: what :func:`choose_data` returned.
    """
    console.print(f"data: {cfg.data.name} in {cfg.data.root}", style="bold", markup=False, soft_wrap=True)
    if cfg.data._target_ != _SYNTHETIC:
        return
    lines = [NOTICE]
    if (settings := find_settings(_folder(cfg))) is not None:
        lines.append(f"There are {settings}.")
    if without_celeba is not None:
        lines = [
            f"There is no CelebA in {without_celeba}. Instead:",
            *lines,
            "For CelebA: data=celeba data.root=FOLDER",
        ]
    console.print(Panel(Text("\n".join(lines)), title="not CelebA", style="bold yellow", expand=False))


def _folder(cfg: DictConfig) -> Path:
    return Path(str(cfg.data.root)).expanduser()
