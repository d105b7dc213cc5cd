"""Train a classifier, then validate and test its best checkpoint."""

from typing import Any

from omegaconf import DictConfig

from celeba_lab.console import command_line, console, display_path, override
from celeba_lab.engine.build import build_callbacks, build_datamodule, build_trainer, choose_device
from celeba_lab.engine.classifier import TrainedClassifier, build_classifier, check_names, check_unfreezing, load_best
from celeba_lab.engine.fit import fit
from celeba_lab.engine.measure import measure
from celeba_lab.engine.resume import load_resumable
from celeba_lab.reports.classifier.report import ClassifierReport
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.training import report_training, show_results
from celeba_lab.runs.run import Run, facts_of_run, write_bad_images

# Model settings that must not change when training is continued.
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
    choose_device(cfg.trainer)  # An unavailable device is reported before the data are read.
    check_names(cfg.model)
    datamodule = build_datamodule(cfg.data, cfg.model.attributes, cfg.model.resolution or cfg.model.image_size)
    datamodule.setup("fit")
    datamodule.setup("test")
    console.print(datamodule.describe())
    model, initial_weights = build_classifier(cfg.model, datamodule, resumable)
    trainer = build_trainer(cfg.trainer, build_callbacks(cfg.callbacks), run.logger)
    check_unfreezing(model, trainer)
    fit(run, trainer, model, datamodule, cfg.checkpoint)

    best = load_best(trainer, model)
    metrics = best.training_metrics
    predictions = {}
    for split in ("val", "test"):
        with run.timed(split):
            measured, predictions[split], _ = measure(best.model, datamodule, split, cfg.trainer, cfg.callbacks)
        metrics |= measured
    if not trainer.is_global_zero:
        return metrics

    title, device = f"{datamodule.name} · {run.experiment}", trainer.strategy.root_device
    val = EvaluationResult(run, datamodule, predictions["val"], None, title)
    test = EvaluationResult(run, datamodule, predictions["test"], predictions["val"], title)
    facts = {"weights": initial_weights} | facts_of_run(run, datamodule, best.checkpoint, device)
    with run.timed("report"):
        reported, majority_accuracy = report_training(report, val, test, best.log.table(), best.epoch, facts)
        write_bad_images(run, datamodule)
    metrics |= reported
    which = "the last weights" if best.checkpoint is None else "the best checkpoint"
    show_results(run, f"{run.experiment}, {datamodule.name}: {which}", metrics, majority_accuracy)
    return run.finish(
        metrics,
        majority_accuracy=majority_accuracy,
        data=datamodule.facts(),
        checkpoint=best.checkpoint,
        best_epoch=best.epoch,
        initial_weights=initial_weights,
        device=device,
        hyperparameters=_hyperparameters(run, best),
        step=trainer.global_step,
        next_commands=_next_commands(run, best),
    )


def _hyperparameters(run: Run, best: TrainedClassifier) -> dict[str, Any]:
    """Return the hyperparameters that a sweep is likely to vary."""
    settings = run.settings
    average = (settings["callbacks"] or {}).get("ema") or {}
    own = {"seed": run.seed, "batch_size": settings["data"]["batch_size"], "ema_decay": average.get("decay")}
    return own | {name: settings["trainer"][name] for name in ("max_epochs", "precision")} | dict(best.model.hparams)


def _next_commands(run: Run, best: TrainedClassifier) -> list[tuple[str, str]]:
    if best.checkpoint is None:
        return [run.watch]
    checkpoint = override("checkpoint", display_path(best.checkpoint))
    return [
        ("evaluate", command_line(["task=evaluate", checkpoint, "task.split=val", *run.data_overrides])),
        ("predict", command_line(["task=predict", checkpoint, "task.images=photos/*.jpg"])),
        run.watch,
    ]
