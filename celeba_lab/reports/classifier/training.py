"""The report on a classifier training run."""

from collections.abc import Mapping

from celeba_lab.console import Progress, console, display_path
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.classifier import TrainedClassifier
from celeba_lab.engine.measure import Measurement
from celeba_lab.reports.attribute_table import mean_majority_accuracy
from celeba_lab.reports.classifier.facts import facts_of_run
from celeba_lab.reports.classifier.history import report_history
from celeba_lab.reports.classifier.report import ClassifierReport
from celeba_lab.reports.classifier.result import EvaluationResult
from celeba_lab.reports.classifier.scores import show_scores
from celeba_lab.runs.run import Run, write_bad_images


def report_training(
    run: Run,
    report: ClassifierReport,
    best: TrainedClassifier,
    datamodule: CelebADataModule,
    measurements: Mapping[str, Measurement],
) -> tuple[dict[str, float], dict[str, float]]:
    """Write the validation scores and mistakes, the training history, and the report for the test split.

    Args:
        run: Run to which the reports are written.
        report: Report to write.
        best: Trained classifier with the weights of its best checkpoint.
        datamodule: Data module with the images and the labels of all attributes.
        measurements: Evaluation results for the classifier, with the keys ``val`` and ``test``.

    Returns:
        The metrics that only the report computes, and the majority-class accuracy on each split.
    """
    validation = measurements["val"].predictions
    checkpoint = "none" if best.checkpoint is None else str(display_path(best.checkpoint))
    facts = {"weights": best.initial_weights} | facts_of_run(run, datamodule, checkpoint, best.device)
    with Progress("writing the reports", total=3, unit="parts") as progress:
        _, val_table = report.write_split(EvaluationResult(run, datamodule, validation, None))
        progress.advance()
        history = report_history(run, best.log.table(), best.epoch, val_table, run.title(datamodule.name))
        progress.advance()
        test = EvaluationResult(run, datamodule, measurements["test"].predictions, validation)
        test_table, metrics = report.write(test, facts, history)
        write_bad_images(run, datamodule)
    return metrics, {"val": mean_majority_accuracy(val_table), "test": mean_majority_accuracy(test_table)}


def show_training(
    run: Run,
    best: TrainedClassifier,
    datamodule: CelebADataModule,
    metrics: Mapping[str, float],
    majority_accuracy: Mapping[str, float],
) -> None:
    """Print the metrics for all splits side by side, and the time taken.

    Args:
        run: Finished training run.
        best: Trained classifier whose metrics are shown.
        datamodule: Data module that was used for training.
        metrics: Metrics with names of the form ``split/metric``.
        majority_accuracy: Majority-class accuracy on each split.
    """
    which = "the last weights" if best.checkpoint is None else "the best checkpoint"
    show_scores(f"{run.experiment}, {datamodule.name}: {which}", metrics, majority_accuracy)
    seconds = run.seconds.get("training", run.seconds["fit"])
    console.print(f"training took {seconds:.0f} s, and the report took {run.seconds['report']:.0f} s")
