"""What the callbacks of a run have decided during training: when it stopped, and what they searched for."""

from typing import Any

import lightning as L

from celeba_lab.console import console
from celeba_lab.engine.build import find_callback
from celeba_lab.engine.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    LearningRateFinder,
    StochasticWeightAveraging,
    ThroughputMonitor,
)


def describe_callbacks(trainer: L.Trainer) -> dict[str, Any]:
    """Return the precision of a training run and what its callbacks have decided, for ``summary.json``.

    Args:
        trainer: Trainer that fitted a model, including its callbacks.
    """
    facts: dict[str, Any] = {"precision": str(trainer.precision)}
    if (stopping := find_callback(trainer, EarlyStopping)) is not None:
        facts["early_stopping"] = stopping.describe()
    if (rate := find_callback(trainer, LearningRateFinder)) is not None:
        facts["lr_finder"] = {"lr": rate.lr, "steps": len(rate.lrs)}
    if (size := find_callback(trainer, BatchSizeFinder)) is not None:
        facts["batch_size_finder"] = {"batch_size": size.batch_size}
    if (average := find_callback(trainer, StochasticWeightAveraging)) is not None:
        facts["swa"] = {"averaged_epochs": average.averaged_epochs}
    if (throughput := find_callback(trainer, ThroughputMonitor)) is not None:
        facts["throughput"] = {f"{stage}_images_per_second": r for stage, r in throughput.images_per_second.items()}
    return facts


def show_end_of_training(trainer: L.Trainer) -> None:
    """Print after which epoch a callback has stopped training early, how many epochs were averaged, and the rates."""
    stopping = find_callback(trainer, EarlyStopping)
    if stopping is not None and stopping.has_stopped:
        facts = stopping.describe()
        console.print(f"training was stopped after epoch {facts['epoch']}: {facts['reason']}", soft_wrap=True)
    if (average := find_callback(trainer, StochasticWeightAveraging)) is not None:
        count = average.averaged_epochs
        console.print(f"the weights are the average of {count} epoch{'' if count == 1 else 's'}", soft_wrap=True)
    throughput = find_callback(trainer, ThroughputMonitor)
    if throughput is not None and throughput.images_per_second:
        rates = ", ".join(f"{stage} {rate:,.0f}" for stage, rate in throughput.images_per_second.items())
        console.print(f"images per second: {rates}", soft_wrap=True)
