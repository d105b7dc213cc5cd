"""Functions that draw hair and beards."""

from dataclasses import dataclass

import numpy as np

from celeba_lab.data.synthetic.canvas import Canvas, Pose, curve, ellipse, mirrored, ribbon
from celeba_lab.data.synthetic.facial_features import MOUTH
from celeba_lab.data.synthetic.person import BLACK, WHITE, Person, color, mix


@dataclass(frozen=True)
class Strands:
    """Shape of individual hairs, which distinguishes straight from wavy hair.

    Attributes:
        amplitude: Amplitude of the waves, in face coordinates.
        period: Period of the waves, in face coordinates.
        disorder: Standard deviation of the random shift of each hair, in face coordinates.
    """

    amplitude: float
    period: float
    disorder: float

    @classmethod
    def of(cls, person: Person) -> "Strands":
        """Return the shape of a person's hair, which may be straight, wavy or neither."""
        size, period = person.random("strands").random(2)
        if person.has("Wavy_Hair"):
            return cls(2.6 + 1.6 * size, 15 + 7 * period, 1.2)
        if person.has("Straight_Hair"):
            return cls(0.0, 20.0, 0.25)
        return cls(0.3 + 0.3 * size, 26.0, 3.0)

    def wave(self, lines: np.ndarray, phase: float | np.ndarray) -> np.ndarray:
        """Add waves to lines, perpendicular to their direction.

        Args:
            lines: Points of one line, (N, 2), or of S lines, (S, N, 2).
            phase: Phase at the start of each line as a fraction of the period, either one number or an array (S,).
        """
        if self.amplitude == 0:
            return lines
        steps = np.diff(lines, axis=-2, prepend=lines[..., :1, :])  # (..., N, 2)
        length = np.hypot(steps[..., 0], steps[..., 1])
        along = np.cumsum(length, axis=-1)
        swing = np.sin(2 * np.pi * (along / self.period + np.asarray(phase)[..., None])) * np.minimum(1, along / 10)
        normal = steps[..., ::-1] * (-1, 1) / np.maximum(length, 1e-9)[..., None]
        waves: np.ndarray = lines + normal * (self.amplitude * swing)[..., None]
        return waves


def _volume(person: Person) -> float:
    return 3.0 + 5.0 * person.random("volume").random() + (2.5 if person.has("Wavy_Hair") else 0.0)


