"""The batch format shared by the data loaders and the models."""

from typing import NotRequired, TypedDict

from torch import Tensor


class Batch(TypedDict):
    """A batch of B faces, as yielded by all loaders in this package.

    Pixels remain uint8 until they are on the device, where the model normalises them. Models loaded from
    checkpoints therefore accept raw pixels. Labels are validated when the annotation table is read, and pixels when an
    image is decoded.

    A training batch contains ``batch_size`` faces, unless the entire split is smaller. The last evaluation batch may
    also be smaller.

    Attributes:
        image: RGB images with values from 0 (black) to 255 (full intensity), uint8 (B, 3, S, S). Each image is resized
            to S x S pixels with antialiased bilinear interpolation. The aspect ratio is not preserved.
        label: Labels, 0 (absent) or 1 (present), with columns in the order of the data module's ``attributes``, uint8
            (B, K). Omitted for image files without annotations, as in ``task=predict``.
        index: Row of each face in the annotations, or its position in the list of image files, int64 (B,).
    """

    image: Tensor
    label: NotRequired[Tensor]
    index: Tensor
