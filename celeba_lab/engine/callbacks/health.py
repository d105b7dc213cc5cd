"""Warnings about problems in GAN training."""

from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from celeba_lab.console import console
from celeba_lab.engine.callbacks.images import fixed_samples
from celeba_lab.errors import check_at_least
from celeba_lab.models.gan.module import GAN

# Mean probability above which the discriminator is considered certain that faces are real.
_SURE = 0.99
# Samples are considered nearly identical if their spread is below this fraction of the spread of real faces.
_ALIKE = 0.15
# Identical samples are not reported in the first steps, because an untrained generator produces only grey images.
_FIRST_STEPS = 1000


class Health(Callback):
    """Warn if the discriminator is certain about all faces, or if the generated samples are nearly identical.

    Args:
        patience: Number of consecutive epochs with the same problem after which a warning is printed.

    Attributes:
        warnings: All warnings so far, which are also stored in ``summary.json``.

    Raises:
        SettingError: ``patience`` is below 1.

    Example:
        >>> health = Health(patience=5)
        >>> health.patience, health.warnings
        (5, [])
    """

    def __init__(self, patience: int = 3) -> None:
        check_at_least("patience", patience, 1)
        self.patience = patience
        self.warnings: list[str] = []
        self._streaks: dict[str, int] = {}
        self._real_spread: float | None = None
        self._varied = False  # True once the samples have clearly differed from each other.

    @override
    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Mapping[str, Tensor],
        batch_idx: int,
    ) -> None:
        if self._real_spread is None and isinstance(pl_module, GAN):
            self._real_spread = spread(batch["image"])

    @override
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not isinstance(pl_module, GAN) or not trainer.is_global_zero:
            return
        epoch = trainer.current_epoch + 1
        if not pl_module.adversarial_loss.critic:  # The outputs of a critic are not probabilities.
            self._check_discriminator(pl_module.epoch_means(), epoch)
        self._check_samples(spread(fixed_samples(pl_module)), trainer.global_step, epoch)

    def _check_discriminator(self, means: Mapping[str, float], epoch: int) -> None:
        real, fake = means["D(x)"], means["D(G(z))"]
        for_long = f"for {self.patience} epochs (D(x) {real:.3f}, D(G(z)) {fake:.3f})"
        weaken = "so the generator learns little. Lower model.discriminator_lr, or strengthen model.augment."
        strengthen = "Raise model.discriminator_lr or model.n_disc."
        separates = f"the discriminator has classified nearly every face correctly {for_long}, {weaken}"
        all_real = f"the discriminator has classified nearly every face as real {for_long}. {strengthen}"
        all_generated = f"the discriminator has classified nearly every face as generated {for_long}. {strengthen}"
        all_wrong = f"the discriminator has misclassified nearly every face {for_long}. {strengthen}"
        self._count("separates", _is_real(real) and _is_fake(fake), epoch, separates)
        self._count("all real", _is_real(real) and _is_real(fake), epoch, all_real)
        self._count("all generated", _is_fake(real) and _is_fake(fake), epoch, all_generated)
        self._count("all wrong", _is_fake(real) and _is_real(fake), epoch, all_wrong)

    def _check_samples(self, samples: float, steps: int, epoch: int) -> None:
        alike = self._real_spread is not None and samples < _ALIKE * self._real_spread
        self._varied |= not alike
        self._count(
            "collapsed",
            alike and (self._varied or steps >= _FIRST_STEPS),
            epoch,
            f"the generator has produced nearly identical faces for {self.patience} epochs (standard deviation of"
            f" {samples:.1f} on a scale of 0 to 255, compared with {self._real_spread or 0:.1f} for real faces)."
            " This is mode collapse. Lower model.lr, or use a different loss.",
        )

    def _count(self, name: str, holds: bool, epoch: int, sentence: str) -> None:
        """Count the consecutive epochs in which a condition holds, and warn when the count reaches ``patience``."""
        self._streaks[name] = self._streaks.get(name, 0) + 1 if holds else 0
        if self._streaks[name] == self.patience:
            self.warnings.append(f"epoch {epoch}: {sentence}")
            console.print(f"epoch {epoch}: {sentence}", style="bold yellow")

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            "warnings": self.warnings,
            "streaks": self._streaks,
            "real_spread": self._real_spread,
            "varied": self._varied,
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.warnings = list(map(str, state_dict["warnings"]))
        self._streaks = {name: int(length) for name, length in state_dict["streaks"].items()}
        real = state_dict["real_spread"]
        self._real_spread, self._varied = None if real is None else float(real), bool(state_dict["varied"])


def _is_real(probability: float) -> bool:
    return probability > _SURE


def _is_fake(probability: float) -> bool:
    return probability < 1 - _SURE


def spread(faces: Tensor) -> float:
    """Return the standard deviation across faces, uint8 (N, 3, H, W), averaged over all pixels."""
    return faces.float().std(dim=0, correction=0).mean().item()