def draw_back_hair(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw the hair behind the head."""
    if person.has("Bald"):
        return
    fall, flare, asymmetry = person.random("back hair").random(3)
    edge, volume = person.half_width + _volume(person), _volume(person)
    if not person.is_long_haired:
        crown = mirrored([(0, -60 - volume), (26, -55 - volume), (edge - 1, -30), (edge - 3, 2), (0, 14)])
        canvas.fill(pose.on_head(curve(crown, True)), mix(person.hair, BLACK, 0.3))
        return
    strands = Strands.of(person)
    end = 58 + 46 * fall
    right = [(0, -61 - volume), (27, -55 - volume), (edge, -28), (edge + 4, 8), (edge + 3 + 7 * flare, end - 22)]
    right += [(edge - 4 + 7 * flare, end), (edge - 17, end + 5), (20, end - 8), (0, 24)]
    outline = curve(mirrored(right), True)
    if strands.disorder > 2:
        outline = outline + person.random("ends").normal(size=outline.shape) * 0.8
    outline = strands.wave(outline, asymmetry)
    canvas.fill(pose.on_head(outline), mix(person.hair, BLACK, 0.25))
    _draw_locks(canvas, pose, person, strands, edge, end)


def _draw_locks(canvas: Canvas, pose: Pose, person: Person, strands: Strands, edge: float, end: float) -> None:
    """Draw long hair on both sides of the face."""
    random = person.random("locks")
    n = 26
    x = np.where(np.arange(n) % 2, -1, 1) * (edge - 13 + 15 * random.random(n))
    roots = np.stack([0.96 * x, np.full(n, -36.0)], axis=1)
    tips = np.stack([1.05 * x + strands.disorder * random.normal(size=n), end - 6 * random.random(n)], axis=1)
    lines = np.linspace(roots, tips, 14, axis=1)  # (n, 14, 2)
    locks = pose.on_head(strands.wave(lines, 0.12 * random.random(n)))
    canvas.strokes(locks[::3], mix(person.hair, WHITE, 0.28), 1, 0.45)
    canvas.strokes(np.delete(locks, slice(None, None, 3), axis=0), mix(person.hair, BLACK, 0.55), 1, 0.5)


def draw_front_hair(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw the hair above the hairline (on a bald head, the reflections), and then the bangs."""
    if person.has("Bald"):
        _draw_bald_head(canvas, pose, person)
    else:
        _draw_crown(canvas, pose, person)
    if person.has("Bangs"):
        _draw_bangs(canvas, pose, person)


def _draw_bald_head(canvas: Canvas, pose: Pose, person: Person) -> None:
    fringe, shine = person.random("bald").random(2)
    skin = canvas.mask(pose.on_head(curve(person.head, True)))
    canvas.fill(pose.on_face(ellipse((-8 + 16 * shine, -49), (13, 5.5))), WHITE, 0.5, 3.0, skin)
    if fringe < 0.45 or person.has("Gray_Hair", "Black_Hair", "Brown_Hair", "Blond_Hair"):
        edge = person.half_width
        for side in (-1, 1):
            tuft = ribbon([(side * (edge - 3), -27), (side * (edge + 0.5), -12), (side * (edge + 0.5), 2)], [2, 6, 3])
            canvas.fill(pose.on_head(tuft), person.hair, 0.75, 0.9)


def _hairline(person: Person) -> np.ndarray:
    """Return the hairline from the right temple to the left temple, (N, 2)."""
    height, part, dip, *_ = person.random("hairline").random(4)
    edge = person.half_width
    top = -42 - 4 * height
    if person.has("Receding_Hairline"):
        right = [(edge - 0.5, -12), (edge - 4, -34), (23, -56 - 2 * dip), (9, top - 6)]
    else:
        right = [(edge - 0.5, -4), (edge - 4, -24), (26, top + 7), (11, top)]
    left = [(-x, y) for x, y in reversed(right)]
    shift = 8 * (part - 0.5)
    return np.array([*right, (shift, top - 1.5 * dip), *left], dtype=np.float64)


def _draw_crown(canvas: Canvas, pose: Pose, person: Person) -> None:
    strands, volume = Strands.of(person), _volume(person)
    random = person.random("crown")
    part = 20 * (random.random() - 0.5)
    edge = person.half_width
    bottom = 16.0 if person.is_long_haired else 4.0
    side = edge + 0.55 * volume
    outer = [(-edge + 1, bottom), (-side, -10), (-side + 2, -34), (-25, -56 - 0.8 * volume), (0, -60.5 - volume)]
    outer += [(25, -56 - 0.8 * volume), (side - 2, -34), (side, -10), (edge - 1, bottom)]
    hairline = curve(_hairline(person))
    rim = curve(outer)
    phase, stray = random.random(), random.normal(size=rim.shape)
    if strands.amplitude > 1:
        rim = strands.wave(rim, phase)
    elif strands.disorder > 1:
        rim = rim + 0.8 * stray
    outline = pose.on_head(np.concatenate([rim, hairline]))
    canvas.fill(outline, person.hair, softness=0.5)
    within = canvas.mask(outline)
    n = 34
    target = np.linspace(-1.08, 1.08, n) * edge
    top = np.stack([part + 3 * random.normal(size=n), -58 - volume + 2 * random.random(n)], axis=1)
    middle = np.stack([0.62 * target + 0.4 * part, -53 - 0.5 * volume + 0.1 * np.abs(target)], axis=1)
    end = np.stack([target, -34 + 0.8 * np.abs(target)], axis=1) + strands.disorder * random.normal(size=(n, 2))
    t = np.linspace(0, 1, 12)[:, None]
    bent = (1 - t) ** 2 * top[:, None] + 2 * t * (1 - t) * middle[:, None] + t**2 * end[:, None]  # (n, 12, 2)
    hairs = pose.on_head(strands.wave(bent, 0.15 * random.random(n)))
    canvas.strokes(hairs[1::2], mix(person.hair, BLACK, 0.5), 1, 0.5, within=within)
    canvas.strokes(hairs[::2], mix(person.hair, WHITE, 0.3), 1, 0.42, within=within)
    gloss = ellipse((part * 0.5, -50), (24, 5))
    canvas.fill(pose.on_head(gloss), WHITE, 0.1 + 0.12 * random.random(), 3.0, within)


def _draw_bangs(canvas: Canvas, pose: Pose, person: Person) -> None:
    random = person.random("bangs")
    depth, sweep, *_ = random.random(4)
    edge, strands = person.half_width - 2, Strands.of(person)
    low = -14 - 7 * depth
    x = np.linspace(edge, -edge, 13)
    jag = random.uniform(-2.6, 1.2, len(x))
    fringe = np.stack([x, low + jag + (sweep - 0.5) * 16 * x / edge - 2 * (x / edge) ** 2], axis=1)
    rim = [(-edge, -24), (-edge + 3, -42), (-20, -55), (0, -59), (20, -55), (edge - 3, -42), (edge, -24)]
    outline = pose.on_head(np.concatenate([curve(rim), fringe]))
    canvas.fill(outline, mix(person.hair, WHITE, 0.04), 0.97, 0.5)
    within = canvas.mask(outline)
    ends = np.concatenate([np.add(fringe, (offset, 1.0)) for offset in (-2.0, 1.5)])
    starts = np.stack([0.45 * ends[:, 0], np.full(len(ends), -56.0)], axis=1)
    lines = pose.on_head(strands.wave(np.linspace(starts, ends, 10, axis=1), random.random(len(ends))))
    canvas.strokes(lines[::2], mix(person.hair, BLACK, 0.5), 1, 0.55, within=within)
    canvas.strokes(lines[1::2], mix(person.hair, WHITE, 0.3), 1, 0.5, within=within)


# --------------------------------------------------------------------------------------------------------------- beards


def draw_beard(canvas: Canvas, pose: Pose, person: Person, skin: np.ndarray) -> None:
    """Draw the beard. If all five beard attributes, including No_Beard, are absent, a short full beard is drawn."""
    tone = mix(person.hair, BLACK, 0.35)
    length, density = person.random("beard").random(2)
    jaw = _jaw(person)
    if person.has("5_o_Clock_Shadow"):
        canvas.fill(pose.on_head(jaw), color(62, 58, 66), 0.3 + 0.14 * density, 3.0, skin)
        _stubble(canvas, pose, person, jaw, color(38, 34, 36), 0.5, 130, skin)
    kinds = ("5_o_Clock_Shadow", "Goatee", "Mustache", "Sideburns")
    if not person.has("No_Beard", *kinds):
        canvas.fill(pose.on_head(jaw), tone, 0.66 + 0.2 * density, 2.2, skin)
        _stubble(canvas, pose, person, jaw, mix(tone, BLACK, 0.5), 0.7, 150, skin)
        _draw_mustache(canvas, pose, person, 0.7)
    if person.has("Sideburns"):
        edge = person.half_width
        end = 25 + 9 * length
        for side in (-1, 1):
            line = [(side * (edge - 1.5), -16), (side * (edge - 2.5), 6), (side * (edge - 6.5), end)]
            canvas.fill(pose.on_head(ribbon(line, [6, 8.5, 6.5])), tone, 0.9, 0.8, skin)
    if person.has("Goatee"):
        chin = person.chin
        patch = mirrored(
            [(0, MOUTH + 6.5), (9, MOUTH + 8), (12 + 2 * length, chin - 9), (8, chin + 1), (0, chin + 3 + 3 * length)]
        )
        canvas.fill(pose.on_face(curve(patch, True)), tone, 0.88, 1.0)
        for side in (-1, 1):
            line = [(side * 17.5, MOUTH - 4), (side * 18.5, MOUTH + 5), (side * 12, MOUTH + 12)]
            canvas.fill(pose.on_face(ribbon(line, [2.0, 3.6, 4.5])), tone, 0.6, 0.9)
    if person.has("Mustache"):
        _draw_mustache(canvas, pose, person, 0.92)


def _jaw(person: Person) -> np.ndarray:
    """Return the outline of the area where a beard grows: cheeks, upper lip and chin."""
    edge, chin = person.half_width, person.chin
    right = [
        (0, 33.5),
        (10, 35),
        (20, 37),
        (28, 26),
        (edge - 1, 10),
        (edge + 2, 24),
        (edge - 2, 44),
        (25, chin),
        (0, chin + 4),
    ]
    return curve(mirrored(right), True)


def _stubble(
    canvas: Canvas,
    pose: Pose,
    person: Person,
    region: np.ndarray,
    tone: np.ndarray,
    opacity: float,
    n: int,
    skin: np.ndarray,
) -> None:
    random = person.random("stubble")
    low, high = region.min(axis=0), region.max(axis=0)
    points = random.uniform(low, high, (n, 2))
    points = points[(np.abs(points[:, 0]) > 17) | (points[:, 1] > MOUTH + 8) | (points[:, 1] < MOUTH - 5)]
    dots = pose.on_head(np.stack([points, np.add(points, (0.3, 1.4))], axis=1))
    canvas.strokes(dots, tone, 1, opacity, 0.0, skin * canvas.mask(pose.on_head(region)))


def _draw_mustache(canvas: Canvas, pose: Pose, person: Person, opacity: float) -> None:
    fullness, droop = person.random("mustache").random(2)
    y, thick = MOUTH - 6.5, 4.2 + 2.2 * fullness
    line = [(-17.5, y + 3.5 + 3 * droop), (-9, y), (0, y - 1.2), (9, y), (17.5, y + 3.5 + 3 * droop)]
    outline = pose.on_face(ribbon(line, [0.8, thick, 0.75 * thick, thick, 0.8]))
    canvas.fill(outline, mix(person.hair, BLACK, 0.35), opacity, 0.6)
