"""Train a model, then validate and test its best checkpoint."""

from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from celeba_lab.config import build
from celeba_lab.console import command_line, console, display_path, override, show_metrics
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.allocator import keep_freed_memory
from celeba_lab.engine.build import build_datamodule, build_trainer
from celeba_lab.engine.callbacks import EpochLog
from celeba_lab.engine.checkpoints import check_classifier, load_classifier, read_checkpoint
from celeba_lab.engine.measure import measure, training_seconds
from celeba_lab.engine.pretrained import fetch_weights
from celeba_lab.engine.resume import read_unfinished, show_how_to_continue
from celeba_lab.engine.signals import exit_codes_of_signals
from celeba_lab.errors import UserError, settings_of
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.reports.classifier.history import report_history
from celeba_lab.reports.classifier.report import ClassifierReport
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.scores import mean_majority_accuracy
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.run import RunFolder, facts_of_run, open_run, show_ending, task_name, write_bad_images

# What a continued run cannot change.
_SAME = ("attributes", "backbone", "image_size", "resolution")


def train(cfg: DictConfig, report: ClassifierReport) -> dict[str, float]:
    """Fit, then report train, validation and test of the best checkpoint.

    Args:
        cfg: the configuration.
        report: what is looked at, and how closely.

    Returns:
        Every metric by its name, ``split/metric``. ``train/*`` was measured while training, in the epoch of the
        reported checkpoint.

    Raises:
        UserError: data, weights, checkpoint or settings cannot be used.
    """
    unfinished = None
    if cfg.checkpoint:
        instead = "start from its backbone: model.weights=CHECKPOINT"
        unfinished = read_unfinished(cfg, check_classifier, _SAME, instead)
    datamodule = build_datamodule(cfg, cfg.model.attributes, cfg.model.resolution or cfg.model.image_size)
    datamodule.setup("fit")
    datamodule.setup("test")
    console.print(datamodule.describe())
    model, weights = _build_model(cfg, unfinished, datamodule)
    console.print(f"weights: {weights}", style="bold yellow" if weights.startswith("RANDOM") else None)
    run = open_run(cfg)
    callbacks: dict[str, Callback] = {name: build(node) for name, node in (cfg.callbacks or {}).items() if node}
    trainer = build_trainer(cfg, list(callbacks.values()), run.logger)
    _refuse_contradictions(cfg, trainer)
    if isinstance(trainer.accelerator, CPUAccelerator):
        keep_freed_memory()
    with run.timed("fit"):
        _fit(trainer, model, datamodule, cfg.checkpoint)
    return _report(cfg, run, trainer, model, datamodule, weights, report)


def _refuse_contradictions(cfg: DictConfig, trainer: L.Trainer) -> None:
    if trainer.world_size > 1 and cfg.model.unfreeze_epoch is not None:
        raise UserError(
            f"model.unfreeze_epoch={cfg.model.unfreeze_epoch} and {trainer.world_size} processes contradict: layers"
            " released later would not be synchronised between them. Train with trainer.devices=1, or freeze nothing."
        )


def _build_model(
    cfg: DictConfig, unfinished: dict[str, Any] | None, datamodule: CelebADataModule
) -> tuple[AttributeClassifier, str]:
    """Build the model and say where its weights come from."""
    prevalence = datamodule.labels(datamodule.split_indices("train")).mean(axis=0).tolist()
    if unfinished is not None:  # Lightning loads them; what was frozen stays frozen
        freeze = unfinished["hyper_parameters"]["freeze"]
        return build(cfg.model, freeze=freeze, prevalence=prevalence), f"continued from {cfg.checkpoint}"
    with settings_of("model", is_absolute=True):
        state_dict, source = fetch_weights(cfg.model.weights, cfg.model.backbone)
    if state_dict is None:  # random layers must learn, wherever they are
        return build(cfg.model, freeze=0.0, prevalence=prevalence), source
    model: AttributeClassifier = build(cfg.model, prevalence=prevalence)
    with settings_of("model", is_absolute=True):
        model.load_pretrained(state_dict, source)
    return model, source


def _fit(trainer: L.Trainer, model: AttributeClassifier, datamodule: CelebADataModule, checkpoint: str | None) -> None:
    """Fit; when stopped by Ctrl-C or SIGTERM, say how to go on."""
    with exit_codes_of_signals(trainer, show_how_to_continue):
        trainer.fit(model, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True if checkpoint else None)


