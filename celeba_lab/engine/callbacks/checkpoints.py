"""The best and the last checkpoint of a run."""

from pathlib import Path
from time import monotonic
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from typing_extensions import override

from celeba_lab.console import console, display_path
from celeba_lab.errors import DivergenceError, SettingError, check_above
from celeba_lab.files import prepare_folder

# With several processes, agreeing on whether to save takes time, so they agree only every few batches.
_BATCHES_BETWEEN_DECISIONS = 50


class BestCheckpoint(ModelCheckpoint):
    """A variant of Lightning's ``ModelCheckpoint`` that finds its files again after a run folder has been moved.

    Lightning stores absolute paths in checkpoints, and forgets the best checkpoint if its folder has changed.
    """

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        if stage == "fit" and trainer.is_global_zero and self.dirpath is not None and "://" not in str(self.dirpath):
            prepare_folder(Path(self.dirpath))

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(_with_paths_in(str(self.dirpath), state_dict))
        self.current_score = state_dict["current_score"]  # Lightning does not restore this value.


def _with_paths_in(folder: str, state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a ``ModelCheckpoint`` with all paths changed to the same paths below ``folder``."""
    before = Path(state["dirpath"])

    def moved(path: str) -> str:
        inside = Path(path).relative_to(before) if Path(path).is_relative_to(before) else Path(path).name
        return str(Path(folder, inside)) if path else path

    paths = {key: moved(state[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
    scores = {moved(path): score for path, score in state["best_k_models"].items()}
    return {**state, **paths, "best_k_models": scores, "dirpath": folder}


class LastCheckpoint(BestCheckpoint):
    """Save the state of training after each epoch, every few minutes, and when training stops early.

    A run that diverges keeps the last good checkpoint. With ``save_on_exception``, Lightning's ``ModelCheckpoint``
    would save the diverged weights, because divergence raises an exception.

    Args:
        dirpath: Folder of the checkpoint.
        filename: Name of the file without its suffix. It contains no metrics, so that a resumed run finds the file.
        every_n_minutes: Minutes after which the checkpoint is saved again within a long epoch. If None, it is saved
            only at the end of each epoch.
        **settings: Other arguments of Lightning's ``ModelCheckpoint``.

    Raises:
        SettingError: ``every_n_minutes`` is not above 0, or ``filename`` contains braces.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str = "last",
        every_n_minutes: float | None = None,
        **settings: Any,
    ) -> None:
        check_above("every_n_minutes", every_n_minutes, 0)
        if "{" in filename:
            raise SettingError("filename", filename, "must not contain braces", "A resumed run needs a fixed name.")
        # Without save_on_train_epoch_end, epochs without validation would not be saved.
        own = {"save_on_exception": True, "enable_version_counter": False, "save_on_train_epoch_end": True}
        super().__init__(dirpath, filename, **(own | settings))
        self.every_n_minutes = every_n_minutes
        self._saved = 0.0
        self._has_started = False

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._has_started = True
        self._saved = monotonic()

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        # While gradients are accumulated, training cannot be resumed exactly. The last batch is saved soon anyway.
        is_between_steps = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if is_between_steps and not trainer.is_last_batch and self._is_due(trainer, batch_idx):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def _is_due(self, trainer: L.Trainer, batch_idx: int) -> bool:
        if self.every_n_minutes is None or self._should_skip_saving_checkpoint(trainer):
            return False
        is_due = monotonic() - self._saved >= 60 * self.every_n_minutes
        if trainer.world_size == 1:
            return is_due
        return batch_idx % _BATCHES_BETWEEN_DECISIONS == 0 and bool(trainer.strategy.broadcast(is_due))

    @override
    def _save_checkpoint(self, trainer: L.Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        self._saved = monotonic()

    @override
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        failed = ""
        if isinstance(exception, DivergenceError):
            failed = "Training diverged"
        elif self._is_resumable(trainer) and _concerns_all_processes(trainer, exception):
            try:
                super().on_exception(trainer, pl_module, exception)
            except DivergenceError:  # TerminateOnNaN found weights that are not finite.
                failed = "Training diverged"
            except OSError as error:
                failed = f"The last training steps could not be saved ({error.strerror or error})"
        last = Path(self.best_model_path)
        if failed and last.is_file():
            text = f"{failed}, so the earlier checkpoint {display_path(last)} was not overwritten."
            console.print(text, style="bold yellow", soft_wrap=True)

    def _is_resumable(self, trainer: L.Trainer) -> bool:
        """Return whether training can be resumed exactly from the Trainer's current state.

        Before training starts, the state of an earlier checkpoint may be restored only in part. If a callback fails at
        the end of an epoch, the other callbacks have not run, so the epoch must be repeated. If a training step fails,
        it has already changed the random state and statistics such as those of batch normalisation.
        """
        epochs: Any = trainer.fit_loop.epoch_progress.current
        batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        is_within_epoch = epochs.processed < epochs.ready
        is_within_step = batches.processed < batches.started
        return self._has_started and is_within_epoch and not is_within_step


def _concerns_all_processes(trainer: L.Trainer, exception: BaseException) -> bool:
    """Return whether all processes have raised the exception at the same time, as after a signal.

    All of them take part in saving a checkpoint. If only one of them failed, it would wait for the others forever.
    """
    return trainer.world_size == 1 or isinstance(exception, SIGTERMException)
