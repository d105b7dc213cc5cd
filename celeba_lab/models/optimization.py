"""Optimizers and learning-rate schedules, built by name."""

import math
from collections.abc import Callable, Iterable, Sequence
from inspect import signature
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from typing_extensions import override

from celeba_lab.errors import SettingError, check_above, check_choice, did_you_mean
from celeba_lab.models.checkpoint_format import is_count

IMPLEMENTATIONS = ("fused", "foreach")
"""Settings of an optimizer that only select an implementation."""


def check_optimizer(name: str) -> None:
    """Check the name of an optimizer.

    Raises:
        SettingError: The optimizer is unknown.
    """
    choices = [key for key, value in vars(torch.optim).items() if isinstance(value, type) and value is not Optimizer]
    if name not in choices:
        raise SettingError("optimizer", name, "is not an optimizer in torch.optim", did_you_mean(name, choices))


def check_betas(setting: str, betas: Sequence[float] | None) -> None:
    """Check the betas of Adam. ``None`` is also valid.

    Raises:
        SettingError: ``betas`` is not a pair of numbers in [0, 1).
    """
    if betas is not None and (len(betas) != 2 or not all(0 <= beta < 1 for beta in betas)):
        raise SettingError(setting, betas, "must be two numbers that are at least 0 and below 1")


def describe_parameters(module: nn.Module) -> str:
    """Return the number of parameters as text, including the number of trainable parameters if any are frozen.

    Example:
        >>> describe_parameters(nn.Linear(999, 1000))
        '1.0 million parameters'
    """
    total = sum(parameter.numel() for parameter in module.parameters())
    trained = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    frozen = "" if trained == total else f" ({_in_words(trained)} trainable)"
    return f"{_in_words(total)} parameters{frozen}"


def _in_words(count: int) -> str:
    return f"{count / 1e6:.1f} million" if count >= 1e5 else f"{count:,}"


# Types of devices on which all parameters are updated by a single kernel if the optimizer supports it.
_FUSED_ON = ("cpu", "cuda")


