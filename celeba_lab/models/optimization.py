"""Optimizers by their torch name and learning-rate schedules by theirs."""

import math
from collections.abc import Callable, Iterable
from inspect import signature
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from celeba_lab.errors import UserError, did_you_mean


def build_optimizer(name: str, modules: Iterable[nn.Module], lr: float, weight_decay: float) -> Optimizer:
    """Build ``torch.optim.<name>``; weight decay leaves biases and normalisation (tensors of one axis) alone.

    Raises:
        UserError: torch has no such optimizer, it does not suit this network, or lr is not above 0.
    """
    choices = [key for key, value in vars(torch.optim).items() if isinstance(value, type) and value is not Optimizer]
    if name not in choices:
        raise UserError(f"model.optimizer={name} is not in torch.optim.{did_you_mean(name, choices)}")
    if lr <= 0:
        raise UserError(f"model.lr={lr} must be above 0.")
    parameters = [parameter for module in modules for parameter in module.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    build = getattr(torch.optim, name)
    # On a GPU torch picks its fast implementation by itself; on the processor only where it is asked for.
    on_cpu = all(parameter.device.type == "cpu" for parameter in parameters)
    options = {"fused": True} if on_cpu and "fused" in signature(build).parameters else {}
    try:
        return build(groups, lr=lr, **options)
    except ValueError as error:  # LBFGS and Muon want other parameters
        raise UserError(
            f"model.optimizer={name} cannot train this network: {error}. Take AdamW, Adam or SGD."
        ) from error


def build_schedule(name: str, optimizer: Optimizer, total_steps: float, warmup: float) -> LRScheduler | None:
    """Build a schedule that is stepped after every optimizer step.

    Args:
        name: ``constant``, ``one_cycle`` (Smith and Topin, 2019, arXiv:1708.07120) or ``cosine`` (linear warm-up, then
            half a cosine to 0: Loshchilov and Hutter, 2017, arXiv:1608.03983).
        optimizer: its learning rates are the peak of the schedule.
        total_steps: optimizer steps of the whole run; infinite when the run has no end.
        warmup: fraction of ``total_steps`` in which the learning rate rises.

    Raises:
        UserError: the name is unknown, or the run has no end.
    """
    if name not in SCHEDULES:
        raise UserError(
            f"model.schedule={name} is unknown.{did_you_mean(name, SCHEDULES)} There are {', '.join(SCHEDULES)}."
        )
    build = SCHEDULES[name]
    if build is None:
        return None
    if math.isinf(total_steps):
        raise UserError(
            f"model.schedule={name} needs to know when training ends: set trainer.max_epochs or trainer.max_steps,"
            " or take model.schedule=constant."
        )
    return build(optimizer, int(total_steps), warmup)


class _OneCycle(OneCycleLR):
    """torch's one cycle, except that a continued run which is to be longer gets the longer cycle."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the position from the checkpoint and keep the length of this run."""
        length = {"total_steps": self.total_steps, "_schedule_phases": self._schedule_phases}
        super().load_state_dict({**state_dict, **length})


def _one_cycle(optimizer: Optimizer, total_steps: int, warmup: float) -> LRScheduler:
    peaks = [group["lr"] for group in optimizer.param_groups]
    # torch divides by the length of the warm-up minus one step: a run of two or three steps needs another fraction.
    rising = min(max(warmup, 2 / total_steps), 1.0)
    # Momentum is left alone: AdamW's betas stay what they are called in the configuration.
    return _OneCycle(optimizer, peaks, total_steps=total_steps + 1, pct_start=rising, cycle_momentum=False)


def _cosine(optimizer: Optimizer, total_steps: int, warmup: float) -> LRScheduler:
    rising = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, total_steps - rising))))

    return LambdaLR(optimizer, factor)


SCHEDULES: dict[str, Callable[[Optimizer, int, float], LRScheduler] | None] = {
    "constant": None,
    "one_cycle": _one_cycle,
    "cosine": _cosine,
}
