"""Continuing an interrupted run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L

from celeba_lab.console import command_line, console, display_path, override
from celeba_lab.engine.checkpoints import check_kind, read_checkpoint
from celeba_lab.errors import UserError
from celeba_lab.runs.run import Run

_ALTERNATIVES = {
    "classifier": "start from its backbone: model.weights=CHECKPOINT",
    "gan": "start anew, without a checkpoint",
}


@dataclass(frozen=True)
class Resumable:
    """A checkpoint from which training can continue.

    Attributes:
        path: Path of the checkpoint.
        hyperparameters: Settings of its model.
    """

    path: str
    hyperparameters: dict[str, Any]


def load_resumable(run: Run, kind: Literal["classifier", "gan"], fixed_settings: Sequence[str]) -> Resumable | None:
    """Read the checkpoint from which a run continues; return None if the run starts anew.

    Args:
        run: The run; its setting ``checkpoint`` is the path, or None.
        kind: The kind of model that the checkpoint must hold.
        fixed_settings: Names of the model's settings that must be the same as before.

    Raises:
        UserError: The checkpoint cannot be read, belongs to another model, has finished its training, or is in the
            folder of another run.
    """
    path: str | None = run.settings["checkpoint"]
    if not path:
        return None
    purpose = "continue training"
    checkpoint = read_checkpoint(path, purpose, usual="last.ckpt")
    check_kind(checkpoint, kind, path, purpose)
    hyperparameters = checkpoint["hyper_parameters"]
    for name in fixed_settings:
        asked = run.settings["model"][name]
        if hyperparameters.get(name) != asked:
            raise UserError(
                f"checkpoint={path} was trained with model.{name}={hyperparameters.get(name)}, not {asked}."
                f" Continue with the same model, or {_ALTERNATIVES[kind]}."
            )
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    max_epochs = run.settings["trainer"]["max_epochs"]
    if max_epochs is not None and 0 <= max_epochs <= epochs:
        raise UserError(
            f"checkpoint={path} has already trained {epochs} epochs, and trainer.max_epochs is {max_epochs}."
            " Raise trainer.max_epochs to train on."
        )
    folder = Path(path).resolve().parents[1]
    if folder != run.path.resolve():
        raise UserError(
            f"checkpoint={path} is continued in its own run folder, where its checkpoints so far are kept:"
            f" add {override('hydra.run.dir', display_path(folder))}"
        )
    return Resumable(path, hyperparameters)


def show_how_to_continue(run: Run, trainer: L.Trainer) -> None:
    """Print the epoch in which a run was stopped, and the command that continues it."""
    last = run.path / "checkpoints" / "last.ckpt"
    console.print(f"the run was in epoch {trainer.current_epoch + 1}")
    if not last.exists():
        console.print("no step was finished, so there is nothing to continue")
        return
    kept = [text for text in run.overrides if not text.startswith("checkpoint=")]
    again = [override("checkpoint", display_path(last)), override("hydra.run.dir", display_path(run.path))]
    run.show([("continue", command_line([*kept, *again]))])
