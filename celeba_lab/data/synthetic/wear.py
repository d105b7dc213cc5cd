"""Functions that draw clothes, neckties, necklaces, earrings, glasses and hats."""

import colorsys

import numpy as np

from celeba_lab.data.synthetic.canvas import Canvas, Color, Pose, curve, ellipse, mirrored, ribbon
from celeba_lab.data.synthetic.person import BLACK, WHITE, Person, color, mix

_GOLD, _SILVER = color(222, 180, 84), color(214, 218, 224)


def any_color(random: np.random.Generator, brightness: tuple[float, float] = (0.15, 0.95)) -> Color:
    """Return a random colour with limited saturation and a brightness (HSV value) in the given range."""
    hue, saturation, value = random.random(3)
    low, high = brightness
    return color(*(255 * part for part in colorsys.hsv_to_rgb(hue, 0.75 * saturation, low + (high - low) * value)))


def draw_clothes(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw the shoulders. Also draw a collar and a necktie if the person wears a necktie."""
    random = person.random("clothes")
    fabric = any_color(random)
    width, neckline, *_ = random.random(3)
    shoulder = 58 + 15 * person.masculinity + 12 * width
    deep = 2.0 + 20 * max(0.0, neckline - 0.8 * person.masculinity)
    right = [(18, 83), (34, 88), (shoulder, 99), (shoulder + 14, 130), (0, 140)]
    outline = np.concatenate([[(0, 86 + deep)], right, [(-x, y) for x, y in reversed(right[:-1])]])
    canvas.fill(pose.on_body(outline), fabric, softness=0.5)
    for side in (-1, 1):
        fold = ribbon([(side * 40, 92), (side * 44, 104), (side * 42, 120)], [1, 4, 6])
        canvas.fill(pose.on_body(fold), mix(fabric, BLACK, 0.5), 0.35, 1.5)
    if person.has("Wearing_Necktie"):
        _draw_necktie(canvas, pose, person)


def _draw_necktie(canvas: Canvas, pose: Pose, person: Person) -> None:
    random = person.random("necktie")
    shirt = mix(WHITE, any_color(random, (0.7, 0.95)), 0.25)
    silk = any_color(random, (0.1, 0.75))
    stripes = random.random() < 0.5
    collar = mirrored([(0, 92), (17, 80), (29, 90), (20, 106), (0, 125)])
    canvas.fill(pose.on_body(collar), shirt, softness=0.4)
    for side in (-1, 1):
        edge = ribbon([(side * 17, 81), (side * 10, 95), (side * 16, 104)], [1, 1.4, 1])
        canvas.fill(pose.on_body(edge), mix(shirt, BLACK, 0.5), 0.6, 0.4)
    knot = mirrored([(0, 89), (6.5, 89.5), (4.2, 98), (0, 98)])
    blade = mirrored([(0, 97), (4.2, 97.5), (8.5, 130), (0, 130)])
    canvas.fill(pose.on_body(blade), silk, softness=0.3)
    canvas.fill(pose.on_body(knot), mix(silk, BLACK, 0.2), softness=0.3)
    if stripes:
        lines = [pose.on_body(np.array([(-7, y), (7, y - 6)])) for y in range(104, 134, 6)]
        canvas.strokes(lines, mix(silk, WHITE, 0.6), 2, 0.8, within=canvas.mask(pose.on_body(blade)))


def draw_necklace(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw a necklace: a chain with or without a pendant, or a string of beads."""
    if not person.has("Wearing_Necklace"):
        return
    random = person.random("necklace")
    kind, metal, drop, *_ = random.random(4)
    tone = any_color(random, (0.5, 0.95)) if kind > 0.75 else (_GOLD if metal < 0.5 else _SILVER)
    low = 92 + 7 * drop
    line = curve([(-29, 80), (-19, low - 5), (0, low), (19, low - 5), (29, 80)])
    if kind < 0.5:
        canvas.strokes([pose.on_body(np.add(line, (0.6, 1.0)))], BLACK, 1, 0.4, 0.5)
        canvas.strokes([pose.on_body(line)], tone, 2, 0.95)
        if kind < 0.35:
            canvas.fill(pose.on_body(ellipse((0, low + 4), (3.4, 4.4))), tone)
            canvas.fill(pose.on_body(ellipse((-0.8, low + 3), (1.1, 1.4), 8)), WHITE, 0.9)
        return
    for bead in pose.on_body(line[:: 2 + int(2 * metal)]):
        _draw_bead(canvas, bead, 2.4 * pose.scale, tone)


def draw_earrings(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw studs, drops or hoops on both earlobes."""
    if not person.has("Wearing_Earrings"):
        return
    random = person.random("earrings")
    kind, metal, length, *_ = random.random(4)
    tone = any_color(random, (0.5, 0.95)) if kind > 0.8 else (_GOLD if metal < 0.55 else _SILVER)
    for side in (-1, 1):
        lobe = np.array([side * (person.half_width + 2.5 - 6 * max(0.0, side * pose.yaw)), 18.5])
        if kind < 0.3:
            angle = np.linspace(0, 2 * np.pi, 20)
            radius = 5 + 4 * length
            hoop = np.add(lobe, (0, radius)) + np.stack([0.7 * radius * np.sin(angle), -radius * np.cos(angle)], axis=1)
            canvas.strokes([pose.on_head(hoop)], BLACK, 3, 0.35, 0.6)
            canvas.strokes([pose.on_head(hoop)], tone, 2, 1.0)
            continue
        if kind > 0.5:
            end = np.add(lobe, (0, 7 + 9 * length))
            canvas.strokes([pose.on_head(np.stack([lobe, end]))], tone, 1, 1.0)
            canvas.fill(pose.on_head(ellipse(end, (2.8, 4.2), 14)), mix(tone, BLACK, 0.15))
            canvas.fill(pose.on_head(ellipse(end - (0.8, 1.4), (0.9, 1.3), 8)), WHITE, 0.9)
        _draw_bead(canvas, pose.on_head(lobe), 2.7 * pose.scale, tone)


def _draw_bead(canvas: Canvas, center: np.ndarray, radius: float, tone: Color) -> None:
    """Draw a shiny ball and its shadow. The arguments ``center`` and ``radius`` are in pixels."""
    canvas.fill(ellipse(center + 0.2 * radius, 1.06 * np.array([radius, radius]), 12), BLACK, 0.4, 0.6)
    canvas.fill(ellipse(center, (radius, radius), 12), tone)
    canvas.fill(ellipse(center - 0.28 * radius, (0.35 * radius, 0.35 * radius), 8), WHITE, 0.92)


def draw_glasses(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw glasses of various shapes, some with thin frames and some with dark lenses."""
    if not person.has("Eyeglasses"):
        return
    random = person.random("glasses")
    shape, dark, thick, size, reflection, *_ = random.random(6)
    frame = mix(BLACK, any_color(random, (0.1, 0.7)), random.random())
    power = 0.45 + 0.55 * shape  # exponent of a superellipse, which ranges from a rounded square to an ellipse
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    unit = np.sign(circle) * np.abs(circle) ** power
    for side in (-1, 1):
        lens = pose.on_face(unit * (13.5 + 2.5 * size, 9.5 + 3 * size) + (side * 20, 1.5))
        if dark < 0.25:
            canvas.fill(lens, mix(BLACK, frame, 0.3), 0.78 + 0.2 * reflection)
        else:
            canvas.fill(lens, WHITE, 0.04 + 0.12 * reflection)
            glint = np.array(
                [(side * 20 - 7, -4), (side * 20 - 3, -5), (side * 20 - 8, 7), (side * 20 - 11, 7)], dtype=float
            )
            canvas.fill(pose.on_face(glint), WHITE, 0.34 * reflection, 0.8)
        rim = np.concatenate([lens, lens[:1]])
        canvas.strokes([rim], frame, 1 if thick < 0.3 else 2, 0.75 + 0.25 * thick)
        inner = pose.on_face(np.array([(side * 33.5, -2.0)]))
        outer = pose.on_head(np.array([(side * (person.half_width + 1), -3.0)]))
        canvas.strokes([np.concatenate([inner, outer])], frame, 2, 0.9)
    bridge = pose.on_face(curve([(-6.5, 0), (0, -2.6), (6.5, 0)]))
    canvas.strokes([bridge], frame, 1 if thick < 0.3 else 2, 0.95)


def draw_hat(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw a cap, a knitted hat or a wide-brimmed hat."""
    if not person.has("Wearing_Hat"):
        return
    random = person.random("hat")
    kind, tall, tilt, back, match = random.random(5)
    # Some hats sit far back on the head, and some match the hair colour, so that hats are not too easy to detect.
    felt = mix(any_color(random), person.hair, max(0.0, 1.2 * match - 0.3))
    edge = person.half_width + 5
    low, top = -27 + 3 * tilt - 20 * max(0.0, 2 * back - 1), -74 - 14 * tall
    crown = [(0, top), (26, top + 5), (edge, -48), (edge + 1, low), (0, low + 3)]
    canvas.fill(pose.on_head(curve(mirrored(crown), True)), felt, softness=0.4)
    canvas.fill(pose.on_head(ribbon([(14, top + 8), (edge - 8, -46), (edge - 4, low)], [3, 12, 8])), BLACK, 0.28, 4.0)
    band = [(-edge - 1, low - 4), (0, low - 1), (edge + 1, low - 4)]
    if kind < 0.35:
        canvas.fill(pose.on_head(ribbon(band, [9, 11, 9])), mix(felt, WHITE, 0.25), softness=0.4)
        ribs = [
            pose.on_head(np.array([(x, low - 8), (x * 1.02, low + 4)])) for x in np.linspace(-edge + 3, edge - 3, 15)
        ]
        canvas.strokes(ribs, mix(felt, BLACK, 0.4), 1, 0.5)
        return
    canvas.fill(pose.on_head(ribbon(band, [7, 8, 7])), mix(felt, any_color(random), 0.7), softness=0.4)
    reach = edge + 22 if kind > 0.65 else 30.0
    brim = [(-reach, low + 1 - 3 * tilt), (0, low + 5), (reach, low + 1 + 3 * tilt)]
    widths = [3, 9, 3] if kind > 0.65 else [4, 13, 4]
    canvas.fill(pose.on_head(ribbon(brim, widths)), mix(felt, BLACK, 0.18), softness=0.4)
    canvas.fill(pose.on_head(ribbon(np.add(brim, (0, 6)), widths)), BLACK, 0.3, 2.5)
