"""Exponential moving average of a network's weights during training."""

from dataclasses import dataclass

import torch
from torch import Tensor

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
