"""Cat, elephant and zebra: bodies on four legs, in random poses and coats."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .shapes import (
    BLACK,
    FAR_LIGHT,
    PINK,
    WHITE,
    Colour,
    Figure,
    Paint,
    blob,
    chain,
    choose_pattern,
    ellipse,
    mixed,
    polygon,
    tone,
    tube,
    turn,
)


def draw_eye(figure: Figure, centre: complex, radius: float, iris: Colour) -> None:
    """Add an eye with a glint to the head."""
    figure.add_detail("head", [ellipse(centre, radius * 1.25, radius * 1.25)], BLACK)
    figure.add_detail("head", [ellipse(centre, radius, radius)], iris)
    figure.add_detail("head", [ellipse(centre, radius * 0.62, radius * 0.75)], BLACK)
    glint = centre + radius * (0.3 - 0.35j)
    figure.add_detail("head", [ellipse(glint, radius * 0.3, radius * 0.3)], WHITE)


def cat(rng: np.random.Generator) -> Figure:
    """Return a cat that walks, crouches or sits."""
    u = rng.uniform
    figure = Figure()
    coat = _cat_coat(rng)
    if u() < 0.4:
        hip, shoulder = 0.26 + 0.30j, u(-0.28, -0.1) - 0.34j
        _cat_tail(rng, figure, hip + 0.22 + 0.2j, coat)
        _sitting_body(rng, figure, hip, shoulder, coat)
    else:
        hip, shoulder = 0.45 + 0j, -0.38 + u(-0.08, 0.12) * 1j
        _cat_tail(rng, figure, hip + 0.1 - 0.08j, coat)
        _walking_body(rng, figure, hip, shoulder, coat)
    _cat_head(rng, figure, shoulder + u(0.28, 0.4) * turn(u(175, 280)), coat)
    return figure


def _cat_coat(rng: np.random.Generator) -> Paint:
    u = rng.uniform
    base, second = [
        (tone(u(0.05, 0.09), u(0.55, 0.8), u(0.8, 0.95)), tone(0.05, 0.8, u(0.45, 0.6))),
        (tone(0.6, u(0, 0.12), u(0.5, 0.72)), tone(0.6, 0.1, u(0.15, 0.3))),
        (tone(u(0.08, 0.12), u(0.1, 0.3), u(0.85, 0.97)), tone(0.08, 0.5, u(0.35, 0.6))),
        (tone(0.7, u(0, 0.2), u(0.16, 0.28)), tone(0.6, 0.06, u(0.4, 0.6))),
        (WHITE, tone(u(0.04, 0.1), 0.7, u(0.3, 0.8))),
    ][int(rng.integers(5))]
    pattern = choose_pattern(rng, "plain", "stripes", "stripes", "spots", "patches")
    return Paint(base, second, pattern, period=u(0.13, 0.2), warp=u(0.1, 0.3))


def _cat_tail(rng: np.random.Generator, figure: Figure, root: complex, coat: Paint) -> None:
    u = rng.uniform
    start, curl = u(-85, 35), u(-45, 45)
    lengths = (0.17, 0.17, 0.16, 0.14)
    joints = chain(root, *((length, start + k * curl) for k, length in enumerate(lengths)))
    figure.add("tail", tube(joints, [0.075, 0.07, 0.065, 0.06, 0.05]), coat, grain=turn(start))
    tip = mixed(coat.second, coat.base, 0.2)
    figure.add_detail("tail", [ellipse(joints[-1], 0.055, 0.055)], tip)


def _walking_body(
    rng: np.random.Generator, figure: Figure, hip: complex, shoulder: complex, coat: Paint
) -> None:
    u = rng.uniform
    roots = {"back_legs": hip + 0.03j + 0.1j, "front_legs": shoulder + 0.06j + 0.1j}
    stance = _Stance(roots, u(0.16, 0.3), u(0, 38), 30, (0.105, 0.08, 0.06))
    _far_legs(rng, figure, stance, coat)
    middle = (hip + shoulder) / 2 + u(-0.05, 0.05) * 1j
    figure.add("torso", tube([hip, middle, shoulder], [0.24, 0.245, 0.23]), coat)
    _near_legs(rng, figure, stance, coat)


@dataclass(frozen=True, slots=True)
class _Stance:
    """How an animal stands: where each part's legs begin, their bones, swing and bend (degrees)."""

    roots: dict[str, complex]
    bone: float
    stride: float
    most_bent: float
    radii: tuple[float, float, float]


