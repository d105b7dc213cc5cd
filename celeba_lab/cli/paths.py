"""Paths of missing files, reported before anything slow is imported."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from celeba_lab.errors import SettingError

_WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors")


def check_paths(cfg: DictConfig) -> None:
    """Check that the files exist that the configuration names: checkpoints and weights.

    Raises:
        SettingError: A file does not exist.
    """
    hint = "The checkpoints of a run are in outputs/.../checkpoints/."
    for key in ("checkpoint", "task.auditor"):
        _check_exists(key, OmegaConf.select(cfg, key), hint)
    weights = OmegaConf.select(cfg, "model.weights")
    if isinstance(weights, str) and weights.endswith(_WEIGHTS):  # Other values are names of torchvision's weights.
        _check_exists("model.weights", weights, "Check the path.")


def _check_exists(key: str, path: object, hint: str) -> None:
    if isinstance(path, str) and not Path(path).exists():
        raise SettingError(key, path, "does not exist", hint, is_absolute=True)
