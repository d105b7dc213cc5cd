"""The person to draw, with colours and proportions that depend on the attributes and a seed."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np

from celeba_lab.data.attributes import ATTRIBUTES
from celeba_lab.data.synthetic.canvas import Color


def color(*rgb: float) -> Color:
    """Return a colour from RGB values between 0 and 255."""
    return np.array(rgb, dtype=np.float32)


def mix(first: Color, second: Color, amount: float) -> Color:
    """Interpolate between two colours. An ``amount`` of 0 gives the first colour, and 1 gives the second."""
    mixed: np.ndarray = first + (second - first) * np.float32(amount)
    return mixed


BLACK = color(14, 12, 12)
WHITE = color(246, 246, 244)

# Skin tones from light to dark. Faces without Pale_Skin have a tone between the lightest and the darkest.
_SKIN = np.array([(240, 205, 182), (226, 182, 152), (203, 152, 118), (164, 113, 82), (118, 77, 56)], dtype=np.float32)
_PALE = color(250, 232, 224)

_HAIR = {
    "Black_Hair": color(24, 21, 22),
    "Brown_Hair": color(98, 62, 38),
    "Blond_Hair": color(222, 188, 122),
    "Gray_Hair": color(172, 172, 175),
}
# Red and dyed hair, for people without a label for black, brown, blond or grey hair.
_OTHER_HAIR = np.array([(150, 58, 26), (120, 40, 40), (176, 96, 44), (110, 60, 96)], dtype=np.float32)


@dataclass(frozen=True)
class Person:
    """A person to draw.

    Each random choice affects only one part of the image and does not depend on the attributes. Two people with the
    same seed therefore differ only where their attributes differ.

    Attributes:
        attributes: Names of the attributes that are present.
        seed: Numbers that identify the person, each at least 0.

    Example:
        >>> person = Person.of(["Smiling", "Bald"], 7)
        >>> person.has("Bald", "Bangs"), person.has("Male")
        (True, False)
    """

    attributes: frozenset[str]
    seed: tuple[int, ...]

    @classmethod
    def of(cls, attributes: Iterable[str], *seed: int) -> "Person":
        """Return the person with the given attributes and seed."""
        return cls(frozenset(attributes), seed)

    def has(self, *names: str) -> bool:
        """Return whether at least one of the given attributes is present."""
        return not self.attributes.isdisjoint(names)

    def random(self, part: str) -> np.random.Generator:
        """Return a random number generator for one part of the image. The initial state is the same on each call."""
        return np.random.Generator(np.random.PCG64([*self.seed, crc32(part.encode())]))

    def amount(self, name: str, present: tuple[float, float], absent: tuple[float, float]) -> float:
        """Return the visible strength of an attribute, which is uniformly distributed over one of two ranges.

        Args:
            name: Name of the attribute.
            present: Range if the attribute is present.
            absent: Range if the attribute is absent.
        """
        low, high = present if self.has(name) else absent
        return low + (high - low) * self._amounts[name]

    @cached_property
    def _amounts(self) -> dict[str, float]:
        """Position of each attribute within its range, from 0 to 1."""
        return dict(zip(ATTRIBUTES, self.random("amounts").random(len(ATTRIBUTES)).tolist(), strict=True))

    @cached_property
    def skin(self) -> Color:
        """Skin colour in neutral light."""
        random = self.random("skin")
        tone, pallor, *shift = random.random(5)
        if self.has("Pale_Skin"):
            base = mix(_SKIN[0], _PALE, 0.65 + 0.35 * pallor)
        else:
            position = (len(_SKIN) - 1) * (0.06 + 0.94 * tone**1.6)
            index = min(int(position), len(_SKIN) - 2)
            base = mix(_SKIN[index], _SKIN[index + 1], position - index)
        tinted: np.ndarray = base + (np.array(shift, dtype=np.float32) - 0.5) * (6, 6, 8)
        return tinted

    @cached_property
    def hair(self) -> Color:
        """Hair colour in neutral light."""
        random = self.random("hair colour")
        choice, towards, depth = random.random(3)
        colors = [value for name, value in _HAIR.items() if self.has(name)]
        if colors:
            base = np.mean(colors, axis=0)
        else:
            position = choice * (len(_OTHER_HAIR) - 1)
            index = min(int(position), len(_OTHER_HAIR) - 2)
            base = mix(_OTHER_HAIR[index], _OTHER_HAIR[index + 1], towards if choice > 0.5 else 0.0)
        shaded: np.ndarray = np.clip(base * np.float32(0.86 + 0.28 * depth), 0, 255)
        return shaded

    @cached_property
    def masculinity(self) -> float:
        """Masculinity of the head and shoulders, from 0 to 1. The ranges for men and women overlap."""
        return self.amount("Male", (0.45, 1.0), (0.0, 0.5))

    @cached_property
    def is_long_haired(self) -> bool:
        """Whether the person has long hair, as most women and a few men do."""
        chance = float(self.random("hair length").random())
        return chance < (0.06 if self.has("Male") else 0.82)

    @cached_property
    def head(self) -> np.ndarray:
        """Closed outline of the head, starting at the top, in face coordinates, (N, 2)."""
        width, height, *_ = self.random("head").random(4)
        broad = 38.5 + 3 * width + self.amount("Chubby", (3.0, 6.0), (-1.0, 0.8))
        cheek = broad + self.amount("Chubby", (2.0, 4.5), (-1.5, 0.5)) - 1
        oval = self.amount("Oval_Face", (0.75, 1.0), (0.0, 0.2))
        jaw = cheek - 6.5 - 7.0 * oval + 5.0 * self.masculinity - 1.0
        chin = 17.0 + 5.0 * self.masculinity - 3.5 * oval + self.amount("Chubby", (2.5, 5.0), (-1.0, 1.0))
        length = 60.5 + 3.5 * height + 9.0 * oval + 2.0 * self.masculinity
        right = [
            (0, -60),
            (23, -55),
            (broad - 3, -32),
            (broad, -6),
            (cheek - 0.5, 16),
            (jaw, 0.62 * length),
            (chin, 0.91 * length),
            (0, length),
        ]
        return np.array([*right, *((-x, y) for x, y in right[-2:0:-1])], dtype=np.float64)

    @property
    def chin(self) -> float:
        """Vertical distance from the eyes to the chin, in face coordinates."""
        return float(self.head[:, 1].max())

    @property
    def half_width(self) -> float:
        """Half the width of the head at eye level, in face coordinates."""
        return float(self.head[3, 0])
