"""Everything in a drawing that is no animal: grounds, clutter, light and grain.

Nothing here depends on the species, so that only the animal tells a network what it sees.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import U1

from .paint import F4, NOTHING, Picture, Placement, Style, value_noise
from .shapes import (
    Paint,
    Points,
    Shape,
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


def start_picture(rng: np.random.Generator, size: int) -> Picture:
    """Return a picture with a textured ground and some clutter on it."""
    hue = rng.uniform()
    ground = _GROUNDS[int(rng.integers(len(_GROUNDS)))](rng, size, hue)
    light = turn(rng.uniform(210, 330)) * 2.6
    style = Style((light.real, light.imag), rng.uniform(0.25, 0.5), rng.uniform(0.3, 0.8))
    picture = Picture(ground, style, rng)
    scatter(rng, picture, int(rng.integers(2, 9)), (0.04, 0.2), hue)
    return picture


def scatter(
    rng: np.random.Generator, picture: Picture, count: int, sizes: tuple[float, float], hue: float
) -> None:
    """Put clutter on the picture: what it covers is no longer seen.

    Parameters
    ----------
    sizes
        Smallest and largest half width of a piece, in sides of the picture.
    hue
        Half of the pieces keep near this hue, the others have any.
    """
    side = float(picture.size)
    placement = Placement(np.eye(2) * side, np.zeros(2))
    for _ in range(count):
        spot = complex(rng.uniform(0, 1), rng.uniform(0, 1))
        near = rng.uniform() < 0.5
        colour = tone(
            hue + rng.uniform(-0.08, 0.08) if near else rng.uniform(),
            rng.uniform(0.05, 0.8),
            rng.uniform(0.2, 0.9),
        )
        pattern = choose_pattern(rng, "plain", "plain", "stripes", "spots", "plates", "patches")
        other = mixed(colour, tone(rng.uniform(), 0.4, 0.9), 0.7)
        paint = Paint(colour, other, pattern, rng.uniform(0.03, 0.12))
        outlines = _piece(rng, spot, rng.uniform(*sizes))
        grain = turn(rng.uniform(0, 180))
        picture.put(Shape("", tuple(outlines), paint, grain), placement, NOTHING)


def develop(rng: np.random.Generator, colour: F4) -> U1:
    """Return a picture (S, S, 3) uint8: exposure, contrast and grain as a camera gives them."""
    contrast, exposure = rng.uniform(0.85, 1.12), rng.uniform(-0.06, 0.06)
    grain = rng.standard_normal(colour.shape, dtype=np.float32) * rng.uniform(0.004, 0.022)
    levels = (colour - 0.5) * contrast + 0.5 + exposure + grain
    return np.asarray(np.clip(np.rint(levels * 255), 0, 255), dtype=np.uint8)


def cast_shadow(
    picture: Picture, centre_px: tuple[float, float], half_px: tuple[float, float]
) -> None:
    """Darken the ground softly around ``centre_px`` (xy), as under somebody's feet."""
    x, y = (np.arange(picture.size) + 0.5 - centre for centre in centre_px)
    distance = (x[None, :] / half_px[0]) ** 2 + (y[:, None] / half_px[1]) ** 2
    shade = 1.0 - 0.45 * np.exp(-distance)
    picture.colour *= shade[..., None].astype(np.float32)


def _piece(rng: np.random.Generator, spot: complex, half: float) -> list[Points]:
    """Return a pebble, block, leaf, stick or tuft of grass."""
    u = rng.uniform
    lean = u(0, 360)
    kind = int(rng.integers(5))
    if kind == 0:
        return [ellipse(spot, half, half * u(0.4, 1.0), lean)]
    if kind == 1:
        corners = [half * u(0.6, 1.1) * turn(lean + angle) for angle in range(0, 360, 90)]
        return [polygon(*(spot + corner for corner in corners))]
    if kind == 2:
        corners = [half * u(0.5, 1.2) * turn(lean + angle) for angle in range(0, 360, 60)]
        return [blob(*(spot + corner for corner in corners))]
    if kind == 3:
        joints = chain(spot, (half, lean), (half, lean + u(-40, 40)), (half, lean + u(-40, 40)))
        return tube(joints, [half * u(0.1, 0.3)] * 3 + [half * 0.08])
    blades = []
    for _ in range(4):
        root, rise = spot + half * u(-0.5, 0.5), 270 + u(-30, 30)
        blades += tube(
            chain(root, (half, rise), (half, rise + u(-35, 35))), [half * 0.12, half * 0.09, 0.002]
        )
    return blades


def _two_tones(rng: np.random.Generator, hue: float) -> tuple[F4, F4]:
    """Return two related colours of a ground, as (3,) arrays."""
    u = rng.uniform
    first = _ink(hue, u(0.08, 0.5), u(0.35, 0.9))
    second = _ink(hue + u(-0.12, 0.12), u(0.08, 0.55), u(0.25, 0.85))
    return first, second