def _far_legs(rng: np.random.Generator, figure: Figure, stance: _Stance, coat: Paint) -> None:
    for (part, root), sign in zip(stance.roots.items(), (1, -1), strict=True):
        pose = sign * stance.stride, rng.uniform(0, stance.most_bent)
        _leg(figure, part, root, stance, pose, coat, FAR_LIGHT)


def _near_legs(rng: np.random.Generator, figure: Figure, stance: _Stance, coat: Paint) -> None:
    """Add the legs on our side, each swung against its neighbour on the far side."""
    for (part, root), sign in zip(stance.roots.items(), (-1, 1), strict=True):
        pose = sign * stance.stride, rng.uniform(0, stance.most_bent)
        _leg(figure, part, root, stance, pose, coat, 1.0)


def _leg(
    figure: Figure,
    part: str,
    root: complex,
    stance: _Stance,
    pose: tuple[float, float],
    coat: Paint,
    light: float,
) -> None:
    """Add a leg of two bones; ``pose`` is its swing forward and its bend, degrees."""
    swing, bend = pose
    upper, sole = 90 + swing, stance.radii[-1]
    joints = chain(root, (stance.bone, upper), (stance.bone, upper - bend))
    foot = ellipse(joints[-1] - sole * 0.55, sole * 1.5, sole * 0.95)
    figure.add(part, [*tube(joints, stance.radii), foot], coat, grain=turn(upper), light=light)


def _sitting_body(
    rng: np.random.Generator, figure: Figure, hip: complex, shoulder: complex, coat: Paint
) -> None:
    u = rng.uniform
    ground = hip.imag + 0.32
    for light, offset in ((FAR_LIGHT, 0.08), (1.0, -0.02)):
        top = shoulder + offset + 0.1j
        paw = complex(top.real - u(0.0, 0.18), ground)
        if light == 1.0:
            middle = (hip + shoulder) / 2 + 0.05
            figure.add("torso", tube([hip, middle, shoulder], [0.3, 0.27, 0.2]), coat, grain=1j)
        leg = tube([top, (top + paw) / 2 + 0.02, paw], [0.11, 0.075, 0.065])
        foot = ellipse(paw - 0.04, 0.1, 0.06)
        figure.add("front_legs", [*leg, foot], coat, grain=1j, light=light)
    haunch = ellipse(hip + 0.06j, 0.25, 0.21, u(-30, 30))
    foot = ellipse(complex(hip.real - 0.2, ground - 0.01), 0.16, 0.065)
    figure.add("back_legs", [haunch, foot], coat, grain=turn(30))


def _cat_head(rng: np.random.Generator, figure: Figure, centre: complex, coat: Paint) -> None:
    u = rng.uniform
    tilt = turn(u(-22, 22))
    radius = u(0.23, 0.28)

    def at(x: float, y: float) -> complex:
        return centre + radius * complex(x, y) * tilt

    tall = u(1.35, 1.7)
    inner = mixed(PINK, coat.base, 0.2)
    for side in (1, -1):
        ear = polygon(at(side * 0.95, -0.35), at(side * 0.78, -tall), at(side * 0.12, -0.85))
        figure.add("ears", [ear], coat, grain=tilt, light=FAR_LIGHT if side == 1 else 1.0)
        fold = polygon(at(side * 0.8, -0.6), at(side * 0.74, -tall * 0.84), at(side * 0.35, -0.85))
        figure.add_detail("ears", [fold], inner)
    face = [
        ellipse(at(0, 0), radius * 1.08, radius * 0.93),
        ellipse(at(-0.05, 0.3), radius, 0.6 * radius),
    ]
    figure.add("head", face, replace(coat, period=coat.period * 0.7), grain=tilt)
    cheeks = [
        ellipse(at(-0.4, 0.45), 0.3 * radius, 0.24 * radius),
        ellipse(at(0.0, 0.45), 0.3 * radius, 0.24 * radius),
    ]
    figure.add_detail("head", cheeks, mixed(coat.base, WHITE, 0.7))
    iris = tone(u(0.12, 0.38), 0.65, 0.85)
    for x in (-0.6, 0.25):
        draw_eye(figure, at(x, -0.1), radius * 0.19, iris)
    figure.add_detail("head", [polygon(at(-0.32, 0.22), at(-0.08, 0.22), at(-0.2, 0.4))], PINK)
    for side, y in ((-1, 0.4), (-1, 0.55), (1, 0.4), (1, 0.55)):
        whisker = tube([at(-0.2 + side * 0.35, 0.45), at(-0.2 + side * 1.2, y)], [0.006, 0.003])
        figure.add_detail("head", whisker, mixed(WHITE, BLACK, 0.1))


