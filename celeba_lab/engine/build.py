"""Data, callbacks, device and Trainer of a run, built from their nodes of the configuration."""

from collections.abc import Sequence
from typing import Any, TypeVar

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig

from celeba_lab.analyses.sampling import LabelSample, take_fraction
from celeba_lab.config import build
from celeba_lab.console import Progress, console
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.errors import UserError
from celeba_lab.runs.run import Run

_Kind = TypeVar("_Kind", bound=Callback)


def build_datamodule(data: DictConfig, attributes: Sequence[str], image_size: int) -> CelebADataModule:
    """Build the data for a model, which determines the attributes and the image size.

    Args:
        data: The group ``data`` of the configuration.
        attributes: Names of the attributes.
        image_size: Side of the images in pixels.
    """
    datamodule: CelebADataModule = build(data, attributes=list(attributes), image_size=image_size)
    return datamodule


def sample_labels(
    run: Run, data: DictConfig, attributes: Sequence[str] | None, fraction: float, image_size: int | None = None
) -> LabelSample:
    """Read the annotations of the splits in use and sample a fraction of them.

    Args:
        run: The run, whose seed determines the sample.
        data: The group ``data`` of the configuration.
        attributes: Names of the attributes; all forty by default.
        fraction: Fraction of the images, above 0 and at most 1.
        image_size: Side of the images in pixels. The images are then checked; None if only labels are needed.

    Raises:
        UserError: The data, an attribute or the fraction cannot be used.
    """
    datamodule = build_datamodule(data, ATTRIBUTES if attributes is None else attributes, image_size or 128)
    names = datamodule.attributes
    with Progress("reading the labels"):
        annotations = datamodule.annotations
    splits = [split for split in datamodule.partitions if datamodule.counts[split]]
    if not splits:
        raise UserError(f"data.partitions=[{','.join(datamodule.partitions)}]: {datamodule.root} has no such images.")
    if image_size is not None:
        for split in splits:
            datamodule.setup_split(split)
    rows = take_fraction(datamodule.rows, fraction, run.seed)
    where = " + ".join(splits)
    console.print(f"labels: {len(rows):,} of the {len(datamodule.rows):,} faces of {where}, {len(names)} attributes")
    labels = annotations.labels[rows][:, annotations.columns(names)]
    title = f"{datamodule.name} · {run.experiment} · {len(rows):,} faces of {where}"
    return LabelSample(datamodule, rows, names, labels, title)


def build_callbacks(callbacks: DictConfig | None) -> list[Callback]:
    """Build the callbacks of the group ``callbacks``, in the order in which they are listed."""
    return [build(node) for node in (callbacks or {}).values() if node]


def find_callback(trainer: L.Trainer, kind: type[_Kind]) -> _Kind | None:
    """Return the trainer's first callback of a class, or None."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((callback for callback in callbacks if isinstance(callback, kind)), None)


def build_trainer(
    trainer: DictConfig, callbacks: Sequence[Callback] = (), logger: Any = None, **arguments: Any
) -> L.Trainer:
    """Build Lightning's Trainer, and let GPUs multiply float32 matrices in the faster TensorFloat-32.

    Args:
        trainer: The group ``trainer`` of the configuration.
        callbacks: Callbacks of the Trainer.
        logger: Lightning's logger. If None, there is no logger.
        arguments: Arguments of the Trainer that replace the configured ones.

    Raises:
        UserError: The settings contradict each other, or this machine does not have the device.
    """
    torch.set_float32_matmul_precision("high")
    try:
        built: L.Trainer = build(trainer, callbacks=list(callbacks), logger=logger or False, **arguments)
    except (ValueError, MisconfigurationException) as error:
        raise _explain(error) from error
    return built


def build_evaluator(trainer: DictConfig, callbacks: DictConfig | None, *more: Callback, **arguments: Any) -> L.Trainer:
    """Build a Trainer that passes over data once: of the configured callbacks it has only the progress bar.

    Args:
        trainer: The group ``trainer`` of the configuration.
        callbacks: The group ``callbacks`` of the configuration.
        *more: Further callbacks.
        **arguments: Arguments of the Trainer that replace the configured ones.

    Raises:
        UserError: See :func:`build_trainer`.
    """
    node = None if callbacks is None else callbacks.get("progress_bar")
    return build_trainer(trainer, [*([build(node)] if node else []), *more], **arguments)


def choose_device(trainer: DictConfig) -> torch.device:
    """Return the device on which the trainer's settings let a model run.

    Args:
        trainer: The group ``trainer`` of the configuration.

    Raises:
        UserError: This machine does not have the device.
    """
    torch.set_float32_matmul_precision("high")
    return _fabric(trainer).device


def count_processes(trainer: DictConfig) -> int:
    """Return the number of processes, on all machines, that the trainer's settings ask for.

    Args:
        trainer: The group ``trainer`` of the configuration.

    Raises:
        UserError: This machine does not have the devices.
    """
    return _fabric(trainer).world_size


def _fabric(trainer: DictConfig) -> L.Fabric:
    """Return Lightning's view of the devices, without a Trainer."""
    try:
        return L.Fabric(accelerator=trainer.accelerator, devices=trainer.devices, num_nodes=trainer.num_nodes)
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise _explain(error) from error


def _explain(error: Exception) -> UserError:
    words = " ".join(str(error).split())
    hint = " Other devices: trainer=auto, cpu, gpu, mps." if "ccelerator" in words or "backend" in words else ""
    return UserError(f"trainer: {words}{hint}")
