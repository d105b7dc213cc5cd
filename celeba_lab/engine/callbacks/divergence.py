"""Stop a run that has diverged."""

import math
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from celeba_lab.errors import check_at_least
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.divergence import divergence_error
from celeba_lab.models.gan.module import GAN


class TerminateOnNaN(Callback):
    """Stop training when a loss or a weight is no longer finite, before the last checkpoint is overwritten.

    The losses are not checked at every step, because each check synchronises with the device. The weights are checked
    whenever a checkpoint is saved.

    Args:
        check_every_n_steps: Number of training batches between loss checks. The losses are also checked at the
            end of each epoch.

    Raises:
        SettingError: ``check_every_n_steps`` is below 1.
        DivergenceError: A loss or a weight became NaN or infinite during training.

    Example:
        >>> TerminateOnNaN(check_every_n_steps=50).check_every_n_steps
        50
        >>> TerminateOnNaN(check_every_n_steps=0)
        Traceback (most recent call last):
        ...
        celeba_lab.errors.SettingError: check_every_n_steps=0 must be at least 1.
    """

    def __init__(self, check_every_n_steps: int = 100) -> None:
        check_at_least("check_every_n_steps", check_every_n_steps, 1)
        self.check_every_n_steps = check_every_n_steps
        self._constants: set[str] = set()

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # A backbone may have buffers that contain infinity, such as attention masks.
        buffers = {name: buffer for name, buffer in pl_module.named_buffers() if buffer.is_floating_point()}
        self._constants = set(non_finite(buffers))

    @override
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        is_due = (batch_idx + 1) % self.check_every_n_steps == 0 or trainer.is_last_batch
        if not is_due or not isinstance(pl_module, AttributeClassifier | GAN):
            return
        losses = [name for name, value in pl_module.running_losses().items() if not math.isfinite(value)]
        # All processes must stop at the same step, even if only one of them has a non-finite loss.
        if trainer.strategy.reduce_boolean_decision(bool(losses), all=False):
            raise divergence_error(pl_module, losses or ["loss in another process"])

    @override
    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        for key in ("state_dict", "current_model_state"):  # Checkpoints with a moving average have both keys.
            if set(non_finite(checkpoint.get(key, {}))) - self._constants:
                raise divergence_error(pl_module, ["weights"])


def non_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that contain NaN or infinity.

    Example:
        >>> import torch
        >>> non_finite({"weight": torch.tensor([1.0, float("nan")]), "bias": torch.zeros(1)})
        ['weight']
    """
    return [name for name, value in state.items() if isinstance(value, Tensor) and not value.isfinite().all()]
