"""The report on a GAN training run."""

from collections.abc import Mapping
from typing import Any

import lightning as L

from celeba_lab.console import Progress, console, show_metrics
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.build import find_callback
from celeba_lab.engine.callbacks import EpochLog, Health, SampleGrid
from celeba_lab.engine.callbacks.distances import DistanceSchedule
from celeba_lab.engine.callbacks.images import fixed_samples
from celeba_lab.engine.gan import set_apart_distances
from celeba_lab.engine.training_facts import describe_callbacks
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN
from celeba_lab.reports.gan.audit import Audit, report_audit
from celeba_lab.reports.gan.nearest import report_nearest
from celeba_lab.reports.gan.training import animate, report_distances, report_training
from celeba_lab.runs.run import Run, write_bad_images


def report_gan(
    run: Run,
    trainer: L.Trainer,
    model: GAN,
    datamodule: CelebADataModule,
    auditor: AttributeClassifier | None,
    nearest: int,
) -> dict[str, float]:
    """Write the tables and figures of a training run, and return the final metrics.

    Args:
        run: Training run to report on.
        trainer: Trainer that fitted the model, including its callbacks.
        model: The fitted GAN.
        datamodule: Data module with the training data.
        auditor: Classifier that audits the generated faces. If None, the audit is skipped.
        nearest: Number of generated faces to compare with their nearest training faces. If 0, this comparison is
            skipped.
    """
    title = f"{datamodule.name} · {run.experiment}"
    metrics: dict[str, float] = {}
    model.to(trainer.strategy.root_device)
    with Progress("writing the report"):
        if (log := find_callback(trainer, EpochLog)) is not None:
            report_training(run, log.table(), title)
        if (schedule := find_callback(trainer, DistanceSchedule)) is not None:
            set_apart_distances(run.seconds, schedule)
            if not schedule.rows or schedule.rows[-1]["step"] != trainer.global_step:
                schedule.measure(model, trainer.current_epoch, trainer.global_step)
            metrics |= report_distances(run, schedule.distances, schedule.rows, datamodule, title)
        if nearest:
            metrics |= report_nearest(run, fixed_samples(model, nearest), datamodule, title)
        if auditor is not None:
            auditor.to(trainer.strategy.root_device)
            metrics |= report_audit(run, Audit(model.sampler(), auditor, run.seed), datamodule, title)
        if (grid := find_callback(trainer, SampleGrid)) is not None:
            animate(grid.folder, run.path / "figures" / "samples.gif")
        write_bad_images(run, datamodule)
    return metrics


def describe_training(trainer: L.Trainer) -> dict[str, Any]:
    """Return the GAN-specific part of the run summary: epochs, distances, warnings and what callbacks have decided.

    Args:
        trainer: Trainer that fitted the model, including its callbacks.
    """
    schedule, health = find_callback(trainer, DistanceSchedule), find_callback(trainer, Health)
    return {
        "epochs": trainer.current_epoch,
        "distances": None if schedule is None else schedule.describe(),
        "warnings": [] if health is None else health.warnings,
        **describe_callbacks(trainer),
    }


def show_results(run: Run, data_name: str | None, metrics: Mapping[str, float]) -> None:
    """Print the training time and the metrics of the last weights, excluding metrics for individual attributes."""
    shown = {name: value for name, value in metrics.items() if name.count("/") == 1}
    show_metrics(f"{run.experiment}, {data_name}: the last weights", {"value": shown})
    console.print(f"training took {run.seconds.get('training', run.seconds['fit']):.0f} s")