def elephant(rng: np.random.Generator) -> Figure:
    """Return an elephant that walks, its trunk hanging, stretched or raised."""
    u = rng.uniform
    figure = Figure()
    hide = tone(u(-0.45, 0.12), u(0.03, 0.22), u(0.42, 0.72))
    coat = Paint(hide, mixed(hide, BLACK, 0.16), choose_pattern(rng, "plain", "patches"))
    hip, shoulder = 0.4 + u(0, 0.08) * 1j, -0.34 + 0j
    bone, stride = u(0.2, 0.3), u(0, 26)
    tail = u(40, 110)
    joints = chain(hip + 0.33 - 0.12j, (0.16, tail - 40), (0.16, tail), (0.1, tail + 10))
    figure.add("tail", tube(joints, [0.04, 0.03, 0.026, 0.026]), coat)
    figure.add_detail("tail", [ellipse(joints[-1], 0.07, 0.04, tail)], BLACK)
    roots = {"back_legs": hip + 0.08 + 0.2j, "front_legs": shoulder - 0.02 + 0.2j}
    stance = _Stance(roots, bone, stride, 14, (0.17, 0.135, 0.13))
    _far_legs(rng, figure, stance, coat)
    back = tube([hip, 0.02 - 0.08j, shoulder], [0.36, 0.41, 0.35])
    figure.add("torso", back, coat)
    _near_legs(rng, figure, stance, coat)
    _elephant_head(rng, figure, shoulder + u(0.42, 0.5) * turn(u(175, 240)), coat)
    return figure


def _elephant_head(rng: np.random.Generator, figure: Figure, centre: complex, coat: Paint) -> None:
    u = rng.uniform
    tilt = turn(u(-18, 18))
    far_ear = ellipse(centre + (0.06 - 0.2j) * tilt, 0.16, 0.2)
    figure.add("ears", [far_ear], coat, light=FAR_LIGHT)
    first, curl = u(85, 165), u(-38, 38)
    bones = [(0.17, first + step * curl) for step in range(4)]
    trunk = tube(chain(centre + (-0.17 + 0.1j) * tilt, *bones), [0.13, 0.105, 0.085, 0.07, 0.058])
    ridges = replace(coat, second=mixed(coat.base, BLACK, 0.3), pattern="stripes", period=0.07)
    skull = [ellipse(centre, 0.27, 0.25), ellipse(centre + (-0.08 + 0.1j) * tilt, 0.2, 0.2)]
    figure.add("trunk", trunk, replace(ridges, warp=0.1), grain=turn(first + curl))
    figure.add("head", skull, coat)
    if u() < 0.75:
        tusk = chain(centre + (-0.14 + 0.2j) * tilt, (0.12, 120), (0.14, 165))
        figure.add("head", tube(tusk, [0.04, 0.03, 0.008]), Paint((0.95, 0.92, 0.82)))
    draw_eye(figure, centre + (-0.13 - 0.04j) * tilt, 0.04, tone(0.09, 0.6, 0.65))
    spread = u(0.85, 1.2)
    hinge = centre + 0.1 - 0.02j
    corners = [0 - 0.17j, 0.2 - 0.26j, 0.38 - 0.12j, 0.36 + 0.14j, 0.16 + 0.34j, 0.02 + 0.16j]
    flap = turn(u(-25, 25)) * spread
    lobe = replace(coat, base=mixed(coat.base, WHITE, 0.1))
    figure.add("ears", [blob(*(hinge + flap * corner for corner in corners))], lobe)
    inner = [blob(*(hinge + flap * (0.08 + 0.68 * corner) for corner in corners))]
    figure.add_detail("ears", inner, mixed(coat.base, PINK, 0.3))


