"""The parts of a run, built from its configuration: run folder, data, trainer, and a checkpoint's measurement."""

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from omegaconf import DictConfig, OmegaConf

from celeba_lab import __version__
from celeba_lab.analyses.sampling import take_fraction
from celeba_lab.callbacks import CollectPredictions, Stopwatch
from celeba_lab.checkpoints import read_checkpoint
from celeba_lab.config import build
from celeba_lab.console import command_line, console, display_path, override, show_ending
from celeba_lab.data.annotations import SPLITS
from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.errors import UserError
from celeba_lab.models.classifier import AttributeClassifier
from celeba_lab.reports.predictions import Predictions
from celeba_lab.run import RunFolder, device_name, git_commit


def open_run(cfg: DictConfig) -> RunFolder:
    """Open the run folder that Hydra made, with its TensorBoard logger if the configuration has one."""
    run = RunFolder(Path(HydraConfig.get().runtime.output_dir), build(cfg.logger))
    if run.writer is not None:
        resolved = OmegaConf.to_yaml(cfg, resolve=True)
        run.writer.add_text("configuration", "\n".join(f"    {line}" for line in resolved.splitlines()))
    return run


def build_datamodule(cfg: DictConfig, attributes: Sequence[str], image_size: int) -> CelebADataModule:
    """Build the data for a model: what it is asked and the size it takes are the model's to say."""
    return build(cfg.data, attributes=list(attributes), image_size=image_size)


@dataclass(frozen=True)
class LabelSample:
    """The labels that an analysis looks at.

    Attributes:
        datamodule: where they are from; with images or without.
        rows: int64 (N,), rows of its annotations, in the order of the sample.
        attributes: K names.
        labels: int8 (N, K) of 0 and 1.
        source: says in words which faces these are, for titles.
    """

    datamodule: CelebADataModule
    rows: np.ndarray
    attributes: list[str]
    labels: np.ndarray
    source: str


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
    source = f"{datamodule.name} · {cfg.name} · {len(rows):,} faces of {where}"
    return LabelSample(datamodule, rows, names, labels, source)


def show_dataset(datamodule: CelebADataModule) -> None:
    """Print how many images of each split are used."""
    counts = " + ".join(f"{count:,} {split}" for split, count in datamodule.counts.items())
    limited = f", limited to {datamodule.limit} each" if datamodule.limit else ""
    skipped = f", {len(datamodule.bad_images)} bad images left out" if len(datamodule.bad_images) else ""
    console.print(f"images: {counts} at {datamodule.image_size} x {datamodule.image_size} pixels{limited}{skipped}")


def write_bad_images(run: RunFolder, datamodule: CelebADataModule) -> None:
    """Name the images that were left out in ``tables/bad_images.csv``."""
    if len(datamodule.bad_images):
        run.table("bad_images", datamodule.bad_images)


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


@contextmanager
def exit_codes_of_signals(trainer: L.Trainer, advise: Callable[[L.Trainer], None] | None = None) -> Iterator[None]:
    """End the process as shells and schedulers expect when Ctrl-C or SIGTERM stops the trainer: 130 or 143.

    Lightning would exit with 1 and with 0.

    Args:
        trainer: the one that runs in the block.
        advise: called in the main process before the end.
    """
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop, SIGTERMException):
            cause = signal.SIGTERM
        elif trainer.interrupted:
            cause = signal.SIGINT
        else:
            raise
        console.print(f"\nstopped by {cause.name}", style="bold yellow")
        if advise is not None and trainer.is_global_zero:
            advise(trainer)
        sys.exit(128 + cause)


def progress_bar(cfg: DictConfig) -> list[Callback]:
    """Return the configured progress bar, if any: the only callback of training that measuring wants."""
    node = (cfg.callbacks or {}).get("progress_bar")
    return [build(node)] if node else []


def measure(
    cfg: DictConfig, model: AttributeClassifier, datamodule: CelebADataModule, split: str
) -> tuple[dict[str, float], Predictions, L.Trainer]:
    """Pass over a split once, in table order.

    Returns:
        ``split/metric`` to value, and the predictions, both of the whole split in every process; and the trainer.
    """
    collected = CollectPredictions()
    # One loop for every split, so each split's own limit must stand in for that of the test.
    limit = cfg.trainer[f"limit_{split}_batches"]
    trainer = build_trainer(cfg, [*progress_bar(cfg), collected], limit_test_batches=limit)
    datamodule.trainer = trainer
    with exit_codes_of_signals(trainer):
        [metrics] = trainer.test(model, dataloaders=datamodule.evaluation_dataloader(split), verbose=False)
    named = {f"{split}/{name.removeprefix('test/')}": float(value) for name, value in metrics.items()}
    predictions = Predictions.of(collected, datamodule, split, model.hparams["threshold"])
    return named, predictions, trainer


