"""A canvas for drawing smooth shapes, and functions that compute their outlines."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np

Color = np.ndarray
"""An RGB colour with values from 0 to 255, float32 (3,)."""

_SHIFT = 4  # number of fractional bits in the fixed-point coordinates passed to OpenCV
_INVISIBLE = 0.012  # shapes below this opacity are not drawn, because they would be invisible


class Canvas:
    """An image on which shapes are drawn on top of each other.

    Args:
        width: Width in pixels.
        height: Height in pixels.

    Attributes:
        planes: RGB values from 0 to 255, float32 (3, H, W). Channels come first because NumPy is several times faster
            on long rows than on rows of three values.

    Example:
        >>> canvas = Canvas(width=8, height=8)
        >>> square = np.array([[1.0, 1.0], [6.0, 1.0], [6.0, 6.0], [1.0, 6.0]])
        >>> canvas.fill(square, np.array([255, 0, 0], np.float32))
        >>> canvas.planes[0, 4, 4], canvas.planes[1, 4, 4], canvas.planes[0, 0, 0]
        (np.float32(255.0), np.float32(0.0), np.float32(0.0))
    """

    def __init__(self, width: int, height: int) -> None:
        self.planes = np.zeros((3, height, width), dtype=np.float32)

    def fill(
        self,
        outline: np.ndarray,
        color: Color,
        opacity: float = 1.0,
        softness: float = 0.0,
        within: np.ndarray | None = None,
    ) -> None:
        """Fill a closed shape.

        Args:
            outline: Vertices of the shape in pixels, (N, 2).
            color: Colour of the shape.
            opacity: Opacity from 0 (invisible) to 1 (opaque).
            softness: Standard deviation of the edge blur in pixels.
            within: Mask with values from 0 to 1 that multiplies the opacity, (H, W). By default, no mask is applied.
        """
        self._blend(outline, [outline], None, color, opacity, softness, within)

    def strokes(
        self,
        lines: Sequence[np.ndarray] | np.ndarray,
        color: Color,
        width: int = 1,
        opacity: float = 1.0,
        softness: float = 0.0,
        within: np.ndarray | None = None,
    ) -> None:
        """Draw lines in one colour.

        Args:
            lines: Points of each line in pixels, (N, 2).
            color: Colour of the lines.
            width: Width of the lines in whole pixels.
            opacity: See :meth:`fill`.
            softness: See :meth:`fill`.
            within: See :meth:`fill`.
        """
        if len(lines):
            self._blend(np.concatenate(lines), lines, width, color, opacity, softness, within)

    def mask(self, outline: np.ndarray, softness: float = 0.0) -> np.ndarray:
        """Return the mask of a shape, for use as ``within``, with values from 0 to 1, float32 (H, W)."""
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
        color: Color,
        opacity: float,
        softness: float,
        within: np.ndarray | None,
    ) -> None:
        """Rasterise the shapes within their bounding box, and blend the colour into the canvas."""
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
        change = np.subtract(color[:, None, None], region, dtype=np.float32)
        change *= alpha
        region += change


def _soften(cover: np.ndarray, softness: float) -> np.ndarray:
    """Apply a stack blur, which has a triangular kernel and takes the same time for all kernel sizes."""
    radius = max(1, round(6**0.5 * softness - 1))
    return cv2.stackBlur(cover, (2 * radius + 1, 2 * radius + 1))


def _fixed(points: np.ndarray) -> np.ndarray:
    fixed: np.ndarray = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    return fixed


# ------------------------------------------------------------------------------------------------------------- outlines

_STEPS = 8  # number of points on each segment of a curve
_T = np.arange(_STEPS, dtype=np.float64) / _STEPS
# Weights of a Catmull-Rom spline, (STEPS, 4). Each segment depends on four points and connects the middle two.
_BASIS = (
    np.stack([_T**0, _T, _T**2, _T**3], axis=1)
    @ np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]], dtype=np.float64)
    / 2
)


def curve(points: Sequence[Sequence[float]] | np.ndarray, closed: bool = False) -> np.ndarray:
    """Return points on a Catmull-Rom spline (Catmull and Rom, 1974) through the given points, (M, 2)."""
    points = np.asarray(points, dtype=np.float64)
    ends = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    padded = np.concatenate([ends[0], points, ends[1]])  # (P, 2), P = segments + 3
    quadruples = np.stack([padded[k : len(padded) - 3 + k] for k in range(4)], axis=1)  # (segments, 4, 2)
    line = (_BASIS @ quadruples).reshape(-1, 2)
    return line if closed else np.concatenate([line, points[-1:]])


def ribbon(points: Sequence[Sequence[float]] | np.ndarray, widths: Sequence[float]) -> np.ndarray:
    """Return the outline of a smooth line with varying width.

    Args:
        points: Points on the centre line, (N, 2).
        widths: Widths of the line at evenly spaced points.
    """
    middle = curve(points)
    along = np.empty_like(middle)  # direction at each point, from the previous to the next point
    along[1:-1], along[0], along[-1] = middle[2:] - middle[:-2], middle[1] - middle[0], middle[-1] - middle[-2]
    length = np.hypot(along[:, 0], along[:, 1])
    half = np.interp(_steps(len(middle)), _steps(len(widths)), widths) / 2
    offset = along[:, ::-1] * (-1, 1) * (half / np.maximum(length, 1e-9))[:, None]
    return np.concatenate([middle + offset, (middle - offset)[::-1]])


def ellipse(center: Sequence[float] | np.ndarray, radii: Sequence[float] | np.ndarray, n: int = 24) -> np.ndarray:
    """Return ``n`` points on an ellipse, (n, 2)."""
    return _circle(n) * radii + center


@cache
def _circle(n: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@cache
def _steps(n: int) -> np.ndarray:
    return np.linspace(0, 1, n)


def mirrored(right: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Complete a symmetric outline from its right half, whose points are ordered from top to bottom."""
    right = np.asarray(right, dtype=np.float64)
    left = (right * (-1, 1))[::-1]
    return np.concatenate([right, left[left[:, 0] != 0]])


