"""Training code shared by classifiers and GANs."""

from functools import partial

import lightning as L
from lightning.pytorch.accelerators import CPUAccelerator

from celeba_lab.engine.allocator import keep_freed_memory
from celeba_lab.engine.build import find_callback
from celeba_lab.engine.callbacks import Stopwatch
from celeba_lab.engine.resume import show_how_to_continue
from celeba_lab.engine.signals import exit_codes_of_signals
from celeba_lab.errors import settings_of
from celeba_lab.runs.run import Run


def fit(
    run: Run, trainer: L.Trainer, model: L.LightningModule, datamodule: L.LightningDataModule, checkpoint: str | None
) -> None:
    """Train a model, and record the training and validation times in ``run.seconds``.

    If a signal such as Ctrl-C or SIGTERM stops training, a command for continuing the run is printed.

    Args:
        run: The run.
        trainer: Lightning's Trainer.
        model: The model.
        datamodule: The data.
        checkpoint: Path to the checkpoint from which training continues, or None to start from the beginning.

    Raises:
        SettingError: The model's optimizer or schedule cannot be used.
    """
    if isinstance(trainer.accelerator, CPUAccelerator):
        keep_freed_memory()
    weights_only = True if checkpoint else None
    stopped = partial(show_how_to_continue, run)
    # Building the optimizer or the schedule may raise an error that names a setting without the prefix "model".
    with run.timed("fit"), exit_codes_of_signals(trainer, stopped), settings_of("model", is_absolute=True):
        trainer.fit(model, datamodule=datamodule, ckpt_path=checkpoint, weights_only=weights_only)
    watch = find_callback(trainer, Stopwatch)
    if watch is not None:
        run.seconds |= {"training": round(watch.training, 3), "validation": round(watch.validation, 3)}
