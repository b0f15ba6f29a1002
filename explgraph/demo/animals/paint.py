"""Laying shapes on a picture: antialiasing, patterns, soft shading, and who covers whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from .shapes import Paint, Points, Shape

F4 = NDArray[np.float32]
NOTHING = -1

_SUPERSAMPLING = 3
# Directions of three plane waves that make hexagonal plates.
_HEXAGON = np.array([[1.0, -0.5, -0.5], [0.0, 0.75**0.5, -(0.75**0.5)]])
_MARGIN_PX = 4


@dataclass(frozen=True, slots=True)
class Placement:
    """An affine map from an animal's frame to pixels: ``axes`` (2, 2), ``origin`` (2,), both xy."""

    axes: NDArray[np.float64]
    origin: NDArray[np.float64]

    def to_pixels(self, points: Points) -> NDArray[np.float64]:
        """Return the (n, 2) xy pixel coordinates of n points."""
        return (
            np.ascontiguousarray(points).view(np.float64).reshape(-1, 2) @ self.axes.T + self.origin
        )

    def from_pixels(self, xy: NDArray[np.float64]) -> Points:
        """Return the points of the frame at (..., 2) xy pixel coordinates."""
        local = (xy - self.origin) @ np.linalg.inv(self.axes).T
        return np.asarray(local[..., 0] + 1j * local[..., 1])


@dataclass(frozen=True, slots=True)
class Style:
    """How one picture is lit.

    Attributes
    ----------
    light
        Direction towards the light, xy, in pixels of a 128-pixel picture.
    depth
        Strength of the shading, 0 flat.
    rim
        Opacity of the dark rim around every shape, 0..1.
    """

    light: tuple[float, float]
    depth: float
    rim: float


class Picture:
    """A square picture in the making, and for each pixel the label of what is seen there.

    Attributes
    ----------
    colour
        (S, S, 3) float32, RGB in 0..1.
    labels
        (S, S) int8, `NOTHING` where no labelled shape is seen.
    """

    def __init__(self, ground: F4, style: Style, rng: np.random.Generator) -> None:
        self.colour = ground.copy()
        self.labels = np.full(ground.shape[:2], NOTHING, dtype=np.int8)
        self._style = style
        self._wobble = value_noise(rng, len(ground), (6, 12, 24))

    @property
    def size(self) -> int:
        """S, the side in pixels."""
        return len(self.colour)

    def put(self, shape: Shape, placement: Placement, label: int) -> None:
        """Paint a shape over everything that is there; pixels that it covers get its label."""
        corners = placement.to_pixels(np.concatenate(shape.outlines))
        box = self._box(corners)
        left, top, right, bottom = box
        x = slice(max(left, 0), min(right, self.size))
        y = slice(max(top, 0), min(bottom, self.size))
        if x.start >= x.stop or y.start >= y.stop:
            return
        ends = np.cumsum([len(outline) for outline in shape.outlines])
        cover = _coverage(np.split(corners, ends[:-1]), box)
        inside = np.s_[y.start - top : y.stop - top, x.start - left : x.stop - left]
        paint = self._pattern(shape, placement, x, y)
        if not shape.is_detail:
            paint = paint * self._shading(cover, shape.light)[inside][..., None]
            rim = np.asarray(_blurred(cover, ImageFilter.BoxBlur(1)) * 2.0)[inside]
            dark = np.asarray(shape.paint.base, dtype=np.float32) * np.float32(0.25)
            self._blend(y, x, dark, np.minimum(rim, 1.0) * np.float32(self._style.rim))
        self._blend(y, x, paint, cover[inside])
        self.labels[y, x][cover[inside] >= 0.5] = label

    def _box(self, corners: NDArray[np.float64]) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom of a crop that holds the shape and its rim."""
        low = np.clip(np.floor(corners.min(axis=0)), 0, self.size) - _MARGIN_PX
        high = np.clip(np.ceil(corners.max(axis=0)), 0, self.size) + _MARGIN_PX
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _blend(self, y: slice, x: slice, paint: F4, opacity: F4) -> None:
        """Mix paint (broadcastable to a crop of colours) into the picture."""
        below = self.colour[y, x]
        below += (paint - below) * opacity[..., None]

    def _shading(self, cover: F4, brightness: float) -> F4:
        """Return brightness as if the shape were a cushion: one side light, the other dark."""
        scale = self.size / 128.0
        height = _blurred(cover, ImageFilter.GaussianBlur(3.0 * scale))
        dx, dy = (round(component * scale) for component in self._style.light)
        towards = np.roll(height, (-dy, -dx), axis=(0, 1))
        away = np.roll(height, (dy, dx), axis=(0, 1))
        shade = brightness * (1.0 + self._style.depth * (away - towards))
        return np.asarray(shade, dtype=np.float32)

    def _pattern(self, shape: Shape, placement: Placement, x: slice, y: slice) -> F4:
        """Return the shape's colours (h, w, 3) over a crop, or (3,) where it is plain."""
        paint = shape.paint
        base = np.asarray(paint.base, dtype=np.float32)
        if paint.pattern == "plain":
            return base
        centres = np.stack(
            np.meshgrid(np.arange(x.start, x.stop) + 0.5, np.arange(y.start, y.stop) + 0.5), axis=-1
        )
        local = placement.from_pixels(centres) * np.conj(shape.grain) / paint.period
        share = _pattern_share(paint, local, self._wobble[y, x])[..., None]
        return base + (np.asarray(paint.second, dtype=np.float32) - base) * share


