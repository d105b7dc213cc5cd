"""Each attribute changes a portrait in the right place and nowhere else."""

import numpy as np
import pytest

from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.images import decode_image
from celeba_lab.data.synthetic.portrait import draw_portrait, encode_portrait

WOMAN = frozenset({"Brown_Hair", "No_Beard", "Young", "Attractive"})
MAN = WOMAN | {"Male"}
# Regions of the portrait, as slices of rows and columns.
FOREHEAD, EYES, MOUTH, NECK = (slice(0, 75),), (slice(100, 122),), (slice(140, 172), slice(55, 122)), (slice(195, 218),)


def change(attribute: str, seed: int, base: frozenset[str] = WOMAN) -> np.ndarray:
    """Return how much an attribute changes each pixel, (218, 178), from 0 to 255."""
    without = draw_portrait(base - {attribute}, seed).astype(int)
    return np.abs(draw_portrait(base | {attribute}, seed).astype(int) - without).max(axis=2)


def test_the_same_seed_draws_the_same_portrait() -> None:
    first = draw_portrait(WOMAN, 1, 2)
    assert first.shape == (218, 178, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, draw_portrait(WOMAN, 1, 2))
    assert not np.array_equal(first, draw_portrait(WOMAN, 2, 1))


@pytest.mark.parametrize("attribute", [name for name in ATTRIBUTES if name != "Attractive"])
def test_every_attribute_changes_the_portrait(attribute: str) -> None:
    changed = [(change(attribute, seed, base) > 12).sum() for seed in range(2) for base in (WOMAN, MAN)]
    assert np.mean(changed) > 40, changed  # Number of changed pixels. A beard may hide a necktie.


def test_attractive_is_not_drawn() -> None:
    assert change("Attractive", 0).max() == 0


@pytest.mark.parametrize(
    ("attribute", "inside", "outside"),
    [
        ("Smiling", MOUTH, FOREHEAD),
        ("Mouth_Slightly_Open", MOUTH, EYES),
        ("Wearing_Lipstick", MOUTH, FOREHEAD),
        ("Narrow_Eyes", EYES, MOUTH),
        ("Bangs", FOREHEAD, MOUTH),
        ("Wearing_Necklace", NECK, EYES),
        ("Wearing_Necktie", NECK, FOREHEAD),
        ("Wearing_Hat", FOREHEAD, MOUTH),
    ],
)
def test_each_attribute_changes_only_its_own_region(attribute: str, inside: tuple, outside: tuple) -> None:
    changes = np.mean([change(attribute, seed) for seed in range(8)], axis=0)
    assert changes[inside].max() > 20
    assert changes[outside].max() < 1


def test_portraits_with_the_same_attributes_differ_between_seeds() -> None:
    portraits = np.stack([draw_portrait(WOMAN, seed).astype(float) for seed in range(12)])
    assert portraits.std(axis=0).min() > 4  # Every pixel differs between people.


def test_portraits_are_encoded_as_jpeg() -> None:
    portrait = draw_portrait(MAN, 5)
    decoded = decode_image(encode_portrait(portrait, 5), "portrait", 10**6)
    assert np.abs(decoded.astype(int) - portrait).mean() < 8
    sizes = {len(encode_portrait(portrait, seed)) for seed in range(8)}
    assert len(sizes) > 4  # The JPEG quality varies.