# ----------------------------------------------------------------------------------------------------------------- pose


@dataclass(frozen=True)
class Pose:
    """Position and rotation of the head.

    Faces are described in face coordinates. The origin is midway between the eyes, x points right and y points down. At
    a scale of 1, one unit is one pixel.

    Attributes:
        center: Position of the origin in the image, in pixels.
        scale: Number of pixels per unit.
        yaw: Angle by which the head is turned to the viewer's right, in radians.
        pitch: Angle by which the head is tilted forward, in radians.
        roll: Clockwise rotation in the image plane, in radians.

    Example:
        >>> Pose(center=(89.0, 111.0), scale=1.0, yaw=0.0, pitch=0.0, roll=0.0).on_face(np.array([0.0, 0.0]))
        array([ 89., 111.])
    """

    center: tuple[float, float]
    scale: float
    yaw: float
    pitch: float
    roll: float

    def on_face(self, points: np.ndarray) -> np.ndarray:
        """Convert points on the front of the face, (..., 2), to pixel coordinates, accounting for head rotation."""
        x, y = points[..., 0], points[..., 1]
        aside = x * x
        depth = np.maximum(0, 26 - 26 / 46**2 * aside)  # depth of a head that is 92 units wide
        depth += np.maximum(0, 8 - 8 / 20**2 * (y - 28) ** 2 - 8 / 14**2 * aside)  # depth of the nose
        turned = np.empty(points.shape)
        turned[..., 0] = x * math.cos(self.yaw) + depth * math.sin(self.yaw)
        turned[..., 1] = y * math.cos(self.pitch) + depth * math.sin(self.pitch)
        return self.on_head(turned)

    def on_head(self, points: np.ndarray) -> np.ndarray:
        """Convert points on the outline of the head, (..., 2), to pixel coordinates."""
        pixels: np.ndarray = points @ self._tilt + self.center
        return pixels

    @cached_property
    def _tilt(self) -> np.ndarray:
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        return np.array([[cos, sin], [-sin, cos]]) * self.scale

    def on_body(self, points: np.ndarray) -> np.ndarray:
        """Convert points on the body, (..., 2), to pixel coordinates. The body does not rotate with the head."""
        return points * self.scale + self.center
