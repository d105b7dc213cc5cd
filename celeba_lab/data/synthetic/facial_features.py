"""Functions that draw the neck, ears, head, eyes, eyebrows, nose and mouth."""

import numpy as np

from celeba_lab.data.synthetic.canvas import Canvas, Pose, curve, ellipse, mirrored, ribbon
from celeba_lab.data.synthetic.person import BLACK, WHITE, Person, color, mix

EYE = (20.0, 0.0)
"""Position of the right eye in face coordinates."""
MOUTH = 43.5
"""Vertical distance from the eyes to the mouth in face coordinates."""

_SHADOW = color(70, 34, 28)
_BLUSH = color(228, 84, 92)
_IRIS = np.array([(62, 40, 26), (94, 62, 34), (70, 96, 70), (78, 112, 148), (104, 118, 124)], dtype=np.float32)
_LIPSTICK = np.array([(190, 22, 44), (214, 44, 96), (146, 22, 50), (222, 76, 84), (120, 26, 66)], dtype=np.float32)
_EYE_SHADOW = np.array([(84, 58, 92), (60, 70, 110), (112, 72, 52), (70, 50, 50), (54, 96, 96)], dtype=np.float32)


def draw_neck(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw the neck with its shadow, and a fold below the chin if the person has a double chin."""
    width = 22 + 9 * person.masculinity + 3 * person.random("neck").random()
    width += person.amount("Chubby", (3.0, 6.0), (-0.5, 0.5))
    chin = person.chin
    neck = mirrored([(0, 20), (width - 2, 20), (width, chin + 8), (width + 3, 92), (width + 16, 101), (0, 112)])
    canvas.fill(pose.on_body(curve(neck, closed=True)), mix(person.skin, _SHADOW, 0.16))
    shadow = mirrored([(0, chin - 22), (width - 1, chin - 18), (width - 3, chin + 4), (0, chin + 13)])
    canvas.fill(pose.on_body(curve(shadow, closed=True)), _SHADOW, 0.34, softness=3.0)
    fold = person.amount("Double_Chin", (0.75, 1.0), (0.0, 0.12))
    under = mirrored([(0, chin - 14), (width + 1, chin - 14), (width - 5, chin + 2), (0, chin + 10)])
    canvas.fill(pose.on_body(curve(under, closed=True)), mix(person.skin, _SHADOW, 0.06), min(1.0, fold), 1.0)
    line = [(-width + 5, chin), (-10, chin + 9), (0, chin + 10.5), (10, chin + 9), (width - 5, chin)]
    canvas.fill(pose.on_body(ribbon(line, [0.5, 3.2, 3.4, 3.2, 0.5])), _SHADOW, 0.55 * fold, softness=0.8)


def draw_ears(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw both ears. The head covers part of the ears, so it must be drawn afterwards."""
    for side in (-1, 1):
        turned = side * pose.yaw  # the head hides the ear on the side towards which it turns
        center = (side * (person.half_width + 1.5 - 9 * max(0.0, turned)), 5)
        canvas.fill(pose.on_head(ellipse(center, (5.5, 11.5))), mix(person.skin, _SHADOW, 0.1))
        canvas.fill(pose.on_head(ellipse((center[0] + side, 5), (2.6, 7))), _SHADOW, 0.3, softness=1.0)


def draw_head(canvas: Canvas, pose: Pose, person: Person) -> np.ndarray:
    """Draw the head with shading, cheeks and wrinkles. Return the skin mask with values from 0 to 1, (H, W)."""
    outline = pose.on_head(curve(person.head, closed=True))
    canvas.fill(outline, person.skin)
    skin = canvas.mask(outline)
    _draw_relief(canvas, pose, person, skin)
    _draw_cheeks(canvas, pose, person, skin)
    _draw_age(canvas, pose, person, skin)
    return skin


def _draw_relief(canvas: Canvas, pose: Pose, person: Person, skin: np.ndarray) -> None:
    """Draw the shading of the forehead, eye sockets and chin, with light from one side."""
    side, strength, height = person.random("relief").random(3)
    direction = -1 if side < 0.5 else 1
    edge = person.half_width
    flank = [(direction * 16, -64), (direction * edge * 1.3, -30), (direction * edge * 1.3, 50), (direction * 12, 74)]
    inner = [(direction * (16 + 10 * height), 40), (direction * 24, 0)]
    canvas.fill(pose.on_head(curve([*flank, *inner], True)), _SHADOW, 0.1 + 0.22 * strength, 9.0, skin)
    forehead = ellipse((-direction * 10, -34), (20, 13))
    canvas.fill(pose.on_face(forehead), WHITE, 0.1 + 0.12 * strength, 7.0, skin)
    for x in (-EYE[0], EYE[0]):
        canvas.fill(pose.on_face(ellipse((x, -4), (13, 7))), _SHADOW, 0.16, 3.0, skin)
    canvas.fill(pose.on_face(ellipse((0, MOUTH + 10.5), (9, 2.4))), _SHADOW, 0.2, 1.8, skin)


def _draw_cheeks(canvas: Canvas, pose: Pose, person: Person, skin: np.ndarray) -> None:
    rosy = person.amount("Rosy_Cheeks", (0.42, 0.62), (0.0, 0.06))
    if person.has("Heavy_Makeup"):
        rosy += 0.1
    high = person.amount("High_Cheekbones", (0.65, 1.0), (0.0, 0.15))
    chubby = person.amount("Chubby", (0.6, 1.0), (0.0, 0.15))
    for side in (-1, 1):
        canvas.fill(pose.on_face(ellipse((side * 24.5, 21), (10.5, 8))), _BLUSH, rosy, 4.0, skin)
        canvas.fill(pose.on_face(ellipse((side * 25.5, 12.5), (8.5, 3.6))), WHITE, 0.34 * high, 2.2, skin)
        hollow = [(side * 37, 15), (side * 28, 25), (side * 20, 34)]
        canvas.fill(pose.on_face(ribbon(hollow, [3, 8, 2])), _SHADOW, 0.34 * high, 2.4, skin)
        canvas.fill(pose.on_face(ellipse((side * 25, 33), (9, 9))), WHITE, 0.16 * chubby, 4.0, skin)
        crease = [(side * 15, 30), (side * 20.5, 41), (side * 18, 53)]
        canvas.fill(pose.on_face(ribbon(crease, [0.6, 2.6, 0.8])), _SHADOW, 0.32 * chubby, 1.2, skin)


def _draw_age(canvas: Canvas, pose: Pose, person: Person, skin: np.ndarray) -> None:
    """Draw wrinkles that depend on age, and moles that do not."""
    random = person.random("wrinkles")
    jitter = random.normal(size=(4, 3))
    age = person.amount("Young", (0.0, 0.1), (0.6, 1.0))
    lines = []
    for k, (shift, bend, span) in enumerate(jitter[:3]):
        y, half = -40 + 7.5 * k + shift, 19 + 2.5 * span
        lines.append(curve([(-half, y + 1.5), (-half / 2, y - 1 + 0.5 * bend), (half / 2, y - 1), (half, y + 1.5)]))
    for side in (-1, 1):
        lines += [curve([(side * 31, dy * 0.6), (side * 34.5, dy), (side * 37, dy * 1.7)]) for dy in (-3, 0.6, 4)]
        lines.append(curve([(side * 11, 28), (side * 18.5, 36), (side * 20, 47)]))
        lines.append(curve([(side * 17, MOUTH + 3), (side * 19, MOUTH + 10)]))
    canvas.strokes([pose.on_face(line) for line in lines], _SHADOW, 1, 0.62 * age, 0.55, skin)
    spots = random.uniform((-32, -20), (32, 50), (int(random.integers(0, 4)), 2))
    for spot in spots:
        canvas.fill(pose.on_face(ellipse(spot, (0.6, 0.6), 8)), _SHADOW, 0.3, 0.3, skin)


def draw_eyes(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw the eyes with lids, lashes, bags and eye shadow."""
    random = person.random("eyes")
    hue, look_x, look_y, size, shadow_hue, *_ = random.random(8)
    iris = _IRIS[int(hue * len(_IRIS))]
    height = person.amount("Narrow_Eyes", (1.7, 2.5), (4.2, 5.6))
    if person.has("Smiling"):
        height *= 0.92
    half = 9.2 + 1.4 * size
    makeup = person.amount("Heavy_Makeup", (0.6, 1.0), (0.0, 0.06))
    bags = person.amount("Bags_Under_Eyes", (0.6, 1.0), (0.0, 0.12))
    lashes = 1.6 - 0.6 * person.masculinity
    for side in (-1, 1):
        x, y = side * EYE[0], EYE[1]
        pouch = [(x - half + 1, y + 5.5), (x, y + 10.5), (x + half - 1, y + 5.5)]
        canvas.fill(pose.on_face(ribbon(pouch, [1, 5.5, 1])), color(96, 52, 66), 0.5 * bags, 1.1)
        canvas.fill(pose.on_face(ribbon(np.add(pouch, (0, 3.4)), [0.5, 2, 0.5])), WHITE, 0.22 * bags, 0.9)
        lid = [(x - half - 1, y), (x - half / 2, y - height - 5), (x + half / 2, y - height - 5), (x + half + 1, y)]
        canvas.fill(pose.on_face(curve(lid, True)), _EYE_SHADOW[int(shadow_hue * 5)], 0.72 * makeup, 1.0)
        almond = curve([(x - half, y + 0.8), (x, y - height), (x + half, y + 0.2), (x, y + 0.78 * height)], True)
        within = canvas.mask(pose.on_face(almond))
        canvas.fill(pose.on_face(almond), color(236, 232, 228))
        pupil = (x + 5 * (look_x - 0.5), y - 0.2 + 1.5 * (look_y - 0.5))
        canvas.fill(pose.on_face(ellipse(pupil, (4.6, 4.6))), iris, within=within)
        canvas.fill(pose.on_face(ellipse(pupil, (2.1, 2.1), 12)), BLACK, within=within)
        canvas.fill(pose.on_face(ellipse(np.add(pupil, (1.4, -1.4)), (0.9, 0.9), 8)), WHITE, 0.9, within=within)
        upper = [(x - half, y + 0.8), (x - half / 2, y - 0.72 * height), (x, y - height)]
        upper += [(x + half / 2, y - 0.72 * height), (x + half, y + 0.2)]
        thickness = lashes + 1.6 * makeup
        canvas.fill(pose.on_face(ribbon(upper, [0.6, thickness, thickness, thickness, 0.6])), BLACK, 0.85, 0.3)
        crease = np.add(upper, (0, -3.2))
        canvas.fill(pose.on_face(ribbon(crease, [0.4, 1, 1, 1, 0.4])), _SHADOW, 0.4, 0.5)
        lower = [(x - half, y + 0.8), (x, y + 0.78 * height), (x + half, y + 0.2)]
        canvas.fill(pose.on_face(ribbon(lower, [0.4, 0.8, 0.4])), _SHADOW, 0.45 + 0.3 * makeup, 0.4)


def draw_brows(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw the eyebrows."""
    random = person.random("brows")
    lift, tilt, *_ = random.random(4)
    arch = person.amount("Arched_Eyebrows", (4.5, 7.0), (0.2, 1.6))
    thickness = person.amount("Bushy_Eyebrows", (5.6, 7.6), (2.2, 3.2)) + 0.8 * person.masculinity
    tone = mix(person.hair, BLACK, 0.45)
    strands = random.uniform(-1, 1, (2, 12, 2))
    base = -12.5 - 2.5 * lift
    for side, hairs in zip((-1, 1), strands, strict=True):
        line = [
            (side * 8.5, base + 1.0 + tilt),
            (side * 17, base - 0.55 * arch),
            (side * 24.5, base - arch),
            (side * 33, base + 2.5),
        ]
        canvas.fill(pose.on_face(ribbon(line, [0.7 * thickness, thickness, 0.85 * thickness, 0.5])), tone, 0.86, 0.5)
        middle = curve(line)[np.linspace(2, 20, len(hairs)).astype(int)]
        ends = middle + hairs * (1.5, 0.5 * thickness) + (side * 1.5, -0.45 * thickness)
        canvas.strokes([pose.on_face(np.stack(pair)) for pair in zip(middle, ends, strict=True)], tone, 1, 0.55)


def draw_nose(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw the bridge, wings, nostrils and tip of the nose."""
    side, length, *_ = person.random("nose").random(3)
    direction = -1 if side < 0.5 else 1
    width = person.amount("Big_Nose", (11.5, 14.5), (6.6, 8.4))
    pointed = person.amount("Pointy_Nose", (0.7, 1.0), (0.0, 0.15))
    width *= 1 - 0.2 * pointed
    tip = 24.5 + 2.5 * length + 4.0 * pointed + (2.5 if person.has("Big_Nose") else 0.0)
    bridge = [(direction * 4, -6), (direction * 3.6, 8), (direction * 0.55 * width, tip - 3)]
    canvas.fill(pose.on_face(ribbon(bridge, [1.5, 3.2, 4.5])), _SHADOW, 0.34, 1.8)
    light = [(-direction * 0.8, -4), (-direction * 0.6, 12), (0, tip - 3)]
    canvas.fill(pose.on_face(ribbon(light, [1.4, 2.4, 3.4])), WHITE, 0.26, 1.4)
    for wing in (-1, 1):
        center = (wing * 0.74 * width, tip + 0.2)
        canvas.fill(
            pose.on_face(ellipse(center, (0.36 * width, 0.3 * width + 1))), mix(person.skin, _SHADOW, 0.2), 0.6, 0.8
        )
        around = [(wing * 0.8 * width, tip - 4), (wing * 1.06 * width, tip + 0.5), (wing * 0.72 * width, tip + 3.4)]
        canvas.fill(pose.on_face(ribbon(around, [0.5, 1.9, 0.8])), _SHADOW, 0.5, 0.5)
        nostril = ellipse((wing * 0.42 * width, tip + 2.6 - 0.8 * pointed), (0.22 * width, 1.5), 12)
        canvas.fill(pose.on_face(nostril), _SHADOW, 0.8, 0.4)
    point = mirrored([(0, tip - 12), (2.6, tip - 1), (0, tip + 5)])
    canvas.fill(pose.on_face(point), WHITE, 0.5 * pointed, 0.6)
    under = mirrored([(0, tip + 6.5), (0.5 * width, tip + 2.0)][::-1])
    canvas.fill(pose.on_face(under), _SHADOW, 0.55 * pointed, 0.5)


def draw_mouth(canvas: Canvas, pose: Pose, person: Person) -> None:
    """Draw the lips and teeth. A smile raises the corners of the mouth and creases the cheeks."""
    width, curl, gape, hue, gloss, asymmetry = person.random("mouth").random(6)
    smile = person.amount("Smiling", (0.6, 1.0), (-0.1, 0.2))
    half = 13.2 + 2.2 * width + 5.2 * max(0.0, smile)
    lift = 6.0 * smile + 0.8 * (curl - 0.5)
    gap = person.amount("Mouth_Slightly_Open", (3.2, 6.8), (0.0, 0.35))
    full = person.amount("Big_Lips", (1.65, 2.1), (0.72, 1.05))
    upper, lower = 3.0 * full, 4.2 * full
    painted = person.amount("Wearing_Lipstick", (0.7, 1.0), (0.0, 0.1))
    natural = mix(person.skin, color(172, 66, 66), 0.42)
    lip = mix(natural, _LIPSTICK[int(hue * len(_LIPSTICK))], painted)
    tilt = 1.2 * (asymmetry - 0.5)
    left, right = (-half, MOUTH - lift + tilt), (half, MOUTH - lift - tilt)
    bow = MOUTH + 1.2 * smile  # a smile lowers the middle of the mouth
    seam_up = [
        (-half / 2, bow - 0.35 * lift - 0.42 * gap),
        (0, bow - 0.42 * gap),
        (half / 2, bow - 0.35 * lift - 0.42 * gap),
    ]
    seam_down = [
        (half / 2, bow - 0.3 * lift + 0.58 * gap),
        (0, bow + 0.62 * gap),
        (-half / 2, bow - 0.3 * lift + 0.58 * gap),
    ]
    top = [(-half / 2, seam_up[0][1] - upper), (-2.6, seam_up[1][1] - upper * 1.12), (0, seam_up[1][1] - upper * 0.82)]
    top += [(2.6, seam_up[1][1] - upper * 1.12), (half / 2, seam_up[2][1] - upper)]
    bottom = [
        (half / 2, seam_down[0][1] + lower * 0.85),
        (0, seam_down[1][1] + lower),
        (-half / 2, seam_down[2][1] + lower * 0.85),
    ]
    if smile > 0.3:
        for side in (-1, 1):
            fold = [(side * 9.5, 27), (side * (half - 0.5), 35), (side * (half + 3.5), MOUTH - lift + 4)]
            canvas.fill(pose.on_face(ribbon(fold, [0.6, 2.2, 0.8])), _SHADOW, 0.5 * smile, 0.9)
            canvas.fill(pose.on_face(ellipse((side * 25, 23), (8, 6))), WHITE, 0.14 * smile, 3.0)
    mouth = pose.on_face(curve([left, *seam_up, right, *seam_down], True))
    canvas.fill(pose.on_face(curve([left, *top, right, *bottom], True)), lip, 0.95, 0.4)
    inside = canvas.mask(mouth)
    canvas.fill(mouth, color(66, 18, 20))
    if gap > 1:
        teeth = [
            (-half, MOUTH - lift - 3),
            (half, MOUTH - lift - 3),
            (0.7 * half, bow + 0.1 * gap),
            (-0.7 * half, bow + 0.1 * gap),
        ]
        shown = 0.9 if smile > 0.3 else 0.35 + 0.4 * gape
        canvas.fill(pose.on_face(np.array(teeth)), color(240, 236, 226), shown, 0.5, inside)
    line = [left, *seam_up, right]
    canvas.fill(pose.on_face(ribbon(line, [0.8, 1.2, 1.3, 1.2, 0.8])), mix(lip, BLACK, 0.6), 0.8, 0.3)
    shine = ellipse((-2 + 4 * gloss, seam_down[1][1] + 0.5 * lower), (0.32 * half, 0.18 * lower), 12)
    canvas.fill(pose.on_face(shine), WHITE, 0.12 + 0.38 * painted, 0.8)
