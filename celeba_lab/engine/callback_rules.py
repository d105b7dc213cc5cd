"""Rules for callbacks that depend on the model, on the device or on each other, checked before a run starts."""

from importlib.util import find_spec
from typing import Literal

import lightning as L
from lightning.pytorch.callbacks import (
    Callback,
    DeviceStatsMonitor,
    GradientAccumulationScheduler,
    LearningRateFinder,
    StochasticWeightAveraging,
    WeightAveraging,
)
from omegaconf import DictConfig

from celeba_lab.config import locate
from celeba_lab.data.metric_names import DISTANCE_METRICS
from celeba_lab.errors import SettingError, UserError, missing_extra

_AVERAGES = (WeightAveraging, StochasticWeightAveraging)
# Why a callback cannot be used with a GAN.
_NOT_FOR_GANS: tuple[tuple[tuple[type[Callback], ...], str], ...] = (
    ((LearningRateFinder,), "searches for the learning rate of one optimizer, but a GAN has two optimizers"),
    ((GradientAccumulationScheduler,), "cannot accumulate gradients, because a GAN steps its optimizers itself"),
    (_AVERAGES, "would average both networks, but a GAN averages only its generator (model.ema)"),
)


def check_callbacks(callbacks: DictConfig | None, trainer: L.Trainer, kind: Literal["classifier", "gan"]) -> None:
    """Check that the callbacks can be used together, on this device and with this kind of model.

    Args:
        callbacks: The ``callbacks`` group of the configuration.
        trainer: Trainer that will run the training, without its callbacks.
        kind: Kind of model.

    Raises:
        UserError: A callback cannot be used.
    """
    nodes = [node for node in (callbacks or {}).values() if node]
    kinds: dict[str, type] = {str(node._get_full_key(None)): locate(node._target_) for node in nodes}
    averages = [path for path, found in kinds.items() if issubclass(found, _AVERAGES)]
    if kind == "gan":
        for path, found in kinds.items():
            _check_for_gan(path, found)
        for node in nodes:
            _check_gan_monitor(str(node._get_full_key("monitor")), node.get("monitor"))
    if len(averages) > 1:
        first, second, *_ = sorted(averages, key=lambda path: path.endswith(".ema"))
        raise UserError(f"{first} and {second} both average the weights. Remove one of them: {second}=null")
    for path, found in kinds.items():
        if issubclass(found, DeviceStatsMonitor):
            is_on_cpu = trainer.strategy.root_device.type == "cpu"
            if is_on_cpu and find_spec("psutil") is None:
                raise missing_extra(f"{path} on the CPU", "device-stats")


def _check_for_gan(path: str, found: type) -> None:
    for kinds, reason in _NOT_FOR_GANS:
        if issubclass(found, kinds):
            raise UserError(f"{path} {reason}. Remove it: {path}=null")


def _check_gan_monitor(path: str, monitor: object) -> None:
    """Check that a callback of a GAN monitors a metric of training or a distance to real faces."""
    if isinstance(monitor, str) and not monitor.startswith("train/") and monitor not in DISTANCE_METRICS:
        rule = "is not a metric of a GAN, which has no validation"
        raise SettingError(path, monitor, rule, f"Choose {', '.join(DISTANCE_METRICS)} or a metric of training.", True)
