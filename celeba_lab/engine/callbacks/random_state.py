"""A callback that restores the random state of a continued run."""

import random
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from celeba_lab.errors import UserError

OTHERS = "other_processes"
"""Key of the states of all processes but the first in the state of a :class:`RandomState`."""


class RandomState(Callback):
    """Store the random state in checkpoints, so that a continued run gives the same results as an uninterrupted one.

    Each process of a distributed run has its own torch random number generator, seeded from the common seed and the
    rank of the process. A checkpoint contains the states of all processes, so a run can only be continued with the same
    number of processes.

    Example:
        >>> sorted(RandomState().state_dict())
        ['accelerator', 'numpy', 'python', 'torch']
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None
        self._device = torch.device("cpu")
        self._processes, self._rank = 1, 0

    @override
    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._device = trainer.strategy.root_device
        self._processes, self._rank = trainer.world_size, trainer.global_rank

    @override
    def state_dict(self) -> dict[str, Any]:
        own = self._own_state()
        if self._processes == 1:
            return own
        # Lightning calls this method in all processes, and saves what the first process returns.
        states: list[Any] = [None] * self._processes
        torch.distributed.all_gather_object(states, own)
        return {**own, OTHERS: states[1:]}

    def _own_state(self) -> dict[str, Any]:
        # Only plain types are used, because checkpoints are loaded with weights_only=True.
        name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  # Libraries use this state.
        kind = self._device.type
        own = None if kind == "cpu" else torch.get_device_module(self._device).get_rng_state()
        return {
            "python": random.getstate(),
            "numpy": (str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)),
            "torch": torch.get_rng_state(),
            "accelerator": {"kind": kind, "state": own},
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        states = [state_dict, *state_dict.get(OTHERS, [])]
        for state in states:
            _check(state)
        if len(states) != self._processes:
            saved, used = _count(len(states)), _count(self._processes)
            raise UserError(
                f"The checkpoint was saved by {saved}, but this run uses {used}. Use as many processes as before, or"
                " start a new run."
            )
        # The state is restored only when training starts, because setting up the run also draws random numbers.
        self._loaded = states[self._rank]

    @override
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._loaded is not None:
            self._restore(self._loaded)
            self._loaded = None
        elif trainer.global_rank > 0:
            torch.manual_seed(int(torch.randint(2**62, ())) + trainer.global_rank)

    @override
    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._loaded is not None:  # The resumed run had no epoch left to train.
            self._restore(self._loaded)
            self._loaded = None

    def _restore(self, states: dict[str, Any]) -> None:
        random.setstate(_python_state(states))
        np.random.set_state(_numpy_state(states))  # noqa: NPY002  # Libraries use this state.
        torch.set_rng_state(states["torch"].cpu())
        accelerator = states["accelerator"]
        if accelerator["state"] is not None and accelerator["kind"] == self._device.type:
            torch.get_device_module(self._device).set_rng_state(accelerator["state"].cpu())


def _count(processes: int) -> str:
    return f"{processes} process{'' if processes == 1 else 'es'}"


def _python_state(states: dict[str, Any]) -> tuple[Any, ...]:
    version, internal, gauss = states["python"]
    return version, tuple(internal), gauss


def _numpy_state(states: dict[str, Any]) -> tuple[Any, ...]:
    name, keys, *rest = states["numpy"]
    return name, np.array(keys, dtype=np.uint32), *rest


def _check(states: dict[str, Any]) -> None:
    """Restore generators that are not used, so that an invalid state raises an exception before the run starts."""
    random.Random().setstate(_python_state(states))
    np.random.RandomState().set_state(_numpy_state(states))
    torch.Generator().set_state(states["torch"].cpu())
    accelerator = states["accelerator"]
    if accelerator["state"] is not None and accelerator["state"].dtype != torch.uint8:
        raise TypeError("the random state of the accelerator is not a sequence of bytes")
