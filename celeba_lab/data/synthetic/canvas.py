"""Painting smooth shapes: OpenCV rasterises, the canvas blends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np

Colour = np.ndarray
"""R, G, B in 0..255, float32 (3,)."""

# OpenCV takes integer coordinates with this many fractional bits.
_SHIFT = 4
# Less opacity than this changes no pixel that anybody sees, and takes as long.
_INVISIBLE = 0.012


class Canvas:
    """A picture that shapes are painted on, later ones over earlier ones.

    Args:
        width: pixels.
        height: pixels.

    Attributes:
        planes: R, G, B in 0..255, float32 (3, H, W): NumPy is several times faster on long rows than on triples.
    """

    def __init__(self, width: int, height: int) -> None:
        self.planes = np.zeros((3, height, width), dtype=np.float32)

    def fill(
        self,
        outline: np.ndarray,
        colour: Colour,
        opacity: float = 1.0,
        softness: float = 0.0,
        within: np.ndarray | None = None,
    ) -> None:
        """Fill a closed shape.

        Args:
            outline: corners in pixels, (N, 2).
            colour: what to fill it with.
            opacity: 0 leaves the canvas as it is, 1 covers it.
            softness: standard deviation of the edge's blur in pixels.
            within: where paint takes, 0..1, (H, W); everywhere by default.
        """
        self._blend(outline, [outline], None, colour, opacity, softness, within)

    def strokes(
        self,
        lines: Sequence[np.ndarray] | np.ndarray,
        colour: Colour,
        width: int = 1,
        opacity: float = 1.0,
        softness: float = 0.0,
        within: np.ndarray | None = None,
    ) -> None:
        """Draw lines of one colour, each given as points in pixels, (N, 2); ``width`` in whole pixels."""
        if len(lines):
            self._blend(np.concatenate(lines), lines, width, colour, opacity, softness, within)

    def mask(self, outline: np.ndarray, softness: float = 0.0) -> np.ndarray:
        """Return where a shape lies, float32 (H, W) in 0..1; for ``within``."""
        height, width = self.planes.shape[1:]
        full = np.zeros((height, width), dtype=np.uint8)
        cv2.fillPoly(full, [_fixed(outline)], 255, cv2.LINE_AA, _SHIFT)
        if softness:
            full = _soften(full, softness)
        return full.astype(np.float32) / 255

    def _blend(
        self,
        extent: np.ndarray,
        shapes: Sequence[np.ndarray] | np.ndarray,
        width: int | None,
        colour: Colour,
        opacity: float,
        softness: float,
        within: np.ndarray | None,
    ) -> None:
        """Rasterise in the smallest box that holds the shapes, then mix the colour in."""
        margin = 2 + 3 * softness + (width or 0)
        rows, columns = self.planes.shape[1:]
        (x_low, y_low), (x_high, y_high) = extent.min(axis=0).tolist(), extent.max(axis=0).tolist()
        left, right = max(0, math.floor(x_low - margin)), min(columns, math.ceil(x_high + margin))
        top, bottom = max(0, math.floor(y_low - margin)), min(rows, math.ceil(y_high + margin))
        if left >= right or top >= bottom or opacity < _INVISIBLE:
            return
        cover = np.zeros((bottom - top, right - left), dtype=np.uint8)
        fixed = [_fixed(shape - (left, top)) for shape in shapes]
        if width is None:
            cover = cv2.fillPoly(cover, fixed, 255, cv2.LINE_AA, _SHIFT)
        else:
            cover = cv2.polylines(cover, fixed, False, 255, width, cv2.LINE_AA, _SHIFT)
        if softness:
            cover = _soften(cover, softness)
        alpha = np.multiply(cover, opacity / 255, dtype=np.float32)
        if within is not None:
            alpha *= within[top:bottom, left:right]
        region = self.planes[:, top:bottom, left:right]
        change = np.subtract(colour[:, None, None], region, dtype=np.float32)
        change *= alpha
        region += change


def _soften(cover: np.ndarray, softness: float) -> np.ndarray:
    """Blur by a stack blur, whose time does not grow with its width: a triangle of the variance wanted."""
    radius = max(1, round(6**0.5 * softness - 1))
    return cv2.stackBlur(cover, (2 * radius + 1, 2 * radius + 1))


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << _SHIFT)).astype(np.int32)


# ------------------------------------------------------------------------------------------------------------- outlines

_STEPS = 8  # points on each piece of a curve
_T = np.arange(_STEPS, dtype=np.float64) / _STEPS
# Catmull-Rom: a cubic through the two middle points of four. (STEPS, 4) weights of the four.
_BASIS = (
    np.stack([_T**0, _T, _T**2, _T**3], axis=1)
    @ np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]], dtype=np.float64)
    / 2
)


def curve(points: Sequence[Sequence[float]] | np.ndarray, closed: bool = False) -> np.ndarray:
    """Return a smooth line through the points, (M, 2) (Catmull and Rom, 1974)."""
    points = np.asarray(points, dtype=np.float64)
    ends = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    padded = np.concatenate([ends[0], points, ends[1]])  # (P, 2), P = pieces + 3
    quadruples = np.stack([padded[k : len(padded) - 3 + k] for k in range(4)], axis=1)  # (pieces, 4, 2)
    line = (_BASIS @ quadruples).reshape(-1, 2)
    return line if closed else np.concatenate([line, points[-1:]])


def ribbon(points: Sequence[Sequence[float]] | np.ndarray, widths: Sequence[float]) -> np.ndarray:
    """Return the outline of a smooth line whose width changes along it.

    Args:
        points: the middle line, (N, 2).
        widths: at each of its points.
    """
    middle = curve(points)
    along = np.empty_like(middle)  # at each point from the one before it to the one after
    along[1:-1], along[0], along[-1] = middle[2:] - middle[:-2], middle[1] - middle[0], middle[-1] - middle[-2]
    length = np.hypot(along[:, 0], along[:, 1])
    half = np.interp(_steps(len(middle)), _steps(len(widths)), widths) / 2
    offset = along[:, ::-1] * (-1, 1) * (half / np.maximum(length, 1e-9))[:, None]
    return np.concatenate([middle + offset, (middle - offset)[::-1]])


def ellipse(centre: Sequence[float] | np.ndarray, radii: Sequence[float] | np.ndarray, n: int = 24) -> np.ndarray:
    """Return an ellipse as ``n`` points."""
    return _circle(n) * radii + centre


@cache
def _circle(n: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@cache
def _steps(n: int) -> np.ndarray:
    return np.linspace(0, 1, n)


def mirrored(right: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Complete the right half of a symmetric outline, given from top to bottom, by its mirror image."""
    right = np.asarray(right, dtype=np.float64)
    left = (right * (-1, 1))[::-1]
    return np.concatenate([right, left[left[:, 0] != 0]])