def summary_of_data(datamodule: CelebADataModule) -> dict[str, Any]:
    """Return what ``summary.json`` says of the data."""
    return {
        "name": datamodule.name,
        "root": str(datamodule.root),
        "images": {split: datamodule.counts[split] for split in SPLITS},
        **datamodule.provenance,
    }


def facts_of_run(
    cfg: DictConfig, datamodule: CelebADataModule, checkpoint: str | Path | None, trainer: L.Trainer
) -> dict[str, str]:
    """Return what the head of a report says, by what it is called."""
    counts = " + ".join(f"{count:,} {split}" for split, count in datamodule.counts.items())
    return {
        "experiment": cfg.name,
        "data": f"{datamodule.name} in {datamodule.root}: {counts}",
        "checkpoint": "none" if checkpoint is None else str(display_path(Path(checkpoint))),
        "seed": str(cfg.seed),
        "device": device_name(trainer.strategy.root_device),
        "celeba_lab": " at ".join(filter(None, [__version__, git_commit()])),
        "settings": "config.yaml, beside this page",
    }


def log_settings(cfg: DictConfig, run: RunFolder, metrics: Mapping[str, float]) -> None:
    """Send the task's settings and what they led to, so that TensorBoard can compare the runs of a sweep."""
    settings = flatten(OmegaConf.to_container(cfg.task, resolve=True))
    run.log_hyperparameters({"seed": cfg.seed, "data": cfg.data.name, **settings}, metrics, step=0)


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested dictionaries under dotted names, lists as text."""
    if not isinstance(node, dict):
        return {prefix: str(node) if isinstance(node, list) else node}
    leaves: dict[str, Any] = {}
    for key, value in node.items():
        leaves |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def task_name() -> str:
    """Return the name of the running task's file in ``conf/task``."""
    return str(HydraConfig.get().runtime.choices["task"])


def read_unfinished(
    cfg: DictConfig,
    check_kind: Callable[[dict[str, Any], str | None, str], None],
    same: Sequence[str],
    instead: str,
) -> dict[str, Any]:
    """Read the checkpoint of the run to continue.

    Args:
        cfg: the configuration; ``checkpoint`` names it.
        check_kind: raises UserError unless it holds this kind of model.
        same: settings of the model that cannot change.
        instead: what else one who wants another model can do.

    Raises:
        UserError: it cannot be read, is another model's, has finished, or lies in another run's folder.
    """
    purpose = "continue training"
    checkpoint = read_checkpoint(cfg.checkpoint, purpose, usual="last.ckpt")
    check_kind(checkpoint, cfg.checkpoint, purpose)
    hyperparameters = checkpoint["hyper_parameters"]
    for key in same:
        asked = OmegaConf.to_container(cfg.model)[key]  # type: ignore[index,call-overload]
        if hyperparameters.get(key) != asked:
            raise UserError(
                f"checkpoint={cfg.checkpoint} was trained with model.{key}={hyperparameters.get(key)}, not {asked}."
                f" Continue with the same model, or {instead}."
            )
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if cfg.trainer.max_epochs is not None and 0 <= cfg.trainer.max_epochs <= epochs:
        raise UserError(
            f"checkpoint={cfg.checkpoint} has already trained {epochs} epochs, and trainer.max_epochs is"
            f" {cfg.trainer.max_epochs}. Raise trainer.max_epochs to train on."
        )
    home = Path(cfg.checkpoint).resolve().parents[1]
    if home != Path(HydraConfig.get().runtime.output_dir).resolve():
        raise UserError(
            f"checkpoint={cfg.checkpoint} is continued in its own run folder, where its checkpoints so far are kept:"
            f" add {override('hydra.run.dir', display_path(home))}"
        )
    return checkpoint


def show_how_to_continue(trainer: L.Trainer) -> None:
    """Print where an interrupted run was, and the command that goes on."""
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    last = folder / "checkpoints" / "last.ckpt"
    console.print(f"the run was in epoch {trainer.current_epoch + 1}")
    if not last.exists():
        console.print("no step was finished, so there is nothing to continue")
        return
    kept = [text for text in hydra.overrides.task if not text.startswith("checkpoint=")]
    again = [override("checkpoint", display_path(last)), override("hydra.run.dir", display_path(folder))]
    show_ending(folder, [("continue", command_line([*kept, *again]))])


def training_seconds(trainer: L.Trainer) -> dict[str, float]:
    """Return the seconds of the fit that went into training steps, and those into validation."""
    watch = next((callback for callback in trainer.callbacks if isinstance(callback, Stopwatch)), None)  # type: ignore[attr-defined]
    return {} if watch is None else {"training": round(watch.training, 3), "validation": round(watch.validation, 3)}


def device(cfg: DictConfig) -> torch.device:
    """Return where a model runs that no Trainer moves, by the trainer's settings."""
    return build_trainer(cfg, [], enable_progress_bar=False).strategy.root_device