def _report(
    cfg: DictConfig,
    run: RunFolder,
    trainer: L.Trainer,
    model: AttributeClassifier,
    datamodule: CelebADataModule,
    weights: str,
    report: ClassifierReport,
) -> dict[str, float]:
    """Measure the best checkpoint, write everything, print the table and what to do next."""
    best = _best_checkpoint(trainer)
    if best is not None:
        model = load_classifier(str(best), "report the best checkpoint")
    epoch_log = next((callback for callback in trainer.callbacks if isinstance(callback, EpochLog)), EpochLog())  # type: ignore[attr-defined]
    epoch = _epoch_of(best) or max(epoch_log.rows, default=1)
    metrics = {name: value for name, value in epoch_log.rows.get(epoch, {}).items() if name.startswith("train/")}
    predictions = {}
    for split in ("val", "test"):
        with run.timed(split):
            measured, predictions[split], _ = measure(cfg, model, datamodule, split)
        metrics |= measured
    if not trainer.is_global_zero:
        return metrics
    source = f"{datamodule.name} · {cfg.name}"
    val = EvaluationResult(run, datamodule, predictions["val"], None, source)
    test = EvaluationResult(run, datamodule, predictions["test"], predictions["val"], source)
    facts = {"weights": weights} | facts_of_run(cfg, datamodule, best, trainer)
    tables = {}
    with run.timed("report"):
        _, tables["val"] = report.write_split(val)
        history = report_history(run, epoch_log.table(), epoch, tables["val"], source)
        tables["test"], added = report.write(test, facts, history)
        metrics |= added
        write_bad_images(run, datamodule)
        run.log_hyperparameters(_hyperparameters(cfg, model), metrics, trainer.global_step)
    run.seconds |= training_seconds(trainer)
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=datamodule.facts(),
        metrics=metrics,
        majority_accuracy={split: mean_majority_accuracy(table) for split, table in tables.items()},
        best_epoch=epoch,
        weights=weights,
        seed=cfg.seed,
        checkpoint=None if best is None else str(display_path(best)),
        device=device_name(trainer.strategy.root_device),
    )
    _show_results(cfg, run, metrics, tables, best)
    return metrics


def _hyperparameters(cfg: DictConfig, model: AttributeClassifier) -> dict[str, Any]:
    """Return what a sweep is likely to vary."""
    decay = OmegaConf.select(cfg, "callbacks.ema.decay")
    own = {"seed": cfg.seed, "batch_size": cfg.data.batch_size, "ema_decay": decay}
    return own | {key: cfg.trainer[key] for key in ("max_epochs", "precision")} | dict(model.hparams)


def _best_checkpoint(trainer: L.Trainer) -> Path | None:
    """Return the checkpoint with the best monitored metric; None where none was written (``fast_dev_run``)."""
    paths = [
        callback.best_model_path
        for callback in trainer.checkpoint_callbacks
        if isinstance(callback, ModelCheckpoint) and callback.monitor
    ]
    return Path(paths[0]) if paths and paths[0] else None


def _epoch_of(checkpoint: Path | None) -> int | None:
    return None if checkpoint is None else read_checkpoint(str(checkpoint), "find its epoch")["epoch"] + 1


def _show_results(
    cfg: DictConfig, run: RunFolder, metrics: dict[str, float], tables: dict[str, pd.DataFrame], best: Path | None
) -> None:
    columns: dict[str, dict[str, float]] = {split: {} for split in ("train", "val", "test")}
    for name, value in metrics.items():
        split, _, metric = name.partition("/")
        if "/" not in metric:  # the forty single accuracies are in tables/attributes_*.csv
            columns[split][metric] = value
    for split, table in tables.items():
        columns[split]["accuracy of the majority class"] = mean_majority_accuracy(table)
    which = "the best checkpoint" if best else "the last weights"
    show_metrics(f"{cfg.name}, {cfg.data.name}: {which}", columns)
    seconds = run.seconds.get("training", run.seconds["fit"])
    console.print(f"training took {seconds:.0f} s, the report {run.seconds['report']:.0f} s")
    commands = [("watch", f"tensorboard --logdir {display_path(run.path.parent)}")]
    if best is not None:
        checkpoint = override("checkpoint", display_path(best))
        data = [text for text in HydraConfig.get().overrides.task if text.startswith("data")]
        commands = [
            ("measure", command_line(["task=evaluate", checkpoint, "task.split=val", *data])),
            ("predict", command_line(["task=predict", checkpoint, "task.images=photos/*.jpg"])),
            *commands,
        ]
    show_ending(run.path, commands)
