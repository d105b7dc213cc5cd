"""Continuing an interrupted run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from celeba_lab.console import command_line, console, display_path, override
from celeba_lab.engine.checkpoints import read_checkpoint
from celeba_lab.errors import UserError
from celeba_lab.runs.run import show_ending


def read_unfinished(
    cfg: DictConfig,
    check_kind: Callable[[dict[str, Any], str | None, str], None],
    same: Sequence[str],
    instead: str,
) -> dict[str, Any]:
    """Read the checkpoint of the run to continue.

    Args:
        cfg: the configuration; ``checkpoint`` names it.
        check_kind: raises UserError unless it holds this kind of model.
        same: settings of the model that cannot change.
        instead: what else one who wants another model can do.

    Raises:
        UserError: it cannot be read, is another model's, has finished, or lies in another run's folder.
    """
    purpose = "continue training"
    checkpoint = read_checkpoint(cfg.checkpoint, purpose, usual="last.ckpt")
    check_kind(checkpoint, cfg.checkpoint, purpose)
    hyperparameters = checkpoint["hyper_parameters"]
    for key in same:
        asked = OmegaConf.to_container(cfg.model)[key]  # type: ignore[index,call-overload]
        if hyperparameters.get(key) != asked:
            raise UserError(
                f"checkpoint={cfg.checkpoint} was trained with model.{key}={hyperparameters.get(key)}, not {asked}."
                f" Continue with the same model, or {instead}."
            )
    epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    if cfg.trainer.max_epochs is not None and 0 <= cfg.trainer.max_epochs <= epochs:
        raise UserError(
            f"checkpoint={cfg.checkpoint} has already trained {epochs} epochs, and trainer.max_epochs is"
            f" {cfg.trainer.max_epochs}. Raise trainer.max_epochs to train on."
        )
    home = Path(cfg.checkpoint).resolve().parents[1]
    if home != Path(HydraConfig.get().runtime.output_dir).resolve():
        raise UserError(
            f"checkpoint={cfg.checkpoint} is continued in its own run folder, where its checkpoints so far are kept:"
            f" add {override('hydra.run.dir', display_path(home))}"
        )
    return checkpoint


def show_how_to_continue(trainer: L.Trainer) -> None:
    """Print where an interrupted run was, and the command that goes on."""
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    last = folder / "checkpoints" / "last.ckpt"
    console.print(f"the run was in epoch {trainer.current_epoch + 1}")
    if not last.exists():
        console.print("no step was finished, so there is nothing to continue")
        return
    kept = [text for text in hydra.overrides.task if not text.startswith("checkpoint=")]
    again = [override("checkpoint", display_path(last)), override("hydra.run.dir", display_path(folder))]
    show_ending(folder, [("continue", command_line([*kept, *again]))])
