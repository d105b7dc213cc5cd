"""A callback that stops training when a metric no longer improves."""

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from typing_extensions import override

from celeba_lab.data.metric_names import DISTANCE_METRICS
from celeba_lab.errors import check_at_least, check_choice


class EarlyStopping(LightningEarlyStopping):
    """Stop training when a metric has not improved for several validations.

    In contrast to Lightning's class, a run that is resumed after it was stopped early does not train any further. A GAN
    has no validation, so measurements of a metric such as ``heldout/kid`` are counted instead of epochs.

    Args:
        monitor: Name of the metric.
        mode: ``min`` if low values are better, or ``max``.
        min_delta: Smallest change that counts as an improvement.
        patience: Number of validations or measurements without improvement after which training stops.
        stopping_threshold: Value at which training stops at once, because it is good enough. If None, there is none.

    Raises:
        SettingError: ``mode`` is unknown, or a number is out of range.

    Example:
        >>> EarlyStopping("val/loss", mode="min", patience=2).describe()
        {'monitor': 'val/loss', 'epoch': None, 'reason': None}
    """

    def __init__(
        self,
        monitor: str,
        mode: str = "min",
        min_delta: float = 0.0,
        patience: int = 3,
        stopping_threshold: float | None = None,
    ) -> None:
        check_choice("mode", mode, ["min", "max"])
        check_at_least("min_delta", min_delta, 0)
        check_at_least("patience", patience, 1)
        super().__init__(monitor, min_delta, patience, mode=mode, stopping_threshold=stopping_threshold)

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.has_stopped:
            trainer.should_stop = True

    @override
    def _should_skip_check(self, trainer: L.Trainer) -> bool:
        return self.monitor in DISTANCE_METRICS or super()._should_skip_check(trainer)

    def count_measurement(self, trainer: L.Trainer) -> None:
        """Take into account a new measurement of the metric, if it is measured every few epochs."""
        if self.monitor in DISTANCE_METRICS:
            self._run_early_stopping_check(trainer)

    @property
    def has_stopped(self) -> bool:
        """Whether the metric has made training stop."""
        return self.stopping_reason != EarlyStoppingReason.NOT_STOPPED

    def describe(self) -> dict[str, object]:
        """Return the metric, the epoch (counted from 1) after which training was stopped early, and the reason.

        The epoch and the reason are None if training was not stopped early.
        """
        reasons = {
            EarlyStoppingReason.PATIENCE_EXHAUSTED: f"{self.monitor} has not improved on {float(self.best_score):.4f}"
            f" in {self.wait_count} validations",
            EarlyStoppingReason.STOPPING_THRESHOLD: f"{self.monitor} has reached {self.stopping_threshold}",
            EarlyStoppingReason.NON_FINITE_METRIC: f"{self.monitor} is not finite",
        }
        if self.monitor in DISTANCE_METRICS:
            reasons = {key: text.replace("validations", "measurements") for key, text in reasons.items()}
        epoch = self.stopped_epoch + 1 if self.has_stopped else None
        return {"monitor": self.monitor, "epoch": epoch, "reason": reasons.get(self.stopping_reason)}
