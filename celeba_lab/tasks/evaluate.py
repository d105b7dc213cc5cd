"""Evaluate a checkpoint on a split of the data."""

from collections.abc import Sequence

from omegaconf import DictConfig

from celeba_lab.console import console, show_metrics
from celeba_lab.data.annotations import SPLITS
from celeba_lab.engine.build import build_datamodule
from celeba_lab.engine.checkpoints import load_classifier
from celeba_lab.engine.measure import measure
from celeba_lab.errors import check_choice
from celeba_lab.models.classifier.ensemble import Ensemble
from celeba_lab.reports.classifier.report import ClassifierReport
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.scores import mean_majority_accuracy
from celeba_lab.runs.run import Run, facts_of_run, write_bad_images


def evaluate(
    cfg: DictConfig, report: ClassifierReport, split: str = "test", ensemble: Sequence[str] = ()
) -> dict[str, float]:
    """Evaluate a checkpoint on a split, and write a report.

    Args:
        cfg: Configuration of the run. ``checkpoint`` is the path of the classifier.
        report: The report to write, with tables, figures and an HTML page.
        split: Split to evaluate: train, val or test. The validation split is also evaluated, because thresholds and
            temperatures are chosen on it.
        ensemble: Paths of additional checkpoints, whose logits are averaged with those of ``checkpoint``.

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
    datamodule.setup_split(split)
    needs_validation = split != "val" and datamodule.counts["val"] > 0
    if needs_validation:
        datamodule.setup_split("val")
    console.print(datamodule.describe())
    with run.timed(split):
        metrics, predictions, trainer = measure(model, datamodule, split, cfg.trainer, cfg.callbacks)
    validation = None
    if needs_validation:
        with run.timed("val"):
            _, validation, _ = measure(model, datamodule, "val", cfg.trainer, cfg.callbacks)
    if not trainer.is_global_zero:
        return metrics
    device = trainer.strategy.root_device
    result = EvaluationResult(run, datamodule, predictions, validation, f"{datamodule.name} · {run.experiment}")
    facts = facts_of_run(run, datamodule, cfg.checkpoint, device) | {"checkpoint": checkpoints}
    with run.timed("report"):
        table, added = report.write(result, facts)
        metrics |= added
        write_bad_images(run, datamodule)
    majority_accuracy = mean_majority_accuracy(table)
    shown = {name.partition("/")[2]: value for name, value in metrics.items() if name.count("/") == 1}
    shown["accuracy of the majority class"] = majority_accuracy
    show_metrics(f"{checkpoints} on {datamodule.name}", {split: shown})
    return run.finish(
        metrics,
        majority_accuracy={split: majority_accuracy},
        data=datamodule.facts(),
        checkpoint=cfg.checkpoint,
        device=device,
        details={"ensemble": list(ensemble)},
    )
