"""Damaged images give one sentence, and a damaged PNG is never accepted with other pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeba_lab.data.images import decode_image
from celeba_lab.errors import UserError

KINDS = ["RGB PNG", "RGBA PNG", "grey PNG", "palette PNG", "JPEG", "WebP", "BMP", "GIF", "TIFF"]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_damaged_image_is_rejected_or_decoded(kind, data, damaged, pictures) -> None:
    content = data.draw(damaged(pictures[kind]))
    try:
        pixels = decode_image(content, "photo.jpg", max_pixels=10_000)
    except UserError as error:
        assert "photo.jpg" in str(error)
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    # The checksums of a PNG cover all of its pixels. The other formats have no checksums.
    if "PNG" in kind and content.startswith(b"\x89PNG"):
        assert np.array_equal(pixels, decode_image(pictures[kind], "photo.jpg", max_pixels=10_000))
