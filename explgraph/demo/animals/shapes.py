"""What a drawn animal is made of: outlines, paints, shapes.

Points of an animal's own frame are complex numbers x + iy, y pointing down: turning is
multiplication. An animal faces left (-x) and its torso is about one unit long. Angles are in
degrees: 180 points forward, 270 up, 0 backward, 90 down.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.complex128]
Colour = tuple[float, float, float]
Pattern = Literal["plain", "stripes", "spots", "plates", "patches"]

BLACK: Colour = (0.06, 0.05, 0.07)
WHITE: Colour = (0.97, 0.96, 0.93)
PINK: Colour = (0.87, 0.55, 0.55)
FAR_LIGHT = 0.72
"""Brightness of limbs on the far side of a body."""

_DISC_CORNERS = 14
_STEPS_PER_SPAN = 4


@dataclass(frozen=True, slots=True)
class Paint:
    """Two colours (RGB in 0..1) and how they are laid over a shape.

    Attributes
    ----------
    period
        Distance of stripes, spots or plates, body units.
    warp
        How far the pattern strays from regular, in periods.
    """

    base: Colour
    second: Colour = (0.0, 0.0, 0.0)
    pattern: Pattern = "plain"
    period: float = 0.2
    warp: float = 0.3


@dataclass(frozen=True, slots=True)
class Shape:
    """A painted union of polygons that belongs to one part.

    Attributes
    ----------
    grain
        Unit number along which the pattern's period is measured: stripes lie across it.
    light
        Brightness factor; limbs of the far side are darker.
    is_detail
        Eyes, noses, claws: painted flat, without rim and shading.
    """

    part: str
    outlines: tuple[Points, ...]
    paint: Paint
    grain: complex = 1 + 0j
    light: float = 1.0
    is_detail: bool = False


@dataclass(slots=True)
class Figure:
    """An animal in its own frame: its shapes, the farthest first."""

    shapes: list[Shape] = field(default_factory=list)
    stands: bool = True

    def add(
        self,
        part: str,
        outlines: Sequence[Points],
        paint: Paint,
        *,
        grain: complex = 1 + 0j,
        light: float = 1.0,
    ) -> None:
        """Put a shaded shape before all that were added so far."""
        self.shapes.append(Shape(part, tuple(outlines), paint, grain, light))

    def add_detail(self, part: str, outlines: Sequence[Points], colour: Colour) -> None:
        """Put a flat spot of one colour before all that were added so far."""
        self.shapes.append(Shape(part, tuple(outlines), Paint(colour), is_detail=True))


def tone(hue: float, saturation: float, value: float) -> Colour:
    """Return a colour from its hue, saturation and value, each in 0..1 (hue wraps around)."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """Return a colour with a share of another one mixed in."""
    red, green, blue = (a + (b - a) * share for a, b in zip(colour, other, strict=True))
    return red, green, blue


def choose_pattern(rng: np.random.Generator, *patterns: Pattern) -> Pattern:
    """Return one of the patterns, all equally likely."""
    return patterns[int(rng.integers(len(patterns)))]


def turn(degrees: float) -> complex:
    """Return the unit number that points in a direction."""
    return complex(np.exp(1j * np.deg2rad(degrees)))


def ellipse(centre: complex, along: float, across: float, degrees: float = 0.0) -> Points:
    """Return an ellipse's outline; ``along`` and ``across`` are its half axes."""
    angles = np.linspace(0.0, 2 * np.pi, 28, endpoint=False)
    return np.asarray(
        centre + (along * np.cos(angles) + 1j * across * np.sin(angles)) * turn(degrees)
    )


def polygon(*corners: complex) -> Points:
    """Return a polygon's outline."""
    return np.asarray(corners, dtype=np.complex128)


def blob(*corners: complex) -> Points:
    """Return a smooth closed outline through the corners."""
    ring = np.asarray(corners, dtype=np.complex128)
    return _curve(np.concatenate([ring[-1:], ring, ring[:2]]))[:-1]


def chain(root: complex, *bones: tuple[float, float]) -> list[complex]:
    """Return the joints of a limb: its root, then the end of each (length, degrees) bone."""
    joints = [root]
    for length, degrees in bones:
        joints.append(joints[-1] + length * turn(degrees))
    return joints


def tube(spine: Sequence[complex], radii: Sequence[float]) -> list[Points]:
    """Return a smooth limb as polygons whose union is its outline.

    The limb is swept by a disc that follows the curve through ``spine`` while its radius goes from
    one of ``radii`` to the next. Separate convex pieces, because one outline of a strongly bent
    limb would cross itself and leave holes.
    """
    joints = np.asarray(spine, dtype=np.complex128)
    before, after = 2 * joints[0] - joints[1], 2 * joints[-1] - joints[-2]
    path = _curve(np.concatenate([[before], joints, [after]]))
    steps = np.linspace(0.0, len(joints) - 1.0, len(path))
    width = np.interp(steps, np.arange(len(joints)), radii)
    ring = np.exp(2j * np.pi * np.arange(_DISC_CORNERS) / _DISC_CORNERS)
    discs = [centre + radius * ring for centre, radius in zip(path, width, strict=True)]
    heading = np.diff(path)
    side = 1j * heading / np.maximum(np.abs(heading), 1e-9)
    links = [
        polygon(
            path[i] + side[i] * width[i],
            path[i + 1] + side[i] * width[i + 1],
            path[i + 1] - side[i] * width[i + 1],
            path[i] - side[i] * width[i],
        )
        for i in range(len(side))
    ]
    return discs + links


def _curve(knots: Points) -> Points:
    """Sample the Catmull-Rom curve from the second knot to the last but one."""
    t = np.linspace(0.0, 1.0, _STEPS_PER_SPAN, endpoint=False)[:, None]
    p0, p1, p2, p3 = knots[:-3], knots[1:-2], knots[2:-1], knots[3:]
    spans = p1 + 0.5 * t * (
        p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))
    )
    return np.concatenate([spans.T.ravel(), knots[-2:-1]])
