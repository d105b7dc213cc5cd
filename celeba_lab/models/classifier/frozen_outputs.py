"""Outputs of the frozen stages of a network, which are the same in every epoch and therefore computed only once."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from celeba_lab.models.classifier.frozen import FrozenStages

# Largest size of the stored outputs. With freeze=0.23 and 128 x 128 pixels, MobileNetV2 needs 64 KiB for each face.
_MOST_BYTES = 320 * 2**20


class FrozenOutputs:
    """The outputs of frozen stages for training images and for their mirror images, which are kept in memory.

    An output is stored when it is first computed, as long as there is room. The results are the same as if all outputs
    were computed in every epoch, to the last bit.

    Args:
        stages: The frozen stages.
        n_images: Number of training images. If there is room for less than half of their outputs, nothing is stored,
            because that would save little time.

    Attributes:
        count: Number of outputs that are stored.

    Example:
        >>> stages = FrozenStages(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)))
        >>> outputs, images = FrozenOutputs(stages, n_images=10), torch.rand(2, 3, 8, 8)
        >>> outputs(lambda missing: images[missing], torch.tensor([7, 3]), torch.tensor([True, False])).shape
        torch.Size([2, 8, 6, 6])
        >>> outputs.count
        2
    """

    def __init__(self, stages: FrozenStages, n_images: int) -> None:
        self.count = 0
        self._stages = stages
        self._n_images = n_images
        # The output for row r is at place _places[2 r] of _stored, and that for its mirror image at _places[2 r + 1].
        self._places = torch.empty(0, dtype=torch.int64)
        self._stored: Tensor | None = None  # (M, H, W, C), whose pages take memory only once they are written

    @torch.no_grad()
    def __call__(self, read: Callable[[Tensor], Tensor], rows: Tensor, mirrored: Tensor) -> Tensor:
        """Return the outputs for a batch, float (B, C, H, W).

        Args:
            read: Function that returns the images at the given positions of the batch, int64 (M,), as the stages expect
                them, float (M, 3, S, S).
            rows: Row of each image in the dataset, int64 (B,).
            mirrored: Whether each image is mirrored, bool (B,).
        """
        keys = 2 * rows + mirrored
        places = self._find(keys)
        missing = (places < 0).nonzero()[:, 0]
        if self._stored is not None and len(missing) == 0:
            return self._stored.index_select(0, places).permute(0, 3, 1, 2)
        computed = self._compute(read(missing))
        outputs = computed.new_empty(len(keys), *computed.shape[1:])
        outputs[missing] = computed
        if self._stored is not None:
            known = (places >= 0).nonzero()[:, 0]
            outputs[known] = self._stored[places[known]]
        self._store(keys[missing], computed)
        return outputs.permute(0, 3, 1, 2)

    def _find(self, keys: Tensor) -> Tensor:
        """Return the place of each output in ``_stored``, or -1 if it is not stored, int64 (B,)."""
        lacking = int(keys.max()) + 1 - len(self._places)
        if lacking > 0:
            self._places = F.pad(self._places, (0, lacking + len(self._places)), value=-1)
        return self._places[keys]

    def _compute(self, images: Tensor) -> Tensor:
        """Return the outputs, (M, H, W, C). All chunks have the same size, because a kernel could depend on it."""
        lacking = -len(images) % self._stages.CHUNK
        outputs = self._stages(F.pad(images, (0, 0, 0, 0, 0, 0, 0, lacking)))
        return outputs[: len(images)].permute(0, 2, 3, 1)

    def _store(self, keys: Tensor, outputs: Tensor) -> None:
        if self._stored is None:
            capacity = _MOST_BYTES // (outputs[0].numel() * outputs.element_size())
            capacity = min(2 * self._n_images, capacity) if capacity >= self._n_images else 0
            self._stored = outputs.new_empty(capacity, *outputs.shape[1:])
        n = min(len(keys), len(self._stored) - self.count)
        end = self.count + n
        self._stored[self.count : end] = outputs[:n]
        self._places[keys[:n]] = torch.arange(self.count, end)
        self.count = end
