"""Faster inference: batch normalisation folded into convolutions, and small parts of a batch in several threads."""

import copy
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.modules.batchnorm import _BatchNorm

from celeba_lab.data.threads import use_one_thread

FEWEST_IMAGES = 256
"""Smallest number of images for which preparing a network takes less time than it saves."""

# Maximum number of images that a thread processes at a time on the CPU. With more images, the activations do not fit
# into the cache. With fewer, a larger part of the time is spent on starting operations.
_CHUNK = 16
# Largest accepted relative difference between the outputs of a network and of its folded copy. Rounding causes
# differences of about 1e-6 on the CPU, and of about 1e-3 on GPUs that compute convolutions in TensorFloat-32.
_LARGEST_DIFFERENCE = {"cpu": 1e-5}
_LARGEST_DIFFERENCE_ON_GPU = 1e-2

Function = Callable[[Tensor], Tensor]


class Inference:
    """A copy of a network that computes the same output faster. The network itself is not changed.

    Each batch normalisation layer is folded into the preceding convolution. On the CPU, the images of a batch are
    divided into chunks whose activations fit into the cache. Each thread processes its own chunks. This is faster than
    dividing every layer among the threads, because the threads do not wait for each other after every layer.

    A network that cannot be traced is folded as far as its parts can be traced. If the outputs for ``example`` differ,
    the network is not folded.

    The copy must not be used after the weights of the network have been changed.

    Args:
        network: Network in evaluation mode.
        example: Two or more images, a valid argument of the network on its device.

    Attributes:
        network: The folded network.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1)).eval()
        >>> images = torch.randn(40, 3, 16, 16)
        >>> inference = Inference(network, images[:2])
        >>> torch.allclose(inference.map(inference.network, images), network(images), atol=1e-5)
        True
        >>> inference.close()
    """

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        self._threads = _count_threads() if example.device.type == "cpu" else 1
        self._pool: ThreadPoolExecutor | None = None
        if self._threads > 1:
            self._pool = ThreadPoolExecutor(self._threads, "inference", initializer=use_one_thread)
            self.network = self._pool.submit(_fold_if_equal, network, example).result()
        else:
            self.network = _fold_if_equal(network, example)

    def map(self, function: Function, images: Tensor) -> Tensor:
        """Return the outputs of a function for a batch, without gradients.

        Args:
            function: Function that computes one row of its output for each image.
            images: Images, (B, ...).
        """
        mode = _Mode.current()
        if images.device.type != "cpu":
            return mode.run(function, images)
        # Every thread should process the same number of images.
        count = self._threads * math.ceil(len(images) / (self._threads * _CHUNK))
        chunks = [chunk for chunk in images.tensor_split(count) if len(chunk)]
        apply = map if self._pool is None else self._pool.map
        return torch.cat(list(apply(partial(mode.run, function), chunks)))

    def close(self) -> None:
        """End the threads, if any have been started."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


@dataclass(frozen=True)
class _Mode:
    """Settings of PyTorch in the calling thread, which other threads do not inherit."""

    is_inference: bool
    autocast: bool
    dtype: torch.dtype

    @classmethod
    def current(cls) -> "_Mode":
        enabled, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
        return cls(torch.is_inference_mode_enabled(), enabled, dtype)

    def run(self, function: Function, images: Tensor) -> Tensor:
        # Results of inference mode cannot be changed outside this mode, so it is used only if the caller uses it.
        gradients = torch.inference_mode() if self.is_inference else torch.no_grad()
        with gradients, torch.autocast("cpu", self.dtype, enabled=self.autocast):
            return function(images)


def _count_threads() -> int:
    return torch.get_num_threads()


def _fold_if_equal(network: nn.Module, example: Tensor) -> nn.Module:
    """Return a folded copy of a network, or the network itself if the copy does not compute the same output."""
    if any(parameter.dtype not in (torch.float32, torch.float64) for parameter in network.parameters()):
        return network  # Folding would round the weights once more.
    limit = _LARGEST_DIFFERENCE.get(example.device.type, _LARGEST_DIFFERENCE_ON_GPU)
    # A user's network can raise any exception if it is copied, and it may draw random numbers.
    with suppress(Exception), torch.random.fork_rng(devices=[]), torch.no_grad():
        folded = fold_batch_norm(network)
        if folded is network:
            return network
        expected, found = network(example), folded(example)
        if (found - expected).norm() <= limit * expected.norm():
            return folded
    return network


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Return a copy of a network, in which batch normalisation layers are folded into the preceding convolutions.

    All other layers are shared with the network. A module that :mod:`torch.fx` cannot trace is copied, and its children
    are folded instead. A network without batch normalisation is returned unchanged.

    Args:
        network: Network in evaluation mode.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
        >>> [type(layer).__name__ for layer in fold_batch_norm(network).children()]
        ['Conv2d', 'ReLU']
    """
    modules = list(network.modules())
    if not any(isinstance(module, _BatchNorm) for module in modules):
        return network
    # A hook would no longer be called, or would be called for a layer of the copy.
    if not any(module._forward_hooks or module._forward_pre_hooks for module in modules):
        with suppress(Exception):  # The code of a user's network can raise any exception if it is traced.
            return fuse(fx.symbolic_trace(network), inplace=True, no_trace=True)
    copied = copy.copy(network)
    copied._modules = {name: child and fold_batch_norm(child) for name, child in network._modules.items()}
    return copied
