"""Training code shared by classifiers and GANs."""

from functools import partial

import lightning as L
from lightning.pytorch.accelerators import CPUAccelerator

from celeba_lab.engine.allocator import keep_freed_memory
from celeba_lab.engine.build import callbacks_of, find_callback
from celeba_lab.engine.callbacks import EpochLog, Pruning, Stopwatch
from celeba_lab.engine.inference import FastInference
from celeba_lab.engine.library_errors import explaining_library_errors
from celeba_lab.engine.resume import Resumable, beginning, show_progress_saved
from celeba_lab.engine.signals import stopping_between_batches
from celeba_lab.engine.training_facts import show_end_of_training
from celeba_lab.errors import settings_of
from celeba_lab.runs.run import Run
from celeba_lab.runs.search import JobTrial


def fit(
    run: Run,
    trainer: L.Trainer,
    model: L.LightningModule,
    datamodule: L.LightningDataModule,
    resumable: Resumable | None = None,
) -> None:
    """Train a model, and record the training and validation times in ``run.seconds``.

    If a signal such as Ctrl-C or SIGTERM stops training, a checkpoint is saved first. If a run that has no epochs left
    is resumed, only its state is restored.

    Args:
        run: The run.
        trainer: Lightning's Trainer.
        model: The model.
        datamodule: The data.
        resumable: Checkpoint from which training is resumed, or None to start from the beginning.

    Raises:
        Interrupted: A signal has stopped training.
        Pruned: The run belongs to a search, whose pruner has stopped training.
        UserError: The model's optimizer or schedule, a callback or the validation interval cannot be used.
    """
    if isinstance(trainer.accelerator, CPUAccelerator):
        keep_freed_memory()
    checkpoint = None if resumable is None else resumable.path
    weights_only = None if resumable is None else True
    stopped = partial(show_progress_saved, run)
    callbacks_of(trainer).append(FastInference())
    _add_pruning(run, trainer)
    # Building the optimizer or the schedule may raise an error that names a setting without the prefix "model".
    settings = settings_of("model", is_absolute=True)
    begin, explaining = beginning(run, trainer, checkpoint), explaining_library_errors(run, trainer)
    with run.timed("fit"), stopping_between_batches(trainer, stopped), settings, explaining, begin:
        trainer.fit(model, datamodule=datamodule, ckpt_path=checkpoint, weights_only=weights_only)
    watch = find_callback(trainer, Stopwatch)
    if watch is not None:
        run.seconds |= {"training": round(watch.training, 3), "validation": round(watch.validation, 3)}
    show_end_of_training(trainer)
    pruning = find_callback(trainer, Pruning)
    if pruning is not None:
        pruning.check_pruned()


def _add_pruning(run: Run, trainer: L.Trainer) -> None:
    """If the run belongs to a search with a pruner, add a callback that reports to the search.

    The callback is last, so that all values of an epoch have been measured. It is not part of the configuration,
    because the same run outside the search is not pruned.
    """
    trial = JobTrial.find(run.path)
    if trial is not None and trial.search.prunes:
        callbacks_of(trainer).append(Pruning(trial))


def last_training_metrics(trainer: L.Trainer) -> dict[str, float]:
    """Return the ``train/*`` metrics of the last epoch, even if a resumed run had no epoch left to train."""
    log = find_callback(trainer, EpochLog)
    row = log.rows[max(log.rows)] if log is not None and log.rows else trainer.callback_metrics
    return {name: float(value) for name, value in row.items() if name.startswith("train/")}
