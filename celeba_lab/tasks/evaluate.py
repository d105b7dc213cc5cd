"""Evaluate a checkpoint on a split of the data."""

from collections.abc import Sequence

from omegaconf import DictConfig

from celeba_lab.console import console
from celeba_lab.data.annotations import SPLITS
from celeba_lab.engine.build import build_datamodule
from celeba_lab.engine.checkpoints import load_classifier
from celeba_lab.engine.measure import measure_splits
from celeba_lab.errors import check_choice, settings_of
from celeba_lab.models.classifier.ensemble import Ensemble
from celeba_lab.reports.attribute_table import mean_majority_accuracy
from celeba_lab.reports.classifier.facts import facts_of_run
from celeba_lab.reports.classifier.report import ClassifierReport
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.scores import show_evaluation
from celeba_lab.runs.run import Run, write_bad_images


def evaluate(
    cfg: DictConfig, report: ClassifierReport, split: str = "test", ensemble: Sequence[str] = ()
) -> dict[str, float]:
    """Evaluate a checkpoint on a split, and write a report.

    Args:
        cfg: Configuration of the run. ``checkpoint`` is the path to the classifier.
        report: The report to write, with tables, figures and an HTML page.
        split: Split to evaluate: train, val or test. The validation split, unless empty, is evaluated as well, to
            choose thresholds and temperatures.
        ensemble: Paths to additional checkpoints, whose logits are averaged with the logits of ``checkpoint``.

    Returns:
        All metrics by name (``split/metric``).

    Raises:
        UserError: The split does not exist, or the checkpoint or the data cannot be used.
    """
    check_choice("split", split, SPLITS)
    run = Run.open(cfg)
    first = load_classifier(cfg.checkpoint, "evaluate")
    others = [load_classifier(path, "average", "ensemble") for path in ensemble]
    model = Ensemble([first, *others]) if others else first
    checkpoints = ", ".join([str(cfg.checkpoint), *ensemble])
    datamodule = build_datamodule(cfg.data, model.attributes, model.input_size)
    # Thresholds and temperatures are chosen on the validation split.
    splits = [split, "val"] if split != "val" and datamodule.counts["val"] else [split]
    for name in splits:
        datamodule.setup_split(name)
    console.print(datamodule.describe())
    measured = measure_splits(run, cfg, model, datamodule, splits)
    metrics, device = measured[split].metrics, measured[split].device
    if not measured[split].is_global_zero:
        return metrics
    validation = measured["val"].predictions if len(splits) > 1 else None
    result = EvaluationResult(run, datamodule, measured[split].predictions, validation)
    with run.reporting(), settings_of("report"):
        table, added = report.write(result, facts_of_run(run, datamodule, checkpoints, device))
        write_bad_images(run, datamodule)
    metrics |= added
    majority_accuracy = {split: mean_majority_accuracy(table)}
    show_evaluation(checkpoints, datamodule.name, metrics, majority_accuracy)
    return run.finish(
        metrics,
        majority_accuracy=majority_accuracy,
        data=datamodule.facts(),
        checkpoint=cfg.checkpoint,
        device=device,
        details={"ensemble": list(ensemble)},
    )
