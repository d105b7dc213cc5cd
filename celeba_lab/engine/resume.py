"""Continue an interrupted run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L

from celeba_lab.console import command_line, console, display_path, format_override
from celeba_lab.engine.checkpoints import check_kind, read_checkpoint
from celeba_lab.errors import UserError
from celeba_lab.runs.run import Run

_ALTERNATIVES = {
    "classifier": "start from its backbone: model.weights=CHECKPOINT",
    "gan": "start again without a checkpoint",
}


@dataclass(frozen=True)
class Resumable:
    """A checkpoint from which training can continue.

    Attributes:
        path: Path to the checkpoint.
        hyperparameters: Hyperparameters of the model in the checkpoint.
    """

    path: str
    hyperparameters: dict[str, Any]


def load_resumable(run: Run, kind: Literal["classifier", "gan"], fixed_settings: Sequence[str]) -> Resumable | None:
    """Read the checkpoint from which a run continues, or return None if ``checkpoint`` is not set.

    Args:
        run: The run. Its ``checkpoint`` setting is the path to the checkpoint, or None.
        kind: Kind of model that the checkpoint must contain.
        fixed_settings: Names of the model settings that must have the same values as in the checkpoint.

    Raises:
        UserError: The checkpoint cannot be read, belongs to a different model, contains only weights, is not in the
            folder of this run, or is from a run that has already reached ``max_epochs``.
    """
    path: str | None = run.settings["checkpoint"]
    if not path:
        return None
    purpose = "continue training"
    checkpoint = read_checkpoint(path, purpose, usual="last.ckpt")
    check_kind(checkpoint, kind, path, purpose)
    hyperparameters = checkpoint["hyper_parameters"]
    for name in fixed_settings:
        configured = run.settings["model"][name]
        if hyperparameters.get(name) != configured:
            raise UserError(
                f"checkpoint={path} was trained with model.{name}={hyperparameters.get(name)}, not {configured}."
                f" Continue with the same model, or {_ALTERNATIVES[kind]}."
            )
    if "optimizer_states" not in checkpoint or "fit_loop" not in checkpoint.get("loops", {}):
        raise UserError(
            f"checkpoint={path} contains only weights, so training cannot be continued from it. Use a checkpoint that"
            f" was saved with save_weights_only=false, or {_ALTERNATIVES[kind]}."
        )
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    max_epochs = run.settings["trainer"]["max_epochs"]
    if max_epochs is not None and 0 <= max_epochs <= epochs:
        raise UserError(
            f"checkpoint={path} has already been trained for {epochs} epochs, and trainer.max_epochs is {max_epochs}."
            " Increase trainer.max_epochs to train further."
        )
    folder = Path(path).resolve().parents[1]
    if folder != run.path.resolve():
        raise UserError(
            f"checkpoint={path} must be continued in its own run folder, which contains the earlier checkpoints:"
            f" add {format_override('hydra.run.dir', display_path(folder))}"
        )
    return Resumable(path, hyperparameters)


def show_how_to_continue(run: Run, trainer: L.Trainer) -> None:
    """Print the epoch in which a run was stopped, and a command to continue the run."""
    last = run.path / "checkpoints" / "last.ckpt"
    console.print(f"training was stopped in epoch {trainer.current_epoch + 1}")
    if not last.exists():
        console.print("no training step was completed, so there is nothing to continue")
        return
    kept = [text for text in run.overrides if not text.startswith("checkpoint=")]
    again = [
        format_override("checkpoint", display_path(last)),
        format_override("hydra.run.dir", display_path(run.path)),
    ]
    run.show([("continue", command_line([*kept, *again]))])
