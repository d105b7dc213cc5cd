"""Data and Trainer of a run, built from its configuration."""

from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig

from celeba_lab.analyses.sampling import LabelSample, take_fraction
from celeba_lab.config import build
from celeba_lab.console import console
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.errors import UserError


def build_datamodule(cfg: DictConfig, attributes: Sequence[str], image_size: int) -> CelebADataModule:
    """Build the data for a model: what it is asked and the size it takes are the model's to say."""
    return build(cfg.data, attributes=list(attributes), image_size=image_size)


def sample_labels(
    cfg: DictConfig, attributes: Sequence[str] | None, fraction: float, image_size: int | None = None
) -> LabelSample:
    """Read the annotations of the splits in use and draw a fraction of them.

    Args:
        cfg: the configuration; the sample depends on its ``seed``.
        attributes: all forty by default.
        fraction: of the images, above 0, at most 1.
        image_size: side in pixels of the images, which are then checked; None if only labels are wanted.

    Raises:
        UserError: the data, an attribute or the fraction cannot be used.
    """
    asked = ATTRIBUTES if attributes is None else attributes
    datamodule = build_datamodule(cfg, asked, image_size or 128)
    names = datamodule.attributes
    with console.status("reading the labels"):
        annotations = datamodule.annotations
    splits = [split for split in datamodule.partitions if datamodule.counts[split]]
    if not splits:
        raise UserError(f"data.partitions=[{','.join(datamodule.partitions)}]: {datamodule.root} has no such images.")
    if image_size is not None:
        for split in splits:
            datamodule.setup_split(split)
    rows = take_fraction(datamodule.rows, fraction, cfg.seed)
    where = " + ".join(splits)
    console.print(f"labels: {len(rows):,} of the {len(datamodule.rows):,} faces of {where}, {len(names)} attributes")
    labels = annotations.labels[rows][:, annotations.columns(names)]
    title = f"{datamodule.name} · {cfg.name} · {len(rows):,} faces of {where}"
    return LabelSample(datamodule, rows, names, labels, title)


def build_trainer(cfg: DictConfig, callbacks: Sequence[Callback], logger: Any = False, **arguments: Any) -> L.Trainer:
    """Build Lightning's Trainer; switch on what makes matrix products fast on recent GPUs.

    Args:
        cfg: the configuration.
        callbacks: what happens beside the loop.
        logger: Lightning's logger; False for none.
        arguments: of the Trainer, in place of the configured ones.

    Raises:
        UserError: the settings contradict each other or this machine.
    """
    torch.set_float32_matmul_precision("high")
    try:
        return build(cfg.trainer, callbacks=list(callbacks), logger=logger or False, **arguments)
    except (ValueError, MisconfigurationException) as error:
        hint = " Other devices: trainer=auto, cpu, gpu, mps." if "ccelerator" in str(error) else ""
        raise UserError(f"trainer: {' '.join(str(error).split())}{hint}") from error


def device(cfg: DictConfig) -> torch.device:
    """Return where a model runs that no Trainer moves, by the trainer's settings."""
    return build_trainer(cfg, [], enable_progress_bar=False).strategy.root_device
