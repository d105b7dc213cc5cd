"""A faster pass through first stages that are frozen."""

import copy

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

_RANDOM = (_DropoutNd, StochasticDepth)


class FrozenStages:
    """Stages without gradients and with fixed statistics, in a form made for inference.

    Each BatchNorm becomes part of the convolution before it. On the processor a few images pass at a time, because the
    first stages' activations of a whole batch do not fit its cache. Both together halve the time of MobileNetV2's stem
    and first three blocks (128 x 128 pixels, 2 cores).

    The stages are copied: later changes of their weights are not seen.

    Args:
        stages: from input to output.
    """

    # Images that pass at a time on the processor.
    _CHUNK = 4

    def __init__(self, stages: nn.Sequential) -> None:
        self._folded = fuse(copy.deepcopy(stages).eval())

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return what the stages return."""
        if images.device.type != "cpu":
            return self._folded(images)
        return torch.cat([self._folded(part) for part in images.split(self._CHUNK)])


def split_frozen(network: nn.Module) -> tuple[FrozenStages, nn.Module] | None:
    """Split a network after its leading frozen stages.

    Args:
        network: one of torchvision's that begins with an ``nn.Sequential`` called ``features``, as most of them do.

    Returns:
        The frozen stages and the rest of the network, which shares its modules; applied one after the other they do
        what the network does. None if there is no such Sequential or its first stage is not frozen.
    """
    stages = getattr(network, "features", None)
    # Only torchvision's: elsewhere something may happen before the features.
    if not isinstance(stages, nn.Sequential) or not type(network).__module__.startswith("torchvision.models."):
        return None
    count = next((k for k, stage in enumerate(stages) if not _is_frozen(stage)), len(stages))
    if count == 0:
        return None
    rest = copy.copy(network)
    rest._modules = {**network._modules, "features": stages[count:]}
    return FrozenStages(stages[:count]), rest


def _is_frozen(stage: nn.Module) -> bool:
    if any(isinstance(module, _RANDOM) and module.p > 0 for module in stage.modules()):
        return False  # in training it does something else than in evaluation
    learns = any(parameter.requires_grad for parameter in stage.parameters())
    holds_state = (module for module in stage.modules() if any(True for _ in module.buffers(recurse=False)))
    return not learns and not any(module.training for module in holds_state)
