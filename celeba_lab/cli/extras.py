"""Before any slow imports, check that the optional libraries which the settings need are installed."""

import importlib.util
import sys

from omegaconf import DictConfig, OmegaConf

from celeba_lab.errors import missing_extra

# Module and extra that each logger needs.
_LOGGERS = {
    "celeba_lab.engine.loggers.WandbLogger": ("wandb", "wandb"),
    "lightning.pytorch.loggers.WandbLogger": ("wandb", "wandb"),
    "celeba_lab.engine.loggers.MLFlowLogger": ("mlflow", "mlflow"),
    "lightning.pytorch.loggers.MLFlowLogger": ("mlflow", "mlflow"),
}


def check_extras(cfg: DictConfig) -> None:
    """Check that the libraries of the loggers and of shards are installed.

    Raises:
        UserError: A library is missing.
    """
    for node in (cfg.logger or {}).values():
        module, extra = _LOGGERS.get(str((node or {}).get("_target_")), (None, ""))
        if module is not None and not _is_installed(module):
            raise missing_extra(f"logger={extra}", extra)
    for setting in ("data.store", "task.format"):
        if OmegaConf.select(cfg, setting) == "shards" and not all(map(_is_installed, ("litdata", "obstore"))):
            raise missing_extra(f"{setting}=shards", "shards")


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    return importlib.util.find_spec(module) is not None