# ----------------------------------------------------------------------------------------------------------------- pose


@dataclass(frozen=True)
class Pose:
    """Where the head is and how it is turned.

    A portrait is described in units of its own: the origin lies between the eyes, x goes to the right, y down, and at
    scale 1 a unit is a pixel.

    Attributes:
        centre: where the origin falls, in pixels.
        scale: pixels per unit.
        yaw: turn to the viewer's right, in radians.
        pitch: nod downwards, in radians.
        roll: tilt clockwise, in radians.
    """

    centre: tuple[float, float]
    scale: float
    yaw: float
    pitch: float
    roll: float

    def on_face(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels of points, (..., 2), on the front of the face, which a turn of the head moves."""
        x, y = points[..., 0], points[..., 1]
        aside = x * x
        depth = np.maximum(0, 26 - 26 / 46**2 * aside)  # of a head 92 wide
        depth += np.maximum(0, 8 - 8 / 20**2 * (y - 28) ** 2 - 8 / 14**2 * aside)  # and of a nose
        turned = np.empty(points.shape)
        turned[..., 0] = x * math.cos(self.yaw) + depth * math.sin(self.yaw)
        turned[..., 1] = y * math.cos(self.pitch) + depth * math.sin(self.pitch)
        return self.on_head(turned)

    def on_head(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels of points, (..., 2), on the outline of the head."""
        return points @ self._tilt + self.centre

    @cached_property
    def _tilt(self) -> np.ndarray:
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        return np.array([[cos, sin], [-sin, cos]]) * self.scale

    def on_body(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels of points, (..., 2), below the head, which does not tilt with it."""
        return points * self.scale + self.centre
