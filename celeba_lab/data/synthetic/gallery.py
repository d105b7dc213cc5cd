"""Pairs of portraits that show the same person without and with an attribute."""

import numpy as np

from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.synthetic.portrait import draw_portrait

_WOMAN = frozenset({"Brown_Hair", "No_Beard", "Young"})
_MAN = _WOMAN | {"Male"}
# These attributes are drawn on men, because they mostly occur in men.
_ON_MEN = {
    *("5_o_Clock_Shadow", "Goatee", "Mustache", "No_Beard", "Sideburns"),
    *("Bald", "Gray_Hair", "Receding_Hairline", "Wearing_Hat", "Wearing_Necktie"),
    *("Bags_Under_Eyes", "Big_Nose", "Bushy_Eyebrows", "Double_Chin"),
}
# Attributes to remove if the key is present, because they contradict it.
_INSTEAD = {
    "Bald": {"Brown_Hair"},
    "Black_Hair": {"Brown_Hair"},
    "Blond_Hair": {"Brown_Hair"},
    "Gray_Hair": {"Brown_Hair"},
    "5_o_Clock_Shadow": {"No_Beard"},
    "Goatee": {"No_Beard"},
    "Mustache": {"No_Beard"},
    "Sideburns": {"No_Beard"},
}


def draw_pair(attribute: str, seed: int) -> np.ndarray:
    """Draw a person without an attribute (left) and with it (right), uint8 (218, 356, 3)."""
    base = _MAN if attribute in _ON_MEN else _WOMAN
    without = base - {attribute}
    present = (base - _INSTEAD.get(attribute, set())) | {attribute}
    return np.concatenate([draw_portrait(without, seed, 0), draw_portrait(present, seed, 0)], axis=1)


def draw_gallery(seed: int) -> dict[str, np.ndarray]:
    """Return a pair of portraits for each attribute, by attribute name. Each pair shows a different person."""
    return {name: draw_pair(name, seed + k) for k, name in enumerate(ATTRIBUTES)}
