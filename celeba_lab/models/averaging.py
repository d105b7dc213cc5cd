"""Averages of a network's weights during training."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from typing_extensions import override

Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class MovingAverage:
    """Exponential moving average with decay warm-up, for ``torch.optim.swa_utils.AveragedModel``.

    After n updates, the effective decay is min(decay, (1 + n) / (10 + n)), as in TensorFlow's
    ``ExponentialMovingAverage``. The random initial weights therefore soon lose their influence. Integer tensors, such
    as ``num_batches_tracked`` of batch normalisation, are copied.

    Args:
        decay: Maximum decay, from 0 to 1. With a decay of 0.99, the average covers about the last hundred updates.

    Example:
        >>> from torch.optim.swa_utils import AveragedModel
        >>> network = torch.nn.Linear(1, 1, bias=False)
        >>> average = AveragedModel(network, multi_avg_fn=MovingAverage(decay=0.99))
        >>> for weight in (1.0, 2.0):
        ...     network.weight.data.fill_(weight)
        ...     average.update_parameters(network)
        tensor([[1.]])
        tensor([[2.]])
        >>> print(f"{average.module.weight.item():.4f}")  # 2/11 * 1 + 9/11 * 2
        1.8182
    """

    decay: float

    @torch.no_grad()
    def __call__(self, averages: Tensors, currents: Tensors, count: Tensor | int) -> None:
        """Update the averages in place. All tensors must have the same data type.

        Args:
            averages: Current averages.
            currents: Current values in the same order.
            count: Number of updates so far.
        """
        if not averages[0].is_floating_point():
            torch._foreach_copy_(averages, currents)
            return
        n = int(count)
        torch._foreach_lerp_(averages, currents, 1 - min(self.decay, (1 + n) / (10 + n)))


class AveragedWeights(AveragedModel):
    """torch's ``AveragedModel``, except that an update neither searches for the tensors nor waits for a GPU.

    The state dict is the same.

    Args:
        model: Network whose weights are averaged. It is copied.
        device: Device of the average. Default: that of each weight.
        multi_avg_fn: Function that updates a list of averages in place, given the current values and the number of
            updates so far.
        use_buffers: If true, buffers are averaged as well. If false, they are copied.

    Example:
        >>> network = nn.Linear(1, 1, bias=False)
        >>> average = AveragedWeights(network, multi_avg_fn=MovingAverage(0.9))
        >>> average.update_parameters(network)
        >>> average.state_dict().keys()
        odict_keys(['n_averaged', 'module.weight'])
    """

    # Both are determined again when they are needed. They are neither copied nor saved.
    _count: int | None = None  # Value of n_averaged, which is on the device.
    _places: list[list["_Place"]] | None = None

    def __init__(
        self,
        model: nn.Module,
        device: torch.device | int | None = None,
        *,
        multi_avg_fn: Callable[[Tensors, Tensors, Tensor | int], None],
        use_buffers: bool = False,
    ) -> None:
        super().__init__(model, device, multi_avg_fn=multi_avg_fn, use_buffers=use_buffers)
        self._update = multi_avg_fn
        self._model: nn.Module | None = None

    @torch.no_grad()
    @override
    def update_parameters(self, model: nn.Module) -> None:
        """Update the average with the current weights of a network. The first update copies them."""
        if self._count is None:
            self._count = int(self.n_averaged)
        if self._places is None or self.__dict__["_model"] is not model:
            self.__dict__["_model"] = model  # It must not become a submodule.
            self._places = _find_places(self.module, model)
        for places in self._places:
            averages, currents = ([place.read(k) for place in places] for k in range(2))
            if self._count == 0 or (places[0].is_buffer and not self.use_buffers):
                torch._foreach_copy_(averages, currents)
            else:
                self._update(averages, currents, self._count)
        self.n_averaged += 1
        self._count += 1

    def restart(self) -> None:
        """Let the next update copy the weights, like the first one."""
        self.n_averaged.zero_()
        self._count = 0

    @override
    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._count = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy, without references to the other network."""
        hidden = ("_places", "_count", "_model")
        return {name: value for name, value in self.__dict__.items() if name not in hidden} | {"_model": None}


@dataclass(frozen=True)
class _Place:
    """Where an average and its current value are found, also after the tensors were moved to another device."""

    owners: tuple[dict[str, Tensor | None], dict[str, Tensor | None]]
    name: str
    is_buffer: bool

    def read(self, which: int) -> Tensor:
        tensor = self.owners[which][self.name]
        assert tensor is not None
        return tensor


def _find_places(average: nn.Module, model: nn.Module) -> list[list[_Place]]:
    """Return the places of all parameters and buffers, in one list for each kind, type and device."""
    groups = defaultdict(list)
    for (own, name, is_buffer), (other, _, _) in zip(_owners(average), _owners(model), strict=True):
        place = _Place((own, other), name, is_buffer)
        groups[is_buffer, place.read(0).dtype, place.read(0).device].append(place)
    return list(groups.values())


def _owners(network: nn.Module) -> Iterator[tuple[dict[str, Any], str, bool]]:
    """Yield the dictionary that contains each parameter or buffer, its name there, and whether it is a buffer.

    Tensors that modules share occur once.
    """
    seen: set[int] = set()
    for module in network.modules():
        for owner, is_buffer in ((module._parameters, False), (module._buffers, True)):
            for name, tensor in owner.items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield owner, name, is_buffer
