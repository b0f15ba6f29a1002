"""Bird, fish and turtle, and the table of all species with the names of their parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .mammals import cat, draw_eye, elephant, zebra
from .shapes import (
    BLACK,
    FAR_LIGHT,
    WHITE,
    Colour,
    Figure,
    Paint,
    Points,
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


def bird(rng: np.random.Generator) -> Figure:
    """Return a bird that perches, pecks or flies."""
    u = rng.uniform
    flies = u() < 0.4
    figure = Figure(stands=not flies)
    hue = u()
    plumage = tone(hue, u(0.25, 0.85), u(0.45, 0.9))
    wing = tone(hue + u(-0.15, 0.15), u(0.3, 0.9), u(0.3, 0.7))
    coat = Paint(plumage, mixed(plumage, WHITE, 0.55), choose_pattern(rng, "plain", "spots"), 0.16)
    feathers = Paint(
        wing, mixed(wing, BLACK, 0.5), choose_pattern(rng, "plain", "stripes"), 0.1, 0.1
    )
    pitch = u(-15, 20) if flies else u(-60, 25)
    chest, rump = -0.2 * turn(-pitch), 0.34 * turn(-pitch)
    wing_root = chest * 0.6 - 0.12j
    if flies:
        _raised_wing(rng, figure, wing_root + 0.05, feathers, FAR_LIGHT)
    _bird_tail(rng, figure, rump, -pitch, feathers)
    _bird_legs(rng, figure, chest, flies)
    body = tube([chest, (chest + rump) / 2 + 0.02j, rump], [0.24, 0.21, 0.1])
    figure.add("torso", body, coat)
    belly = ellipse((chest + rump) / 2 - 0.1 + 0.1j, 0.2, 0.1, -pitch)
    figure.add_detail("torso", [belly], mixed(plumage, WHITE, 0.6))
    _bird_head(rng, figure, chest, coat)
    if flies:
        _raised_wing(rng, figure, wing_root, feathers, 1.0)
    else:
        _folded_wing(rng, figure, chest, -pitch, feathers)
    return figure


def _raised_wing(
    rng: np.random.Generator, figure: Figure, root: complex, feathers: Paint, light: float
) -> None:
    u = rng.uniform
    lift = u(-115, -35) if u() < 0.7 else u(40, 100)
    arm, edge = turn(lift), turn(lift + (55 if lift < 0 else -55))
    span = u(0.6, 0.85)
    tips = [
        root + span * arm,
        root + span * (0.82 * arm + 0.22 * edge),
        root + span * (0.6 * arm + 0.36 * edge),
        root + span * (0.3 * arm + 0.45 * edge),
    ]
    outline = blob(root - 0.12, root + span * 0.5 * (arm - 0.25 * edge), *tips, root + 0.24)
    figure.add("wings", [outline], feathers, grain=arm, light=light)


def _folded_wing(
    rng: np.random.Generator, figure: Figure, chest: complex, degrees: float, feathers: Paint
) -> None:
    along = turn(degrees + rng.uniform(-8, 12))
    front = chest - 0.06j + 0.02 * along
    corners = [-0.06 + 0.03j, 0.1 - 0.13j, 0.36 - 0.08j, 0.64 + 0.04j, 0.34 + 0.13j, 0.08 + 0.15j]
    outline = blob(*(front + corner * along for corner in corners))
    figure.add("wings", [outline], feathers, grain=along)
    tips = [
        tube([front + 0.2 * along + y * 1j * along, front + (0.52 - y) * along], [0.012, 0.006])
        for y in (0.02, 0.08)
    ]
    for tip in tips:
        figure.add_detail("wings", tip, feathers.second)


def _bird_tail(
    rng: np.random.Generator, figure: Figure, rump: complex, degrees: float, feathers: Paint
) -> None:
    u = rng.uniform
    length, fan, swing = u(0.25, 0.5), u(6, 18), degrees + u(-25, 25)
    for step in (-1, 0, 1):
        quill = rump + length * turn(swing + step * fan)
        figure.add("tail", tube([rump, quill], [0.07, 0.05]), feathers, grain=turn(swing))


def _bird_legs(rng: np.random.Generator, figure: Figure, chest: complex, flies: bool) -> None:
    u = rng.uniform
    skin = Paint(tone(u(0.03, 0.14), u(0.5, 0.9), u(0.5, 0.9)))
    bone = u(0.1, 0.14) if flies else u(0.12, 0.32)
    lean = u(15, 50) if flies else u(60, 110)
    for offset, light in ((0.2, FAR_LIGHT), (0.08, 1.0)):
        spread = lean + u(-12, 12)
        joints = chain(chest + offset + 0.16j, (bone, spread - 12), (bone, spread + 12))
        toes = [
            tube([joints[-1], joints[-1] + 0.11 * turn(a)], [0.024, 0.014]) for a in (165, 195, 10)
        ]
        outlines = [*tube(joints, [0.04, 0.026, 0.026]), *(piece for toe in toes for piece in toe)]
        figure.add("legs", outlines, skin, light=light)


def _bird_head(rng: np.random.Generator, figure: Figure, chest: complex, coat: Paint) -> None:
    u = rng.uniform
    reach = u(0.24, 0.5)
    centre = chest + reach * turn(u(150, 275))
    radius = u(0.16, 0.2)
    nod = u(-30, 25)
    look = turn(180 - nod)
    cap = tone(u(), u(0.3, 0.9), u(0.3, 0.95)) if u() < 0.5 else coat.base
    figure.add("torso", tube([chest, centre], [0.17, radius * 0.7]), coat)
    length = u(0.14, 0.32)
    beak_colour = tone(u(0.02, 0.15), u(0.6, 1.0), u(0.55, 1.0))
    upper = polygon(
        centre + look * (radius * 0.7 + 0.09j),
        centre + look * (radius + length),
        centre + look * radius * 0.7,
    )
    lower = polygon(
        centre + look * (radius * 0.7 - 0.07j),
        centre + look * (radius + length * 0.82),
        centre + look * radius * 0.7,
    )
    figure.add("head", [lower], Paint(mixed(beak_colour, BLACK, 0.25)))
    figure.add("head", [upper], Paint(beak_colour))
    if u() < 0.35:
        crest = [
            tube([centre, centre + radius * 1.7 * turn(a)], [0.07, 0.02]) for a in (-95, -70, -45)
        ]
        figure.add("head", [piece for quill in crest for piece in quill], Paint(cap))
    figure.add("head", [ellipse(centre, radius, radius)], Paint(cap))
    figure.add_detail(
        "head",
        [ellipse(centre + look * 0.5 * radius, 0.4 * radius, 0.4 * radius)],
        mixed(cap, WHITE, 0.6),
    )
    draw_eye(
        figure,
        centre + look * radius * (0.42 + 0.15j),
        radius * 0.24,
        tone(u(0.05, 0.15), 0.8, 0.9),
    )


Bend = Callable[[float, float], complex]


def fish(rng: np.random.Generator) -> Figure:
    """Return a fish that swims with a bent body."""
    u = rng.uniform
    figure = Figure(stands=False)
    hue, height, bend = u(), u(0.2, 0.36), u(-0.25, 0.25)
    base = tone(hue, u(0.35, 0.95), u(0.55, 0.98))
    second = WHITE if u() < 0.5 else tone(hue + u(0.3, 0.6), u(0.4, 0.9), u(0.3, 0.9))
    pattern = choose_pattern(rng, "plates", "stripes", "spots", "plain")
    scales = Paint(base, second, pattern, u(0.1, 0.22), 0.15)
    fin_base = tone(hue + u(-0.1, 0.1), u(0.5, 0.95), u(0.4, 0.95))
    fins = Paint(fin_base, mixed(fin_base, WHITE, 0.5), "stripes", 0.07, 0.1)

    def at(x: float, y: float) -> complex:
        """Bend the fish: its ends swing to one side."""
        return complex(x, y * height + bend * x * abs(x))

    _fish_tail_and_back(rng, figure, at, fins)
    back = [(-0.3, -0.95), (0.05, -1.0), (0.38, -0.55), (0.58, -0.24)]
    belly = [(0.58, 0.24), (0.38, 0.55), (0.05, 1.0), (-0.3, 0.95)]
    figure.add("torso", [_bent(at, back + belly)], scales)
    _fish_head(rng, figure, at, height, base)
    flap = turn(u(20, 75))
    corners = [-0.03 - 0.05j, 0.16 - 0.1j, 0.32 - 0.02j, 0.2 + 0.09j, 0.0 + 0.06j]
    pectoral = blob(*(at(-0.16, 0.25) + corner * flap for corner in corners))
    figure.add("fins", [pectoral], fins, grain=1j * flap)
    return figure


def _bent(at: Bend, corners: list[tuple[float, float]]) -> Points:
    return blob(*(at(x, y) for x, y in corners))


def _fish_tail_and_back(rng: np.random.Generator, figure: Figure, at: Bend, fins: Paint) -> None:
    u = rng.uniform
    swing = u(-0.5, 0.5)
    upper = [(0.5, -0.25), (0.72, -0.9 + swing), (1.0, -1.2 + swing), (0.84, swing)]
    lower = [(1.0, 1.1 + swing), (0.72, 0.8 + swing), (0.5, 0.25)]
    figure.add("tail", [_bent(at, upper + lower)], fins, grain=1j)
    crest, keel = u(1.35, 2.0), u(1.3, 1.8)
    front, rear = (
        [(-0.22, -0.75), (-0.02, -crest)],
        [(0.3, -crest * 0.85), (0.42, -0.4), (0.1, -0.6)],
    )
    anal = [(-0.05, 0.8), (0.12, keel), (0.32, keel * 0.75), (0.36, 0.4)]
    figure.add("fins", [_bent(at, front + rear), _bent(at, anal)], fins, grain=turn(20))


def _fish_head(
    rng: np.random.Generator,
    figure: Figure,
    at: Bend,
    height: float,
    base: Colour,
) -> None:
    u = rng.uniform
    mask = mixed(base, BLACK, 0.25) if u() < 0.6 else tone(u(), u(0.3, 0.8), u(0.5, 0.95))
    snout = u(-0.74, -0.6)
    brow = [(snout, 0.05), (-0.5, -0.62), (-0.26, -0.96), (-0.14, -0.4)]
    cheek = [(-0.12, 0.2), (-0.24, 0.95), (-0.48, 0.66)]
    figure.add("head", [_bent(at, brow + cheek)], Paint(mask))
    gill = tube([at(-0.22, -0.6), at(-0.16, 0.05), at(-0.22, 0.65)], [0.012, 0.018, 0.012])
    figure.add_detail("head", gill, mixed(mask, BLACK, 0.5))
    lips = [
        ellipse(at(snout + 0.03, 0.02), 0.05, 0.035),
        ellipse(at(snout + 0.05, 0.02) + 0.05j, 0.045, 0.03),
    ]
    figure.add_detail("head", lips, mixed(mask, tone(0.98, 0.6, 0.9), 0.5))
    draw_eye(figure, at(-0.42, -0.22), 0.22 * height + 0.012, WHITE)


def turtle(rng: np.random.Generator) -> Figure:
    """Return a turtle that walks or swims."""
    u = rng.uniform
    swims = u() < 0.45
    figure = Figure(stands=not swims)
    hue = u(0.1, 0.45)
    skin = tone(hue + u(-0.06, 0.06), u(0.3, 0.7), u(0.45, 0.8))
    shell = tone(u(0.05, 0.4), u(0.35, 0.8), u(0.35, 0.7))
    leather = Paint(
        skin, mixed(skin, WHITE, 0.35), choose_pattern(rng, "plain", "spots", "spots"), 0.12
    )
    horn = Paint(shell, mixed(shell, BLACK, 0.65), "plates", u(0.2, 0.3), 0.12)
    height = u(0.3, 0.5)
    tail = chain(0.5 + 0.08j, (0.1, u(-20, 40)), (0.12, u(-10, 70)))
    figure.add("tail", tube(tail, [0.08, 0.05, 0.012]), leather)
    limb = _flipper if swims else _stump
    poses = [u(-1, 1) for _ in range(4)]
    limb(figure, "back_legs", 0.32 + 0.1j, poses[0], leather, FAR_LIGHT)
    limb(figure, "front_legs", -0.3 + 0.1j, poses[1], leather, FAR_LIGHT)
    _turtle_head(rng, figure, leather)
    belly = ellipse(0.0 + 0.1j, 0.54, 0.13)
    figure.add("torso", [belly], Paint(mixed(skin, (0.9, 0.85, 0.55), 0.6)))
    limb(figure, "back_legs", 0.36 + 0.14j, poses[2], leather, 1.0)
    limb(figure, "front_legs", -0.34 + 0.14j, poses[3], leather, 1.0)
    arc = np.linspace(0, np.pi, 15)
    dome = np.concatenate(
        [-0.58 * np.cos(arc) - 1j * height * np.sin(arc) ** 0.8, [0.6 + 0.1j, -0.6 + 0.1j]]
    )
    figure.add("torso", [dome], horn)
    figure.add(
        "torso",
        tube([-0.59 + 0.07j, 0.1j, 0.59 + 0.07j], [0.055, 0.065, 0.055]),
        Paint(mixed(shell, WHITE, 0.25), horn.second, "stripes", 0.16, 0.05),
    )
    return figure


def _stump(
    figure: Figure, part: str, root: complex, pose: float, leather: Paint, light: float
) -> None:
    """Add a short leg with claws; ``pose`` from -1 (pushed back) to 1 (reaching forward)."""
    joints = chain(root, (0.16, 90 + 35 * pose), (0.16, 90 + 10 * pose))
    sole = joints[-1] - 0.03
    figure.add(
        part, [*tube(joints, [0.13, 0.11, 0.09]), ellipse(sole, 0.12, 0.07)], leather, light=light
    )
    claws = [ellipse(sole - 0.09 + step * 0.05 + 0.045j, 0.02, 0.024) for step in range(3)]
    figure.add_detail(part, claws, mixed(WHITE, leather.base, 0.2))


def _flipper(
    figure: Figure, part: str, root: complex, pose: float, leather: Paint, light: float
) -> None:
    """Add a swimming leg; ``pose`` from -1 (stroke done) to 1 (reaching forward)."""
    reach = 0.55 if part == "front_legs" else 0.36
    beat = 85 + 55 * pose if part == "front_legs" else 55 + 35 * pose
    along = turn(beat)
    corners = [-0.1 + 0.0j, 0.2 - 0.11j, 0.65 - 0.16j, 1.0 - 0.05j, 0.7 + 0.08j, 0.25 + 0.14j]
    outline = blob(*(root + reach * corner * along for corner in corners))
    figure.add(part, [outline], leather, grain=along, light=light)


def _turtle_head(rng: np.random.Generator, figure: Figure, leather: Paint) -> None:
    u = rng.uniform
    raised, reach = u(150, 262), u(0.2, 0.46)
    root = -0.46 + 0.0j
    centre = chain(root, (reach * 0.6, 180 + (raised - 180) * 0.4), (reach * 0.6, raised))
    figure.add("head", tube([root + 0.1, *centre[1:]], [0.13, 0.1, 0.1]), leather)
    nod = turn(u(-20, 30))
    skull = centre[-1] - 0.08 * nod
    radius = u(0.145, 0.18)
    plain = replace(leather, pattern="plain")
    figure.add(
        "head",
        [
            ellipse(skull, radius * 1.2, radius),
            ellipse(skull - 0.6 * radius * nod, 0.8 * radius, 0.72 * radius),
        ],
        plain,
    )
    mouth = [skull + radius * nod * corner for corner in (-1.35 + 0.2j, -0.8 + 0.42j, -0.2 + 0.3j)]
    figure.add_detail("head", tube(mouth, [0.008, 0.014, 0.006]), mixed(leather.base, BLACK, 0.7))
    draw_eye(
        figure, skull + radius * nod * (-0.55 - 0.28j), radius * 0.24, tone(u(0.08, 0.2), 0.8, 0.9)
    )


@dataclass(frozen=True, slots=True)
class Species:
    """How to draw a species, and the names of its parts in the order of their labels."""

    draw: Callable[[np.random.Generator], Figure]
    parts: tuple[str, ...]


_FOUR_LEGS = ("head", "ears", "torso", "front_legs", "back_legs", "tail")
ANATOMY: dict[str, Species] = {
    "bird": Species(bird, ("head", "torso", "wings", "legs", "tail")),
    "cat": Species(cat, _FOUR_LEGS),
    "elephant": Species(elephant, (*_FOUR_LEGS, "trunk")),
    "fish": Species(fish, ("head", "torso", "fins", "tail")),
    "turtle": Species(turtle, ("head", "torso", "front_legs", "back_legs", "tail")),
    "zebra": Species(zebra, (*_FOUR_LEGS, "neck")),
}