def _coverage(outlines: list[NDArray[np.float64]], box: tuple[int, int, int, int]) -> F4:
    """Return the share of each pixel of a crop that the union of the polygons covers."""
    left, top, right, bottom = box
    size = ((right - left) * _SUPERSAMPLING, (bottom - top) * _SUPERSAMPLING)
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    for outline in outlines:
        # Pillow's integer coordinates are the centres of pixels, ours their outer corners.
        corners = (outline - (left, top)) * _SUPERSAMPLING - 0.5
        draw.polygon(corners.ravel().tolist(), fill=255)
    return np.asarray(mask.reduce(_SUPERSAMPLING), dtype=np.float32) / np.float32(255)


def _pattern_share(paint: Paint, local: Points, wobble: F4) -> F4:
    """Return the share (0..1) of the second colour at points measured in periods."""
    level: NDArray[np.floating]
    u = local.real + paint.warp * wobble
    v = local.imag - paint.warp * wobble
    if paint.pattern == "stripes":
        level = 3.0 * np.sin(2 * np.pi * u)
    elif paint.pattern == "spots":
        level = (np.cos(2 * np.pi * u) * np.cos(2 * np.pi * v) - 0.35) * 6.0
    elif paint.pattern == "plates":
        c, s = _HEXAGON
        waves = np.cos(2 * np.pi * (u[..., None] * c + v[..., None] * s)).sum(axis=-1)
        level = (-0.75 - waves) * 4.0
    else:
        level = (wobble - 0.35) * 9.0
    return np.asarray(np.clip(0.5 + level, 0.0, 1.0), dtype=np.float32)


def _blurred(cover: F4, blur: ImageFilter.BoxBlur | ImageFilter.GaussianBlur) -> F4:
    mask = Image.fromarray((cover * 255).astype(np.uint8))
    return np.asarray(mask.filter(blur), dtype=np.float32) / np.float32(255)


def value_noise(rng: np.random.Generator, size: int, cells: tuple[int, ...]) -> F4:
    """Return smooth noise (size, size) within about -2..2, each octave of half the last's weight.

    Parameters
    ----------
    cells
        Grid cells along a side of each octave, coarse to fine.
    """
    total = np.zeros((size, size), dtype=np.float32)
    weight = 1.0
    for n_cells in cells:
        grid = rng.uniform(-1.0, 1.0, (n_cells, n_cells)).astype(np.float32)
        octave = Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)
        total += np.float32(weight) * np.asarray(octave)
        weight /= 2
    return total / np.float32(0.7)