def zebra(rng: np.random.Generator) -> Figure:
    """Return a zebra that stands, trots or grazes."""
    u = rng.uniform
    figure = Figure()
    light, dark = tone(0.1, u(0, 0.18), u(0.85, 0.98)), tone(0.07, u(0.1, 0.5), u(0.05, 0.25))
    coat = Paint(light, dark, "stripes", period=u(0.12, 0.18), warp=u(0.1, 0.28))
    hip, shoulder = 0.42 + 0j, -0.38 + u(-0.05, 0.06) * 1j
    bone, stride = u(0.3, 0.4), u(0, 34)
    tail = chain(hip + 0.2 - 0.1j, (0.12, u(0, 70)), (0.16, u(50, 100)), (0.18, u(60, 110)))
    figure.add("tail", tube(tail[:3], [0.05, 0.035, 0.03]), coat)
    figure.add("tail", tube(tail[2:], [0.035, 0.06]), Paint(dark))
    roots = {"back_legs": hip + 0.06 + 0.1j, "front_legs": shoulder - 0.01 + 0.1j}
    stance = _Stance(roots, bone, stride, 34, (0.12, 0.065, 0.045))
    rings = replace(coat, period=coat.period * 0.7)
    _far_legs(rng, figure, stance, rings)
    _zebra_neck_and_head(rng, figure, shoulder, coat)
    body = tube([hip, 0.02 + 0.04j, shoulder], [0.24, 0.25, 0.235])
    figure.add("torso", body, coat)
    _near_legs(rng, figure, stance, rings)
    return figure


def _zebra_neck_and_head(
    rng: np.random.Generator, figure: Figure, shoulder: complex, coat: Paint
) -> None:
    u = rng.uniform
    grazes = u() < 0.35
    rise = u(125, 165) if grazes else u(205, 255)
    root = shoulder - 0.04 - 0.04j
    poll = root + u(0.48, 0.6) * turn(rise)
    dip = u(95, 140) if grazes else u(120, 185)
    nose = poll + u(0.38, 0.46) * turn(dip)
    crest = turn(rise) * 1j * 0.13
    mane = replace(coat, period=0.09)
    lift = [root + 1.2 * crest, (root + poll) / 2 + 1.05 * crest, poll + 0.75 * crest]
    figure.add("neck", tube(lift, [0.07, 0.07, 0.05]), mane, grain=turn(rise), light=0.8)
    figure.add("neck", tube([root, poll], [0.19, 0.115]), coat, grain=turn(rise))
    face = turn(dip)
    for slant, light in ((40, FAR_LIGHT), (5, 1.0)):
        point = turn(dip + 180 - slant + 35)
        ear = blob(
            poll + 0.06 * point,
            poll + point * (0.14 + 0.06j),
            poll + 0.27 * point,
            poll + point * (0.14 - 0.06j),
        )
        figure.add("ears", [ear], Paint(coat.base), light=light)
    jaw = poll + 0.03 * face
    snout = tube([jaw, (jaw + nose) / 2, nose], [0.15, 0.12, 0.085])
    figure.add("head", snout, replace(coat, period=coat.period * 0.62), grain=face)
    figure.add("head", [ellipse(nose, 0.105, 0.095, dip)], Paint(mixed(coat.second, BLACK, 0.4)))
    figure.add_detail("head", [ellipse(nose + 0.04 * face + 0.03j * face, 0.02, 0.014)], PINK)
    draw_eye(figure, poll + 0.12 * face + 0.04j * face, 0.045, tone(0.09, 0.55, 0.75))
