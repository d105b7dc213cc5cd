"""Measure a checkpoint on a split of the data."""

from collections.abc import Sequence

from omegaconf import DictConfig

from celeba_lab.console import console, show_metrics
from celeba_lab.data.annotations import SPLITS
from celeba_lab.engine.build import build_datamodule
from celeba_lab.engine.checkpoints import load_classifier
from celeba_lab.engine.measure import measure
from celeba_lab.errors import UserError, did_you_mean
from celeba_lab.models.classifier.ensemble import Ensemble
from celeba_lab.reports.classifier.report import ClassifierReport
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.scores import mean_majority_accuracy
from celeba_lab.runs.environment import device_name
from celeba_lab.runs.run import facts_of_run, open_run, show_ending, task_name, write_bad_images


def evaluate(
    cfg: DictConfig, report: ClassifierReport, split: str = "test", ensemble: Sequence[str] = ()
) -> dict[str, float]:
    """Write the report of a checkpoint on one split.

    Args:
        cfg: the configuration; ``checkpoint`` names the model.
        report: what is looked at, and how closely.
        split: train, val or test; for another split than val, val is measured too, to choose thresholds and
            temperatures.
        ensemble: further checkpoints, whose logits are averaged with those of ``checkpoint``.

    Returns:
        Every metric by its name, ``split/metric``.

    Raises:
        UserError: there is no such split, or the checkpoint or the data cannot be used.
    """
    if split not in SPLITS:
        raise UserError(f"task.split={split} must be one of {', '.join(SPLITS)}.{did_you_mean(split, SPLITS)}")
    first = load_classifier(cfg.checkpoint, "evaluate")
    others = [load_classifier(path, "average", "ensemble") for path in ensemble]
    model = Ensemble([first, *others]) if others else first
    checkpoints = ", ".join([str(cfg.checkpoint), *ensemble])
    datamodule = build_datamodule(cfg, model.attributes, model.input_size)
    datamodule.setup_split(split)
    needs_validation = split != "val" and datamodule.counts["val"] > 0
    if needs_validation:
        datamodule.setup_split("val")
    console.print(datamodule.describe())
    run = open_run(cfg)
    with run.timed(split):
        metrics, predictions, trainer = measure(cfg, model, datamodule, split)
    validation = None
    if needs_validation:
        with run.timed("val"):
            _, validation, _ = measure(cfg, model, datamodule, "val")
    if not trainer.is_global_zero:
        return metrics
    result = EvaluationResult(run, datamodule, predictions, validation, f"{datamodule.name} · {cfg.name}")
    with run.timed("report"):
        table, added = report.write(
            result, facts_of_run(cfg, datamodule, cfg.checkpoint, trainer) | {"checkpoint": checkpoints}
        )
        metrics |= added
        write_bad_images(run, datamodule)
    run.summary(
        experiment=cfg.name,
        task=task_name(),
        data=datamodule.facts(),
        metrics=metrics,
        majority_accuracy={split: mean_majority_accuracy(table)},
        checkpoint=str(cfg.checkpoint),
        ensemble=list(ensemble),
        device=device_name(trainer.strategy.root_device),
    )
    shown = {name.partition("/")[2]: value for name, value in metrics.items() if name.count("/") == 1}
    shown["accuracy of the majority class"] = mean_majority_accuracy(table)
    show_metrics(f"{checkpoints} on {cfg.data.name}", {split: shown})
    show_ending(run.path, [])
    return metrics
