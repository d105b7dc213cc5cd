"""Train a classifier, then validate and test its best checkpoint."""

from typing import Any

from omegaconf import DictConfig

from celeba_lab.console import command_line, console, display_path, format_override
from celeba_lab.engine.batch_size import choose_batch_size
from celeba_lab.engine.build import build_callbacks, build_datamodule, build_trainer
from celeba_lab.engine.callback_rules import check_callbacks
from celeba_lab.engine.classifier import TrainedClassifier, build_classifier, check_monitors, check_settings, load_best
from celeba_lab.engine.fit import fit
from celeba_lab.engine.measure import measure_splits
from celeba_lab.engine.precision import choose_precision, given_precision
from celeba_lab.engine.resume import load_resumable
from celeba_lab.errors import settings_of
from celeba_lab.reports.callbacks import report_callbacks
from celeba_lab.reports.classifier.report import ClassifierReport
from celeba_lab.reports.classifier.training import report_training, show_training
from celeba_lab.runs.run import Run

# Model settings that must be the same as in the checkpoint of a resumed run.
_FIXED = ("attributes", "backbone", "image_size", "resolution")


def train(cfg: DictConfig, report: ClassifierReport) -> dict[str, float]:
    """Train a classifier, then report the training, validation and test metrics of its best checkpoint.

    Args:
        cfg: Configuration of the run.
        report: The report to write, with tables, figures and an HTML page.

    Returns:
        All metrics by name (``split/metric``). The ``train/*`` metrics were computed during training, in the epoch of
        the reported checkpoint.

    Raises:
        UserError: The data, the weights, the checkpoint or a setting cannot be used.
    """
    run = Run.open(cfg)
    resumable = load_resumable(run, "classifier", _FIXED)
    # Contradictory settings and unavailable devices are reported before the data are read.
    unused = build_trainer(cfg.trainer, precision=given_precision(cfg))
    check_settings(cfg.model, unused)
    check_callbacks(cfg.callbacks, unused, "classifier")
    with settings_of("callbacks", is_absolute=True):
        check_monitors(cfg.callbacks, cfg.model.attributes)
    datamodule = build_datamodule(cfg.data, cfg.model.attributes, cfg.model.resolution or cfg.model.image_size)
    datamodule.setup("fit")
    datamodule.setup("test")
    console.print(datamodule.describe())
    choose_batch_size(run, cfg, datamodule)
    model = build_classifier(cfg.model, datamodule, resumable)
    precision = choose_precision(run, cfg)
    trainer = build_trainer(cfg.trainer, build_callbacks(cfg.callbacks), run.loggers, precision=precision)
    fit(run, trainer, model, datamodule, resumable)

    best = load_best(trainer, model)
    measured = measure_splits(run, cfg, best.model, datamodule, ["val", "test"])
    metrics = best.training_metrics | measured["val"].metrics | measured["test"].metrics
    if not trainer.is_global_zero:
        return metrics

    with run.reporting(), settings_of("report"):
        reported, majority_accuracy = report_training(run, report, best, datamodule, measured)
        details = report_callbacks(run, trainer, run.title(datamodule.name))
    metrics |= reported
    show_training(run, best, datamodule, metrics, majority_accuracy)
    return run.finish(
        metrics,
        majority_accuracy=majority_accuracy,
        data=datamodule.facts(),
        checkpoint=best.checkpoint,
        best_epoch=best.epoch,
        initial_weights=best.initial_weights,
        device=best.device,
        details=details,
        hyperparameters=_hyperparameters(run, best, datamodule.batch_size, precision),
        step=trainer.global_step,
        next_commands=_next_commands(run, best),
    )


def _hyperparameters(run: Run, best: TrainedClassifier, batch_size: int, precision: str) -> dict[str, Any]:
    """Return the hyperparameters that a sweep is likely to vary."""
    settings = run.settings
    average = (settings["callbacks"] or {}).get("ema") or {}
    own = {"seed": run.seed, "batch_size": batch_size, "ema_decay": average.get("decay"), "precision": precision}
    return own | {"max_epochs": settings["trainer"]["max_epochs"]} | dict(best.model.hparams)


def _next_commands(run: Run, best: TrainedClassifier) -> list[tuple[str, str]]:
    if best.checkpoint is None:
        return []
    checkpoint = format_override("checkpoint", display_path(best.checkpoint))
    return [
        ("evaluate", command_line(["task=evaluate", checkpoint, "task.split=val", *run.data_overrides])),
        ("predict", command_line(["task=predict", checkpoint, "task.images=photos/*.jpg"])),
    ]
