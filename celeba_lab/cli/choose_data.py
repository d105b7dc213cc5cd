"""Choose the data and the attributes of a run."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.panel import Panel
from rich.text import Text

from celeba_lab.console import console
from celeba_lab.data.attributes import ALL, check_attributes
from celeba_lab.data.layouts import holds_annotations
from celeba_lab.data.synthetic.settings import NOTICE, find_settings, holds_drawn_faces
from celeba_lab.errors import settings_of

_SYNTHETIC = "celeba_lab.data.synthetic.datamodule.SyntheticDataModule"


def choose_data(cfg: DictConfig) -> str | None:
    """Replace ``data=auto`` with CelebA if ``data.root`` contains CelebA, and with synthetic faces otherwise.

    If the folder contains synthetic faces, the data are labelled synthetic regardless of the configuration.

    Args:
        cfg: The configuration, which is modified in place.

    Returns:
        The configured ``data.root`` if it does not contain CelebA and synthetic faces are used instead, otherwise None.
    """
    if cfg.data is None or "_target_" not in cfg.data:  # The task needs no data, but a recipe may set data keys.
        cfg.data = None
        return None
    with open_dict(cfg.data):
        otherwise = cfg.data.pop("otherwise", None)
        missing = None
        # Shards may be in an object store, which is not looked at before the run starts.
        if otherwise is not None and cfg.data.store != "shards" and not holds_annotations(_folder(cfg)):
            missing = str(cfg.data.root)
            cfg.data.update(otherwise)
        elif cfg.data.name == "auto":
            cfg.data.name = "celeba"
        if holds_drawn_faces(_folder(cfg)):
            cfg.data.update(_target_=_SYNTHETIC, name="synthetic")
    return missing


def choose_attributes(cfg: DictConfig) -> None:
    """Replace ``attributes=all`` in the model and the task with the forty names, or check the given names.

    Raises:
        SettingError: A name is not an attribute, or is given twice.
    """
    for group in ("model", "task"):
        node = cfg[group]
        if node is None or OmegaConf.is_missing(node, "attributes"):
            continue
        names = node.get("attributes")
        if names == ALL or OmegaConf.is_list(names):
            with settings_of(group, is_absolute=True):
                node.attributes = check_attributes(names)


def announce_data(cfg: DictConfig, without_celeba: str | None) -> None:
    """Print which data the run uses, with a prominent warning if the faces are synthetic.

    Args:
        cfg: The configuration.
        without_celeba: Return value of :func:`choose_data`.
    """
    console.print(f"data: {cfg.data.name} in {cfg.data.root}", style="bold", soft_wrap=True)
    if cfg.data._target_ != _SYNTHETIC:
        return
    lines = [NOTICE]
    if (settings := find_settings(_folder(cfg))) is not None:
        lines.append(f"Settings: {settings}.")
    if without_celeba is not None:
        lines = [
            f"CelebA was not found in {without_celeba}. The following faces are used instead:",
            *lines,
            "To use CelebA: data=celeba data.root=FOLDER",
        ]
    console.print(Panel(Text("\n".join(lines)), title="not CelebA", style="bold yellow", expand=False))


def _folder(cfg: DictConfig) -> Path:
    return Path(str(cfg.data.root)).expanduser()