def _ink(hue: float, saturation: float, value: float) -> F4:
    """Return `tone`'s colour as an array (3,)."""
    return np.asarray(tone(hue, saturation, value), dtype=np.float32)


def _blend(first: F4, second: F4, share: NDArray[np.floating]) -> F4:
    return np.asarray(first + (second - first) * np.clip(share, 0, 1)[..., None], dtype=np.float32)


def _clouded(rng: np.random.Generator, size: int, hue: float) -> F4:
    """Noise of several octaves between two colours."""
    cells = (2, 4, 8, 16, 32) if rng.uniform() < 0.5 else (8, 16, 32, 64)
    first, second = _two_tones(rng, hue)
    return _blend(first, second, 0.5 + 0.5 * value_noise(rng, size, cells))


def _landscape(rng: np.random.Generator, size: int, hue: float) -> F4:
    """Sky above, a rougher ground below."""
    sky = _ink(rng.uniform(0.5, 0.68), rng.uniform(0.1, 0.5), 0.9)
    haze = _ink(rng.uniform(0.0, 0.6), rng.uniform(0.02, 0.25), 0.95)
    first, second = _two_tones(rng, hue)
    rows = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    above = _blend(sky, haze, rows + 0.15 * value_noise(rng, size, (3, 6, 12)))
    below = _blend(first, second, rows * 0.5 + 0.4 * value_noise(rng, size, (8, 16, 32, 64)))
    hills = 0.05 * value_noise(rng, size, (3, 6))[:1]
    horizon = np.clip((rows - rng.uniform(0.3, 0.75) + hills) * size / 2, 0, 1)
    return _blend(above, below, horizon)


def _striped(rng: np.random.Generator, size: int, hue: float) -> F4:
    """Bars, planks or ripples."""
    first, second = _two_tones(rng, hue)
    second = np.asarray((first + second) / 2, dtype=np.float32)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    lean = turn(rng.uniform(0, 180))
    wobble = value_noise(rng, size, (3, 6, 12))
    phase = (x * lean.real + y * lean.imag) * rng.uniform(4, 14) + rng.uniform(0, 0.4) * wobble
    share = 0.5 + rng.uniform(0.5, 2.0) * np.sin(2 * np.pi * phase)
    rough = 0.06 * value_noise(rng, size, (16, 32, 64))[..., None]
    return np.asarray(_blend(first, second, share) + rough)


def _foliage(rng: np.random.Generator, size: int, hue: float) -> F4:
    """Leaves over leaves, the lower the darker."""
    first, second = _two_tones(rng, hue)
    dark = (first * 0.4).astype(np.float32)
    picture = Picture(np.broadcast_to(dark, (size, size, 3)), Style((0.0, -2.0), 0.3, 0.4), rng)
    placement = Placement(np.eye(2) * float(size), np.zeros(2))
    n_leaves = 34
    for i in range(n_leaves):
        colour = _blend(first, second, np.asarray(rng.uniform())) * (0.45 + 0.5 * i / n_leaves)
        spot, lean = complex(rng.uniform(), rng.uniform()), turn(rng.uniform(0, 360))
        half = rng.uniform(0.06, 0.15)
        corners = [-1 + 0j, -0.2 - 0.4j, 1 + 0j, -0.2 + 0.4j]
        leaf = blob(*(spot + half * corner * lean for corner in corners))
        red, green, blue = (float(level) for level in colour)
        picture.put(Shape("", (leaf,), Paint((red, green, blue))), placement, NOTHING)
    return picture.colour


def _lights(rng: np.random.Generator, size: int, hue: float) -> F4:
    """Soft gradient with discs of light, as behind a subject in focus."""
    first, second = _two_tones(rng, hue)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    lean = turn(rng.uniform(0, 360))
    picture = _blend(first, second, 0.5 + (x - 0.5) * lean.real + (y - 0.5) * lean.imag)
    for _ in range(int(rng.integers(6, 16))):
        radius, centre = rng.uniform(0.04, 0.14), rng.uniform(0, 1, 2)
        distance = np.hypot(x - centre[0], y - centre[1])
        share = np.clip((radius - distance) * size / 3, 0, 1) * rng.uniform(0.15, 0.5)
        glow = _ink(hue + rng.uniform(-0.15, 0.15), rng.uniform(0.1, 0.5), 0.95)
        picture = picture + (glow - picture) * share[..., None].astype(np.float32)
    return np.asarray(picture, dtype=np.float32)


_GROUNDS: list[Callable[[np.random.Generator, int, float], F4]] = [
    _clouded,
    _landscape,
    _landscape,
    _striped,
    _foliage,
    _lights,
]
