"""Before any slow imports, check that files and tables exist."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from celeba_lab.data.layouts import LABEL_TABLE, PARTITION_TABLE, find_table
from celeba_lab.data.listing import list_images
from celeba_lab.errors import SettingError, settings_of
from celeba_lab.files import file_fault
from celeba_lab.runs.checkpoint_files import check_checkpoint_file
from celeba_lab.runs.find import find_runs

_CELEBA = "celeba_lab.data.datamodule.CelebADataModule"

_WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors")
# Purpose and usual file name of the checkpoint that each task requires.
_CHECKPOINTS = {
    "evaluate": ("evaluate", "best.ckpt"),
    "predict": ("predict", "best.ckpt"),
    "embeddings": ("embed faces", "best.ckpt"),
    "generate": ("generate faces", "last.ckpt"),
    "export": ("export its generator", "last.ckpt"),
}


def check_paths(cfg: DictConfig) -> None:
    """Check that the checkpoints, weights, images, runs and CelebA tables in the configuration exist.

    Raises:
        UserError: A file does not exist or is not a checkpoint, or a required file is not specified.
    """
    package, _, task = str(cfg.task._target_).rpartition(".")
    if not package.startswith("celeba_lab.tasks."):
        task = ""  # A user-defined task may use different settings.
    if task in _CHECKPOINTS:
        check_checkpoint_file(cfg.checkpoint, *_CHECKPOINTS[task])
    elif cfg.checkpoint is not None and task:
        hint = "To resume a run, set resume=FOLDER."
        if task == "train":
            hint += " To start a new run from the weights of a checkpoint, set model.weights=CHECKPOINT."
        raise SettingError("checkpoint", cfg.checkpoint, f"is not used by task={task}", hint, is_absolute=True)
    with settings_of("task"):
        if auditor := OmegaConf.select(cfg, "task.auditor"):
            check_checkpoint_file(auditor, "audit the faces", setting="auditor")
        for path in OmegaConf.select(cfg, "task.ensemble") or []:
            check_checkpoint_file(path, "average", setting="ensemble")
    weights = OmegaConf.select(cfg, "model.weights")
    is_path = isinstance(weights, str) and weights.endswith(_WEIGHTS)  # Others are names of torchvision weights.
    if is_path and (fault := file_fault(Path(weights))) is not None:
        raise SettingError("model.weights", weights, fault, "Check the path.", is_absolute=True)
    if task == "predict":
        list_images(str(cfg.task.images))
    if task == "compare":
        with settings_of("task"):
            find_runs(cfg.task.runs)
    if _reads_celeba(cfg):
        for table in (LABEL_TABLE, PARTITION_TABLE):
            find_table(Path(str(cfg.data.root)).expanduser(), table)


def _reads_celeba(cfg: DictConfig) -> bool:
    if (
        cfg.data is None
        or cfg.data.get("_target_") != _CELEBA
        or cfg.data.name == "files"
        or "://" in str(cfg.data.root)
    ):
        return False
    generates_only = OmegaConf.select(cfg, "task.nearest") is False and OmegaConf.select(cfg, "task.auditor") is None
    return not generates_only
