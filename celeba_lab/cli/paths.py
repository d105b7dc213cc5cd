"""Check that files and tables exist before any slow imports."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from celeba_lab.data.layouts import LABEL_TABLE, PARTITION_TABLE, find_table
from celeba_lab.errors import SettingError

_CELEBA = "celeba_lab.data.datamodule.CelebADataModule"

_WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors")


def check_paths(cfg: DictConfig) -> None:
    """Check that the checkpoints, weights and CelebA tables in the configuration exist.

    Raises:
        UserError: A file does not exist.
    """
    hint = "The checkpoints of a run are in outputs/.../checkpoints/."
    for key in ("checkpoint", "task.auditor"):
        _check_exists(key, OmegaConf.select(cfg, key), hint)
    weights = OmegaConf.select(cfg, "model.weights")
    if isinstance(weights, str) and weights.endswith(_WEIGHTS):  # Other values are names of torchvision weights.
        _check_exists("model.weights", weights, "Check the path.")
    if _reads_celeba(cfg):
        for table in (LABEL_TABLE, PARTITION_TABLE):
            find_table(Path(str(cfg.data.root)).expanduser(), table)


def _reads_celeba(cfg: DictConfig) -> bool:
    if cfg.data is None or cfg.data.get("_target_") != _CELEBA or cfg.data.name == "files":
        return False
    generates_only = OmegaConf.select(cfg, "task.nearest") is False and OmegaConf.select(cfg, "task.auditor") is None
    return not generates_only


def _check_exists(key: str, path: object, hint: str) -> None:
    if isinstance(path, str) and not Path(path).exists():
        raise SettingError(key, path, "does not exist", hint, is_absolute=True)