def build_optimizer(
    name: str, modules: Iterable[nn.Module], lr: float, weight_decay: float, allow_fused: bool = True
) -> Optimizer:
    """Build an optimizer that does not apply weight decay to biases and normalisation parameters.

    On the CPU and on NVIDIA and AMD GPUs, torch's fused implementation is used if the optimizer has one. A restored
    state never changes the implementation, so a run can be resumed on another device.

    Args:
        name: Name of an optimizer in ``torch.optim``.
        modules: Modules whose parameters are optimised.
        lr: Learning rate.
        weight_decay: Weight decay for parameters with two or more dimensions.
        allow_fused: If false, the fused implementation is not used; see :func:`allows_fused`.

    Raises:
        SettingError: The optimizer is unknown or cannot train this network, or the learning rate is not above 0.

    Example:
        >>> optimizer = build_optimizer("AdamW", [nn.Linear(3, 1)], lr=1e-3, weight_decay=0.1)
        >>> [group["weight_decay"] for group in optimizer.param_groups]
        [0.1, 0.0]
    """
    check_optimizer(name)
    check_above("lr", lr, 0)
    parameters = [parameter for module in modules for parameter in module.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    build: Callable[..., Optimizer] = getattr(torch.optim, name)
    options = {"fused": True} if allow_fused and _can_be_fused(build, parameters) else {}
    try:
        optimizer = build(groups, lr=lr, **options)
    except ValueError as error:  # LBFGS and Muon do not accept these parameter groups
        rule = f"cannot train this network ({str(error).rstrip('.')})"
        raise SettingError("optimizer", name, rule, "Use AdamW, Adam or SGD.") from error
    optimizer.register_load_state_dict_pre_hook(_keep_implementation)
    return optimizer


def allows_fused(trainer: L.Trainer) -> bool:
    """Return whether a Trainer can use fused optimizers.

    In float16, they divide the gradients by the scale of the loss themselves, which is too late for gradient clipping.
    """
    is_scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
    return not (is_scaled and trainer.gradient_clip_val)


def _can_be_fused(build: Callable[..., Optimizer], parameters: Iterable[Tensor]) -> bool:
    devices = {parameter.device.type for parameter in parameters}
    return len(devices) == 1 and devices <= set(_FUSED_ON) and "fused" in signature(build).parameters


def _keep_implementation(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Replace the implementation in a saved state, which was chosen for another device, by that of the optimizer.

    It also determines on which device torch restores the number of steps.
    """
    own = {name: optimizer.defaults[name] for name in IMPLEMENTATIONS if name in optimizer.defaults}
    return {**state, "param_groups": [{**group, **own} for group in state["param_groups"]]}


def count_steps(trainer: L.Trainer) -> float:
    """Return the number of optimizer steps in a whole run, or infinity if the run has no fixed end.

    In contrast to Lightning's estimate, it takes into account that a callback can change the number of batches per step
    from epoch to epoch.
    """
    steps: float = trainer.estimated_stepping_batches
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    found = next((each for each in callbacks if isinstance(each, GradientAccumulationScheduler)), None)
    if found is None or math.isinf(steps):
        return steps
    batches, epochs = trainer.num_training_batches, max(trainer.max_epochs or 1, 1)
    total = sum(math.ceil(batches / found.get_accumulate_grad_batches(epoch)) for epoch in range(epochs))
    return total if trainer.max_steps == -1 else min(total, trainer.max_steps)


def build_schedule(name: str, optimizer: Optimizer, total_steps: float, warmup: float) -> LRScheduler | None:
    """Build a learning-rate schedule that is stepped after every optimizer step.

    Args:
        name: Name of the schedule: ``constant``, ``one_cycle`` or ``cosine``. The schedule ``one_cycle`` follows Smith
            and Topin (2019, arXiv:1708.07120). The schedule ``cosine`` is a linear warm-up followed by cosine decay to
            0 (Loshchilov and Hutter, 2017, arXiv:1608.03983).
        optimizer: Optimizer whose learning rate is the peak of the schedule.
        total_steps: Number of optimizer steps in the whole run, or infinity if the run has no fixed end.
        warmup: Fraction of the steps during which the learning rate increases.

    Returns:
        The schedule, or None for a constant learning rate.

    Raises:
        SettingError: The name is unknown, or the schedule requires the number of steps but the run has no fixed end.

    Example:
        >>> optimizer = build_optimizer("SGD", [nn.Linear(1, 1)], lr=0.1, weight_decay=0.0)
        >>> schedule = build_schedule("cosine", optimizer, total_steps=10, warmup=0.2)
        >>> rates = []
        >>> for _ in range(10):
        ...     rates.append(round(optimizer.param_groups[0]["lr"], 4))
        ...     optimizer.step()
        ...     schedule.step()
        >>> rates
        [0.0333, 0.0667, 0.1, 0.0962, 0.0854, 0.0691, 0.05, 0.0309, 0.0146, 0.0038]
    """
    check_choice("schedule", name, SCHEDULES)
    build = SCHEDULES[name]
    if build is None:
        return None
    if math.isinf(total_steps):
        hint = "Limit the number of epochs or steps, or use the constant schedule."
        raise SettingError("schedule", name, "requires a fixed number of steps", hint)
    return build(optimizer, int(total_steps), warmup)


class _OneCycle(OneCycleLR):
    """torch's one-cycle schedule, except that a run resumed with more steps follows the longer cycle."""

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for group in self.optimizer.param_groups:  # Its groups were restored from the same checkpoint.
            if missing := {"initial_lr", "max_lr", "min_lr"} - group.keys():
                raise ValueError(f"an optimizer lacks {', '.join(sorted(missing))}")
        _restore_position(self, state_dict)


class _Factor(LambdaLR):
    """torch's schedule that multiplies the learning rate by a factor."""

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _restore_position(self, state_dict)


def _restore_position(schedule: LRScheduler, state: dict[str, Any]) -> None:
    """Restore the position in a schedule from a checkpoint, but keep the length and the form of this run's schedule.

    torch would replace any attribute of the schedule, including its methods.

    Raises:
        ValueError: The state does not contain a position.
    """
    names, n = ("last_epoch", "_step_count", "base_lrs", "_last_lr"), len(schedule.optimizer.param_groups)
    last, count, *rates = (state[name] for name in names)
    if not is_count(last) or not is_count(count) or not all(len(values) == n for values in rates):
        raise ValueError("the position in the learning-rate schedule is not a number of steps")
    if not all(math.isfinite(rate) for values in rates for rate in values):
        raise ValueError("a learning rate of the schedule is not finite")
    vars(schedule).update({name: state[name] for name in names})


def _one_cycle(optimizer: Optimizer, total_steps: int, warmup: float) -> LRScheduler:
    peaks = [group["lr"] for group in optimizer.param_groups]
    # torch divides by the number of warm-up steps minus one, so a run of only a few steps needs a larger warm-up
    # fraction.
    rising = min(max(warmup, 2 / total_steps), 1.0)
    # Momentum is not cycled, so that AdamW keeps its configured betas.
    return _OneCycle(optimizer, peaks, total_steps=total_steps + 1, pct_start=rising, cycle_momentum=False)


def _cosine(optimizer: Optimizer, total_steps: int, warmup: float) -> LRScheduler:
    rising = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, total_steps - rising))))

    return _Factor(optimizer, factor)


SCHEDULES: dict[str, Callable[[Optimizer, int, float], LRScheduler] | None] = {
    "constant": None,
    "one_cycle": _one_cycle,
    "cosine": _cosine,
}
