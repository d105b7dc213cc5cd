"""What the training of a GAN needs: its strategy, its precision, its labels."""

from typing import Any

import lightning as L
from hydra.utils import get_class
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, FSDPStrategy, StrategyRegistry
from omegaconf import DictConfig

from celeba_lab.config import build
from celeba_lab.data.datamodule import CelebADataModule
from celeba_lab.engine.build import count_processes
from celeba_lab.engine.distances import DistanceSchedule
from celeba_lab.errors import UserError
from celeba_lab.models.gan.module import GAN

_SEARCHING = "_find_unused_parameters_true"
_NOT_SEARCHING = "_find_unused_parameters_false"


def strategy_for_two_networks(trainer: DictConfig) -> Any:
    """Return the configured strategy, as it is needed when each step trains only one of two networks.

    Without ``find_unused_parameters``, DDP would wait for the gradients of the other network.

    Args:
        trainer: The group ``trainer`` of the configuration.
    """
    strategy = trainer.strategy
    if isinstance(strategy, DictConfig):
        is_ddp = issubclass(get_class(strategy._target_), DDPStrategy)
        return build(strategy, **({"find_unused_parameters": True} if is_ddp else {}))
    if strategy == "auto" and count_processes(trainer) > 1:
        strategy = "ddp"
    searching = f"{str(strategy).removesuffix(_NOT_SEARCHING)}{_SEARCHING}"
    return searching if searching in StrategyRegistry.available_strategies() else strategy


def check_gan_trainer(trainer: L.Trainer, model: GAN) -> None:
    """Check that a GAN can be trained with this precision and strategy.

    Raises:
        UserError: It cannot.
    """
    precision = str(trainer.precision)
    if precision in ("16-true", "bf16-true"):
        raise UserError(
            f"recipe.precision={precision} has too few digits for the small steps of a GAN and for the average of its"
            f" weights. Take recipe.precision={precision.removesuffix('-true')}-mixed or 32-true."
        )
    if precision.startswith("16") and (model.hparams["r1"] or model.hparams["gradient_penalty"]):
        raise UserError(
            f"recipe.precision={precision} and a gradient penalty contradict each other: the squares of the penalty"
            " overflow in float16. Take recipe.precision=bf16-mixed or 32-true."
        )
    if isinstance(trainer.strategy, FSDPStrategy | DeepSpeedStrategy):
        raise UserError(
            f"trainer.strategy: {type(trainer.strategy).__name__} distributes one network with one optimizer, and a GAN"
            " has two of each. Take trainer=ddp."
        )


def set_training_data(model: GAN, datamodule: CelebADataModule) -> None:
    """Record in a GAN which data it is trained on, and in a conditional one also the labels that it samples from."""
    model.trained_on = datamodule.name
    if model.attributes:
        model.training_labels = datamodule.labels(datamodule.split_indices("train"))


def set_apart_distances(seconds: dict[str, float], schedule: DistanceSchedule) -> None:
    """Count the seconds in which distances were measured between the epochs as ``distances``, not as ``training``."""
    if "training" in seconds:
        seconds["distances"] = round(schedule.seconds, 3)
        seconds["training"] = round(seconds["training"] - schedule.seconds, 3)
