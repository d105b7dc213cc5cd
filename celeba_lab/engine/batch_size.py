"""Choose the batch size of a training run for its device: ``data.batch_size=null``."""

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torchvision import models
from torchvision.models import get_model_weights, list_models

from celeba_lab.console import console
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.data.loader_settings import DEFAULT_BATCH_SIZE
from celeba_lab.engine.build import choose_device, count_processes
from celeba_lab.runs.run import Run

_SIZES = (256, 128, 64)
_DEPENDENT = {("model", "lr"), ("callbacks", "ema"), ("callbacks", "ema", "decay")}
_FEWEST_STEPS = 500  # Steps of an epoch. With larger batches, a small dataset would be left with too few steps.
_MOST_OPERATIONS = 2.0  # Billions for an image of 224 x 224 pixels. ResNet-18 needs 1.8, and MobileNetV2 needs 0.3.
# Memory for a training image of 128 x 128 pixels, in bytes. MobileNetV2 needs half of this in float32.
_BYTES = 60 * 2**20


def choose_batch_size(run: Run, cfg: DictConfig, datamodule: CelebADataModule) -> None:
    """Choose the batch size with which a classifier trains, and adapt the settings that depend on it.

    If ``data.batch_size`` is None, batches have 32 images, or more on a GPU. With batches of 32, a GPU would wait for
    the CPU, which starts thousands of operations in each step. For larger batches, ``model.lr`` is multiplied by the
    square root of the factor, as is usual for Adam, and the decay of the average of the weights is chosen such that it
    covers as many images as before. The choice is printed, and replaces the settings that are stored in the run folder,
    so a run that is resumed or repeated uses it again. Batches also have 32 images if the learning rate or the decay
    was given on the command line, because these values are meant for this size.

    Args:
        run: The run.
        cfg: Configuration of the run. If the settings change, they are also changed here.
        datamodule: Data module, whose ``batch_size`` is changed as well.
    """
    if cfg.data.batch_size is not None:
        return
    is_given = any(tuple(text.lstrip("+").split("=")[0].split(".")) in _DEPENDENT for text in run.overrides)
    size = DEFAULT_BATCH_SIZE
    if not is_given:
        size = _choose(cfg, choose_device(cfg.trainer), datamodule.counts["train"])
    _set(run, cfg, "data", "batch_size", size)
    datamodule.batch_size = size  # The size of the validation batches depends on it.
    if size == DEFAULT_BATCH_SIZE:
        return
    factor = size / DEFAULT_BATCH_SIZE
    lr = float(f"{cfg.model.lr * factor**0.5:.2g}")
    _set(run, cfg, "model", "lr", lr)
    changes = f"a learning rate of {lr:g}"
    average = (cfg.callbacks or {}).get("ema")
    if average is not None and "decay" in average:
        decay = float(f"{average.decay**factor:.3g}")
        _set(run, cfg, "callbacks", "ema", OmegaConf.to_container(OmegaConf.merge(average, {"decay": decay})))
        changes += f" and averaged weights with a decay of {decay:g}"
    console.print(
        f"batches: {size} faces instead of {DEFAULT_BATCH_SIZE}, which keep this GPU busy, with {changes}."
        f" data.batch_size={DEFAULT_BATCH_SIZE} keeps these settings as they were.",
        soft_wrap=True,
    )


def _choose(cfg: DictConfig, device: torch.device, images: int) -> int:
    if device.type != "cuda" or not _is_small(str(cfg.model.backbone)) or _is_searched(cfg):
        return DEFAULT_BATCH_SIZE
    memory = torch.cuda.get_device_properties(device).total_memory
    image = _BYTES * (cfg.model.image_size / 128) ** 2
    share = images // count_processes(cfg.trainer)
    fitting = (size for size in _SIZES if share // size >= _FEWEST_STEPS and size * image <= memory)
    return next(fitting, DEFAULT_BATCH_SIZE)


def _is_small(backbone: str) -> bool:
    """Return whether a network is so small that 32 images do not keep a GPU busy."""
    if backbone not in list_models(module=models):  # The size of other networks is unknown.
        return False
    return any(weights.meta["_ops"] <= _MOST_OPERATIONS for weights in get_model_weights(backbone))


def _is_searched(cfg: DictConfig) -> bool:
    """Return whether a callback searches for the batch size or the learning rate."""
    targets = [str(callback.get("_target_")) for callback in (cfg.callbacks or {}).values() if callback]
    return any(target.endswith(("BatchSizeFinder", "LearningRateFinder")) for target in targets)


def _set(run: Run, cfg: DictConfig, group: str, name: str, value: Any) -> None:
    run.record(group, name, value)
    OmegaConf.update(cfg, f"{group}.{name}", value)
