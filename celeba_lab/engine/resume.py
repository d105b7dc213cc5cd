"""Resume an interrupted run from its last checkpoint."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from typing_extensions import override

from celeba_lab.console import console, display_path
from celeba_lab.engine.build import callbacks_of
from celeba_lab.engine.callbacks import BestCheckpoint
from celeba_lab.engine.checkpoints import check_kind, read_checkpoint
from celeba_lab.engine.optimizer_states import check_optimizers
from celeba_lab.errors import UserError
from celeba_lab.models.checkpoint_format import KEY, is_count
from celeba_lab.runs.events import EVENTS_KEY, LogPosition
from celeba_lab.runs.run import Run

_OPTIMIZERS = {"classifier": 1, "gan": 2}
# Errors for which a checkpoint is not to blame. They are explained elsewhere.
_OTHER_CAUSES = (UserError, OSError, MemoryError, torch.OutOfMemoryError)


@dataclass(frozen=True)
class Resumable:
    """A checkpoint from which training is resumed.

    Attributes:
        path: Path to the checkpoint.
        hyperparameters: Hyperparameters of the model in the checkpoint.
        initial_weights: Origin of the weights at the start of training.
    """

    path: str
    hyperparameters: dict[str, Any]
    initial_weights: str


def load_resumable(run: Run, kind: Literal["classifier", "gan"], fixed_settings: Sequence[str]) -> Resumable | None:
    """Read the last checkpoint of a resumed run.

    Args:
        run: The run. Its logs will be cut to the state in which they were when the checkpoint was saved.
        kind: Kind of model that the checkpoint must contain.
        fixed_settings: Names of the model settings that must have the same values as in the checkpoint.

    Returns:
        The checkpoint, or None if the run is new or was stopped before it saved a checkpoint.

    Raises:
        UserError: The checkpoint cannot be read, belongs to a different model or contains only weights, or the run has
            already been trained for more than ``max_epochs`` epochs.
    """
    if not run.is_resumed:
        return None
    last = run.last_checkpoint
    if not last.exists():
        console.print("resuming: no checkpoint was saved, so training starts from the beginning")
        return None
    path, purpose = str(display_path(last)), "resume training"
    checkpoint = read_checkpoint(path, purpose, usual=last.name)
    check_kind(checkpoint, kind, path, purpose)
    hyperparameters = checkpoint["hyper_parameters"]
    for name in fixed_settings:
        configured = run.settings["model"][name]
        if hyperparameters.get(name) != configured:
            raise UserError(
                f"{path} was trained with model.{name}={hyperparameters.get(name)}, not {configured}, so the run cannot"
                " be resumed. Correct this setting in config.yaml, or start a new run."
            )
    if "optimizer_states" not in checkpoint or "fit_loop" not in checkpoint.get("loops", {}):
        raise UserError(
            f"{path} contains only weights, so the run cannot be resumed. Start a new run without"
            " save_weights_only=true."
        )
    try:
        position = _check_training_state(checkpoint, kind)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}), so the run cannot be resumed."
        ) from error
    _check_epochs(checkpoint, run.settings["trainer"]["max_epochs"], path)
    run.keep_logs(position, checkpoint["global_step"])
    console.print(f"resuming: {path}, saved after step {checkpoint['global_step']:,}", soft_wrap=True)
    return Resumable(path, hyperparameters, checkpoint.get(KEY, {}).get("initial_weights", "unknown"))


def _check_training_state(checkpoint: dict[str, Any], kind: str) -> LogPosition:
    """Check the parts of a checkpoint that Lightning would not check, and return how much the loggers had written.

    Raises:
        KeyError: A part is missing.
        TypeError: A part has the wrong type.
        ValueError: The number of optimizers is wrong, or a number is out of range.
    """
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if not is_count(epochs) or not is_count(checkpoint["global_step"]):
        raise TypeError("the number of steps or epochs is not a number")
    _check_counts(checkpoint["loops"])
    if kind == "classifier" and not 0 <= checkpoint["hyper_parameters"]["freeze"] <= 1:
        raise ValueError("freeze is not a fraction")
    if not isinstance(checkpoint["callbacks"], dict):
        raise TypeError("the states of the callbacks are missing")
    for state in checkpoint["callbacks"].values():
        if isinstance(state, dict):
            _check_callback(state)
    if len(checkpoint["optimizer_states"]) != _OPTIMIZERS[kind]:
        raise ValueError(f"it should contain the states of {_OPTIMIZERS[kind]} optimizers")
    if not is_count(checkpoint.get("validation", {"validated": 0})["validated"]):
        raise TypeError("the number of validated batches is not a number")
    logs = checkpoint.get(EVENTS_KEY, {})
    position = LogPosition(logs.get("sizes"), logs.get("rows"))
    if not all(is_count(size) for size in (*(position.sizes or {}).values(), position.rows or 0)):
        raise TypeError("the size of an event file is not a number of bytes")
    return position


def _check_counts(progress: dict[str, Any], name: str = "") -> None:
    """Check that all numbers in the progress of Lightning's loops are numbers of steps.

    Raises:
        TypeError: A number is not a number of steps.
    """
    for key, value in progress.items():
        if isinstance(value, dict):
            _check_counts(value, key)
        elif name in ("current", "total") and not is_count(value):
            raise TypeError(f"the number of steps that are {key} is not a number")


def _check_callback(state: dict[str, Any]) -> None:
    """Check the parts of a callback's state that Lightning itself uses without a check.

    Raises:
        TypeError: A part has the wrong type.
    """
    if not is_count(state.get("latest_update_step", 0)):
        raise TypeError("the number of averaged steps is not a number")
    if "best_k_models" not in state:
        return
    scores = [state.get(name) for name in ("best_model_score", "current_score", "kth_value")]
    for score in [*filter(lambda score: score is not None, scores), *state["best_k_models"].values()]:
        if not (isinstance(score, Tensor) and score.ndim == 0):
            raise TypeError("the score of a checkpoint is not a number")


def _check_epochs(checkpoint: dict[str, Any], max_epochs: int | None, path: str) -> None:
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if max_epochs is not None and 0 <= max_epochs < epochs:
        raise UserError(
            f"{path} has already been trained for {epochs} epochs, so trainer.max_epochs={max_epochs} is too low."
        )


@contextmanager
def beginning(run: Run, trainer: L.Trainer, checkpoint: str | None) -> Iterator[None]:
    """Within this block, the run begins as soon as Lightning has checked and restored everything.

    Args:
        run: The run, which is withdrawn if it has not begun at the end of the block because of an exception.
        trainer: The Trainer that is about to train.
        checkpoint: Checkpoint from which Lightning restores the run, or None. It is to blame for an error before
            training starts.

    Raises:
        UserError: The checkpoint does not fit the run.
    """
    start = _Start(run)
    callbacks_of(trainer).insert(0, start)
    try:
        yield
    except BaseException as error:
        if start.is_reached:
            raise
        run.withdraw()
        if checkpoint is None or not isinstance(error, Exception) or isinstance(error, _OTHER_CAUSES):
            raise
        cause = shorten(f"{type(error).__name__}: {error}", 200).rstrip(".")
        raise UserError(f"{checkpoint} does not fit this run ({cause}), so the run cannot be resumed.") from error
    finally:
        callbacks_of(trainer).remove(start)


def _check_restored_paths(callback: ModelCheckpoint) -> None:
    """Check the paths that a callback has restored from a checkpoint, because it will remove these files.

    Raises:
        ValueError: A path does not name a checkpoint in the folder of the callback.
    """
    folder = Path(str(callback.dirpath)).resolve()
    paths = [callback.kth_best_model_path, callback.last_model_path, *callback.best_k_models]
    # Lightning's own class keeps an old path if the run has been moved. It never removes this file.
    if isinstance(callback, BestCheckpoint):
        paths.append(callback.best_model_path)
    for path in filter(None, paths):
        is_own = Path(path).resolve().is_relative_to(folder) and path[:1] != "~" and "://" not in path
        if not is_own or Path(path).suffix != ".ckpt":
            raise ValueError(f"it names {path} as a checkpoint")


class _Start(L.Callback):
    """Let a run begin before the first training step."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.is_reached = False

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for callback in callbacks_of(trainer):
            if isinstance(callback, ModelCheckpoint):
                _check_restored_paths(callback)
        if self._run.is_resumed:
            check_optimizers(trainer.optimizers)
        self._run.begin()
        self._run.loggers.send_charts(getattr(pl_module, "charts", {}))
        self.is_reached = True


def show_progress_saved(run: Run, trainer: L.Trainer) -> None:
    """Print the epoch in which a run was stopped, and whether its progress was saved."""
    saved = "its state was saved" if run.last_checkpoint.exists() else "no training step was completed"
    console.print(f"training was stopped in epoch {trainer.current_epoch + 1}; {saved}")
