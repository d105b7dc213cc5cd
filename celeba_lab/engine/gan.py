"""Setup specific to GAN training: strategy, precision and labels."""

from collections.abc import Iterable, Sequence
from typing import Any

import lightning as L
from hydra.utils import get_class
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, FSDPStrategy, StrategyRegistry
from omegaconf import DictConfig

from celeba_lab.config import build
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.build import build_trainer, check_precision, count_processes
from celeba_lab.engine.callback_rules import check_callbacks
from celeba_lab.engine.callbacks.distances import DistanceSchedule
from celeba_lab.engine.distances import DistanceSettings, check_monitors
from celeba_lab.errors import SettingError, UserError
from celeba_lab.models.classifier.module import AttributeClassifier
from celeba_lab.models.gan.module import GAN

_SEARCHING = "_find_unused_parameters_true"
_NOT_SEARCHING = "_find_unused_parameters_false"


def strategy_for_two_networks(trainer: DictConfig) -> Any:
    """Return the configured strategy, adapted to training steps that update only one of two networks.

    Without ``find_unused_parameters``, DDP would wait for the gradients of the other network.

    Args:
        trainer: The ``trainer`` group of the configuration.
    """
    strategy = trainer.strategy
    if isinstance(strategy, DictConfig):
        is_ddp = issubclass(get_class(strategy._target_), DDPStrategy)
        return build(strategy, **({"find_unused_parameters": True} if is_ddp else {}))
    if strategy == "auto" and count_processes(trainer) > 1:
        strategy = "ddp"
    searching = f"{str(strategy).removesuffix(_NOT_SEARCHING)}{_SEARCHING}"
    return searching if searching in StrategyRegistry.available_strategies() else strategy


def build_gan_trainer(
    trainer: DictConfig, callbacks: Sequence[Callback] = (), loggers: Iterable[Any] = (), **arguments: Any
) -> L.Trainer:
    """Build a Trainer whose strategy supports two networks; see :func:`~celeba_lab.engine.build.build_trainer`."""
    return build_trainer(trainer, callbacks, loggers, strategy=strategy_for_two_networks(trainer), **arguments)


def check_gan_trainer(
    trainer: L.Trainer, model: GAN, callbacks: DictConfig | None = None, distances: DistanceSettings | None = None
) -> None:
    """Check that a GAN can be trained with the Trainer's settings and with the configured callbacks.

    Args:
        trainer: Trainer that will run the training, without its callbacks.
        model: The GAN.
        callbacks: The ``callbacks`` group of the configuration.
        distances: Settings for the distances between generated and real faces, which a callback can monitor.

    Raises:
        UserError: A setting of the Trainer or a callback is unsuitable for the GAN.
    """
    check_callbacks(callbacks, trainer, "gan")
    check_monitors(callbacks, distances)
    check_precision(trainer)
    precision = str(trainer.precision)
    if precision.startswith("16") and (model.hparams["r1"] or model.hparams["gradient_penalty"]):
        raise UserError(
            f"The precision {precision} cannot be combined with a gradient penalty, because the squared gradients"
            " overflow in float16. Use recipe.precision=bf16-mixed or 32-true, and do not set trainer.precision."
        )
    if isinstance(trainer.strategy, FSDPStrategy | DeepSpeedStrategy):
        raise UserError(
            f"trainer.strategy: {type(trainer.strategy).__name__} supports only one network with one optimizer, but a"
            " GAN has two networks with one optimizer each. Use trainer=ddp."
        )
    for name, unused in (("accumulate_grad_batches", 1), ("gradient_clip_val", None)):
        value = getattr(trainer, name)
        if value not in (unused, 0):
            rule = "is not supported for a GAN, which steps its two optimizers itself"
            raise SettingError(f"trainer.{name}", value, rule, is_absolute=True)


def set_training_data(model: GAN, datamodule: CelebADataModule) -> None:
    """Store the name of the training dataset in a GAN. If the GAN is conditional, also store the training labels."""
    model.trained_on = datamodule.name
    if model.attributes:
        model.training_labels = datamodule.labels(datamodule.split_indices("train"))


def setup_references(datamodule: CelebADataModule, nearest: bool, auditor: AttributeClassifier | None) -> None:
    """Check and index the real faces that are compared with the generated faces.

    Args:
        datamodule: The data.
        nearest: If true, generated faces are compared with their nearest training faces. If there are validation
            faces, they are used to determine which distances are typical.
        auditor: Classifier used to audit the generated and validation faces. If None, no faces are audited.

    Raises:
        UserError: The images cannot be used, or there are no validation images to audit.
    """
    if nearest:
        datamodule.setup_split("train")
    if auditor is not None or (nearest and datamodule.counts["val"]):
        datamodule.setup_split("val")


def set_apart_distances(seconds: dict[str, float], schedule: DistanceSchedule) -> None:
    """Move the time spent measuring distances from ``training`` to ``distances``."""
    if "training" in seconds:
        seconds["distances"] = round(schedule.seconds, 3)
        seconds["training"] = round(seconds["training"] - schedule.seconds, 3)
