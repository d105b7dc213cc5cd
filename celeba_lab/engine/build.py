"""Build the data module, callbacks and Trainer of a run from the configuration."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig

from celeba_lab.config import build, one_line
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.checkpoint_io import AtomicCheckpointIO
from celeba_lab.engine.processes import replace_launcher
from celeba_lab.errors import SettingError, UserError

_Kind = TypeVar("_Kind", bound=Callback)


def build_datamodule(data: DictConfig, attributes: Sequence[str] | None, image_size: int) -> CelebADataModule:
    """Build the data module for a model's attributes and image size.

    Args:
        data: The ``data`` group of the configuration.
        attributes: Names of the attributes. Defaults to all 40 attributes.
        image_size: Side length of the images in pixels.

    Raises:
        UserError: A data setting is invalid, or an attribute is unknown or repeated.
    """
    names = list(ATTRIBUTES if attributes is None else attributes)
    datamodule: CelebADataModule = build(data, attributes=names, image_size=image_size)
    return datamodule


def build_callbacks(callbacks: DictConfig | None) -> list[Callback]:
    """Build the configured callbacks in the order in which they are listed.

    Raises:
        UserError: A callback setting is invalid.
    """
    return [_build_callback(node) for node in (callbacks or {}).values() if node]


def _build_callback(node: DictConfig) -> Callback:
    try:
        callback: Callback = build(node)
    except MisconfigurationException as error:
        raise UserError(f"{node._get_full_key(None)}: {one_line(error)}.") from error
    return callback


def callbacks_of(trainer: L.Trainer) -> list[Callback]:
    """Return the list of a Trainer's callbacks, which may be changed. Lightning does not declare this attribute."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def find_callback(trainer: L.Trainer, kind: type[_Kind]) -> _Kind | None:
    """Return the Trainer's first callback of the given class, or None if no callback has this class."""
    return next((callback for callback in callbacks_of(trainer) if isinstance(callback, kind)), None)


def build_trainer(
    trainer: DictConfig, callbacks: Sequence[Callback] = (), loggers: Iterable[Any] = (), **arguments: Any
) -> L.Trainer:
    """Build Lightning's Trainer, and allow GPUs to use TensorFloat-32 for float32 matrix multiplication.

    Args:
        trainer: The ``trainer`` group of the configuration.
        callbacks: Callbacks for the Trainer.
        loggers: Lightning loggers.
        **arguments: Trainer arguments that override the configured values.

    Raises:
        UserError: The settings contradict each other, the requested device is not available on this machine, or other
            processes were started than the settings ask for.
    """
    torch.set_float32_matmul_precision("high")
    try:
        built: L.Trainer = build(trainer, callbacks=list(callbacks), logger=list(loggers) or False, **arguments)
    except (ValueError, TypeError, ImportError, RuntimeError, MisconfigurationException) as error:
        raise _explain(error) from error
    if type(built.strategy.checkpoint_io) is TorchCheckpointIO:  # A plugin from the configuration is kept.
        built.strategy.checkpoint_io = AtomicCheckpointIO(built.default_root_dir)
    if built.strategy.root_device.type == "cpu" and built.world_size > 1 and trainer.sync_batchnorm:
        rule = "needs GPUs, because torch does not synchronise batch normalisation on the CPU"
        raise SettingError("trainer.sync_batchnorm", True, rule, is_absolute=True)
    replace_launcher(built)
    return built


def check_precision(trainer: L.Trainer) -> None:
    """Check that the Trainer's precision is suitable for training.

    Raises:
        SettingError: The precision is too low, or a run with this precision could not be resumed exactly.
    """
    precision = str(trainer.precision)
    if precision in ("16-true", "bf16-true"):
        rule = "is not precise enough for small updates of the weights and for averaging them"
        hint = f"Use trainer.precision={precision.removesuffix('-true')}-mixed or 32-true."
    elif precision == "64-true":
        rule = "is not supported for training, because Lightning would round the weights of a resumed run to float32"
        hint = "Use trainer.precision=32-true."
    else:
        return
    raise SettingError("trainer.precision", precision, rule, hint, is_absolute=True)


def build_evaluator(trainer: DictConfig, callbacks: DictConfig | None, *more: Callback, **arguments: Any) -> L.Trainer:
    """Build a Trainer for evaluation, which prepares networks for inference.

    Of the configured callbacks, only the progress bar is used.

    Args:
        trainer: The ``trainer`` group of the configuration.
        callbacks: The ``callbacks`` group of the configuration.
        *more: Additional callbacks.
        **arguments: Trainer arguments that override the configured values.

    Raises:
        UserError: See :func:`build_trainer`.
    """
    from celeba_lab.engine.inference import FastInference  # It imports torchvision, which not every task needs.

    node = None if callbacks is None else callbacks.get("progress_bar")
    return build_trainer(trainer, [*([build(node)] if node else []), FastInference(), *more], **arguments)


def choose_device(trainer: DictConfig) -> torch.device:
    """Return the device selected by the trainer settings.

    Args:
        trainer: The ``trainer`` group of the configuration.

    Raises:
        UserError: The device is not available on this machine.
    """
    torch.set_float32_matmul_precision("high")
    return _fabric(trainer).device


def count_processes(trainer: DictConfig) -> int:
    """Return the total number of processes across all machines, as requested by the trainer settings.

    Args:
        trainer: The ``trainer`` group of the configuration.

    Raises:
        UserError: The devices are not available on this machine.
    """
    return _fabric(trainer).world_size


def _fabric(trainer: DictConfig) -> L.Fabric:
    """Return a Fabric, which resolves the configured devices without building a Trainer."""
    try:
        return L.Fabric(accelerator=trainer.accelerator, devices=trainer.devices, num_nodes=trainer.num_nodes)
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        raise _explain(error) from error


def _explain(error: Exception) -> UserError:
    words = " ".join(str(error).split())
    hint = " Use trainer=auto, cpu, gpu or mps." if "ccelerator" in words or "backend" in words else ""
    return UserError(f"trainer: {words}{hint}")
