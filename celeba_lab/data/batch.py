"""What a model is given: the contract between the data and the models."""

from typing import NotRequired, TypedDict

from torch import Tensor


class Batch(TypedDict):
    """B faces, as every loader of this package gives them to a model.

    Pixels stay uint8 until they are on the device, where the model itself normalises them; so a checkpoint needs
    nothing but raw pixels. The values are checked where they enter: labels when the annotation table is read, pixels
    when an image is decoded.

    A training batch has exactly ``batch_size`` faces; the last batch of a split in evaluation may be smaller.

    Attributes:
        image: uint8 (B, 3, S, S), channels R, G, B, intensities from 0 (black) to 255 (full intensity). The whole
            image is resized to a square of S x S pixels, bilinear and antialiased; the aspect ratio is not kept.
        label: uint8 (B, K), 0 (absent) or 1 (present), columns in the order of the data module's ``attributes``.
            Missing for image files without annotations, as in ``task=predict``.
        index: int64 (B,), which face each row is: the row of the annotations, or the position in the list of image
            files.
    """

    image: Tensor
    label: NotRequired[Tensor]
    index: Tensor
