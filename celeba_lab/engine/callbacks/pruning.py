"""A callback that stops unpromising runs of a search."""

import lightning as L
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from celeba_lab.data.metric_names import DISTANCE_METRICS
from celeba_lab.engine.build import callbacks_of
from celeba_lab.engine.callbacks.distances import DistanceSchedule
from celeba_lab.errors import SettingError, did_you_mean
from celeba_lab.runs.search import JobTrial, Pruned


class Pruning(Callback):
    """Report the score of each epoch with a validation to a search, and stop the run if it is unpromising.

    Optuna's pruner decides by the scores of the other trials. After the last epoch, the run is not stopped any more.
    For a GAN, the distances to real faces are reported in the epochs in which they are measured.

    Args:
        trial: The trial of the run.

    Raises:
        SettingError: Validation does not log the score.
    """

    def __init__(self, trial: JobTrial) -> None:
        self.trial = trial
        self._validated = 0  # Number of the last epoch with a validation, counted from 1.
        self._pruned: Pruned | None = None

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.trial.search.score in DISTANCE_METRICS and not self._schedules(trainer):
            rule = "is not measured, because there is no feature extractor, so it cannot be used to prune"
            raise SettingError("score", self.trial.search.score, rule, "Use hydra/sweeper/pruner=none.", True)
        # An earlier process may have been killed after it had reported a score, before it was stopped.
        if max(self.trial.reported, default=0) == trainer.current_epoch:
            self._decide(trainer, trainer.current_epoch)

    @override
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._validated = trainer.current_epoch + 1

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        score = self._score(trainer, epoch)
        if score is not None:
            self.trial.report(epoch, score)
            self._decide(trainer, epoch)

    def _score(self, trainer: L.Trainer, epoch: int) -> float | None:
        """Return the score of an epoch, or None if it was not measured in this epoch."""
        name = self.trial.search.score
        for schedule in self._schedules(trainer):
            measured = schedule.measured_in(epoch)
            if not measured or name in measured:
                return measured.get(name)
        if self._validated != epoch:
            return None
        metrics = trainer.callback_metrics
        if name not in metrics:
            known = [key for key in metrics if not key.startswith("train/")]
            rule = "is not a metric that validation logs, so it cannot be used to prune"
            hint = did_you_mean(name, known) or "Use hydra/sweeper/pruner=none."
            raise SettingError("score", name, rule, hint, True)
        return float(metrics[name])

    def _schedules(self, trainer: L.Trainer) -> list[DistanceSchedule]:
        return [each for each in callbacks_of(trainer) if isinstance(each, DistanceSchedule)]

    def _decide(self, trainer: L.Trainer, epoch: int) -> None:
        """Stop the run if the pruner says so, and if Lightning would stop it now."""
        epochs = trainer.max_epochs
        is_last = epochs is not None and 0 < epochs <= epoch
        must_go_on = epoch < (trainer.min_epochs or 0) or trainer.global_step < (trainer.min_steps or 0)
        has_ended = is_last or trainer.should_stop  # A run that was stopped early, for example, is tested.
        if has_ended or must_go_on or not self.trial.should_prune():
            return
        trainer.should_stop = True
        reported = self.trial.reported
        self._pruned = Pruned(epoch, epochs, reported[max(reported)])

    def check_pruned(self) -> None:
        """Raise an exception if the run has been stopped, so that it is neither tested nor reported on.

        Raises:
            Pruned: The run has been stopped.
        """
        if self._pruned is not None:
            raise self._pruned
