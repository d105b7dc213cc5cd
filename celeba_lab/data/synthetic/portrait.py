"""Functions that draw a portrait: background, person and camera effects."""

import math
from collections.abc import Iterable

import cv2
import numpy as np

from celeba_lab.data.synthetic.canvas import Canvas, Pose, curve, ellipse
from celeba_lab.data.synthetic.facial_features import (
    draw_brows,
    draw_ears,
    draw_eyes,
    draw_head,
    draw_mouth,
    draw_neck,
    draw_nose,
)
from celeba_lab.data.synthetic.hair import draw_back_hair, draw_beard, draw_front_hair
from celeba_lab.data.synthetic.person import Person
from celeba_lab.data.synthetic.wear import (
    any_color,
    draw_clothes,
    draw_earrings,
    draw_glasses,
    draw_hat,
    draw_necklace,
)

WIDTH, HEIGHT = 178, 218
"""Size of CelebA's aligned images in pixels."""

_BETWEEN_EYES = (88.5, 111.0)  # midpoint between the eyes in these images
# Position of every pixel relative to the centre, from -0.5 to 0.5, (H, 1) and (1, W).
_Y = np.linspace(-0.5, 0.5, HEIGHT, dtype=np.float32)[:, None]
_X = np.linspace(-0.5, 0.5, WIDTH, dtype=np.float32)[None, :]


def draw_portrait(attributes: Iterable[str], *seed: int) -> np.ndarray:
    """Draw a person with the given attributes.

    Args:
        attributes: Names of the attributes that are present; all others are absent.
        seed: Numbers that identify the person, each at least 0.

    Returns:
        The portrait, with the face in the same position as in CelebA's aligned images, uint8 (218, 178, 3).
    """
    person = Person.of(attributes, *seed)
    pose = _pose(person)
    canvas = Canvas(WIDTH, HEIGHT)
    _draw_background(canvas, person)
    draw_back_hair(canvas, pose, person)
    draw_neck(canvas, pose, person)
    draw_clothes(canvas, pose, person)
    draw_necklace(canvas, pose, person)
    draw_ears(canvas, pose, person)
    skin = draw_head(canvas, pose, person)
    draw_beard(canvas, pose, person, skin)
    draw_nose(canvas, pose, person)
    draw_mouth(canvas, pose, person)
    draw_eyes(canvas, pose, person)
    draw_brows(canvas, pose, person)
    draw_front_hair(canvas, pose, person)
    draw_earrings(canvas, pose, person)
    draw_glasses(canvas, pose, person)
    draw_hat(canvas, pose, person)
    _draw_obstacle(canvas, person)
    return _photograph(canvas, person)


def encode_portrait(portrait: np.ndarray, *seed: int) -> bytes:
    """Encode a portrait, uint8 (H, W, 3), as a JPEG image with a quality that depends on the seed."""
    quality = int(Person.of((), *seed).random("quality").integers(72, 96))
    _, data = cv2.imencode(".jpg", portrait[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def _pose(person: Person) -> Pose:
    x, y, scale, yaw, pitch, roll = np.clip(person.random("pose").normal(size=6), -2.2, 2.2)
    return Pose(
        center=(_BETWEEN_EYES[0] + 1.5 * x, _BETWEEN_EYES[1] + 1.5 * y),
        scale=1 + 0.035 * scale,
        yaw=0.16 * yaw,
        pitch=0.05 * pitch,
        roll=0.045 * roll,
    )


def _draw_background(canvas: Canvas, person: Person) -> None:
    random = person.random("background")
    first, second = any_color(random), any_color(random)
    angle = random.uniform(0, 2 * np.pi)
    slope = (_X * math.cos(angle) + _Y * math.sin(angle) + 0.7) / 1.4
    canvas.planes[:] = first[:, None, None] + (second - first)[:, None, None] * slope
    for _ in range(int(random.integers(0, 7))):
        center = random.uniform((0, 0), (WIDTH, HEIGHT))
        radii = random.uniform(6, 45, 2)
        canvas.fill(ellipse(center, radii), any_color(random), random.uniform(0.2, 0.7), random.uniform(1, 8))


def _draw_obstacle(canvas: Canvas, person: Person) -> None:
    """Draw a blob in front of some faces, to represent an object such as a hand or a microphone."""
    random = person.random("obstacle")
    present = random.random() < 0.06
    angle, radius = random.uniform(0, 2 * np.pi), random.uniform(18, 34)
    center = np.array([88.5, 120.0]) + np.array([np.cos(angle), np.sin(angle)]) * random.uniform(62, 88)
    bumps = radius * random.uniform(0.75, 1.2, 9)
    turn = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    tone = any_color(random)
    if present:
        blob = np.stack([np.cos(turn), np.sin(turn)], axis=1) * bumps[:, None] + center
        canvas.fill(curve(blob, True), tone, softness=random.uniform(0.4, 2.5))


def _photograph(canvas: Canvas, person: Person) -> np.ndarray:
    """Apply lighting, colour, blur and noise, and return the image, uint8 (H, W, 3)."""
    random = person.random("camera")
    exposure, contrast, warmth, angle, falloff = random.normal(size=5).tolist()
    blur = person.amount("Blurry", (1.9, 3.0), (0.0, 0.7))
    slope = _X * math.cos(3 * angle) + _Y * math.sin(3 * angle)
    gain = (1 + 0.07 * exposure) * (1 + 0.22 * math.tanh(falloff) * slope) * (1 + 0.08 * contrast)
    cast = np.array([1 + 0.03 * warmth, 1, 1 - 0.03 * warmth], dtype=np.float32)
    planes = canvas.planes * gain
    planes *= cast[:, None, None]
    planes -= 128 * 0.08 * contrast
    if blur > 0.35:
        planes = np.stack([cv2.GaussianBlur(plane, (0, 0), blur) for plane in planes])
    planes += random.standard_normal((HEIGHT, WIDTH), dtype=np.float32) * np.float32(random.uniform(1.0, 5.0))
    image: np.ndarray = cv2.merge(list(np.clip(planes, 0, 255, out=planes).astype(np.uint8)))
    return image
