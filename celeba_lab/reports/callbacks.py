"""The report on what callbacks have done in a training run: a search for a learning rate, or overfitting."""

from typing import Any

import lightning as L
import pandas as pd

from celeba_lab import figures
from celeba_lab.console import console
from celeba_lab.engine.build import find_callback
from celeba_lab.engine.callbacks import EpochLog, LearningRateFinder
from celeba_lab.engine.training_facts import describe_callbacks
from celeba_lab.runs.run import Run

_NEARLY_ZERO = 0.05
"""Training loss below which a classifier is considered to have memorised its images."""


def report_callbacks(run: Run, trainer: L.Trainer, title: str) -> dict[str, Any]:
    """Draw the search for a learning rate, and return what the callbacks have decided, for ``summary.json``.

    Args:
        run: The training run.
        trainer: Trainer that fitted the model, including its callbacks.
        title: Beginning of the title of each figure.
    """
    facts = describe_callbacks(trainer)
    finder = find_callback(trainer, LearningRateFinder)
    if finder is not None and finder.lr is not None:
        run.table("lr_finder", pd.DataFrame({"lr": finder.lrs, "loss": finder.losses}))
        figure = figures.learning_rate_search(
            finder.lrs, finder.losses, lr=finder.lr, title=f"{title}: search for a learning rate"
        )
        run.figure("lr_finder", figure)
    log = find_callback(trainer, EpochLog)
    if run.settings.get("debug") == "overfit" and log is not None:
        facts["overfit"] = _judge_overfitting(log)
    return facts


def _judge_overfitting(log: EpochLog) -> dict[str, Any]:
    """Print and return whether the training loss has fallen to nearly 0."""
    losses = [row["train/loss"] for _, row in sorted(log.rows.items()) if "train/loss" in row]
    if not losses:
        return {"reached": None}
    reached = losses[-1] < _NEARLY_ZERO
    change = f"the training loss has fallen from {losses[0]:.4f} to {losses[-1]:.4f} in {len(losses)} epochs"
    if reached:
        console.print(f"overfit: {change}, so this model can memorise a batch", style="bold", soft_wrap=True)
    else:
        advice = (
            f"which is not below {_NEARLY_ZERO}. Train for more epochs, or check the model, the labels and the rate."
        )
        console.print(f"overfit: {change}, {advice}", style="bold yellow", soft_wrap=True)
    return {"reached": reached, "first_loss": losses[0], "last_loss": losses[-1]}
