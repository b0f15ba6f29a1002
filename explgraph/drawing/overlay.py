"""Marks on a photo: points, lines, boxes and regions, at places in the photo's unit square."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from explgraph.base.arrays import F8
from explgraph.photos.images import LoadedImage

from .canvas import font_for

_FINER = 2  # drawn so many times as large, then reduced: Pillow draws without smoothing
_DARK, _LIGHT = "#1A1A1A", "#FFFFFF"
_DIMMED = 0.62  # brightness outside of a region


@dataclass(frozen=True, slots=True)
class Shape:
    """A marker's outline: its corners go evenly round, the first one upwards.

    Attributes
    ----------
    name
        What a legend calls it.
    sides
        How many corners it has; 0 for a disc.
    turn
        Turned by so much of the way from one corner to the next.
    """

    name: str
    sides: int
    turn: float

    def corners(self, x: float, y: float, radius: float, rim: float) -> list[tuple[float, float]]:
        """Return the corners about (x, y), for the area of a disc, moved outwards by a rim.

        Parameters
        ----------
        x, y
            The middle.
        radius
            Of the disc.
        rim
            By how much every side is moved outwards.
        """
        step = 2 * math.pi / self.sides
        reach = radius * math.sqrt(step / math.sin(step)) + rim / math.cos(step / 2)
        angles = [(i + self.turn) * step for i in range(self.sides)]
        return [(x + reach * math.sin(a), y - reach * math.cos(a)) for a in angles]


SHAPES = (
    Shape("disc", 0, 0),
    Shape("square", 4, 0.5),
    Shape("triangle", 3, 0),
    Shape("diamond", 4, 0),
    Shape("inverted triangle", 3, 0.5),
    Shape("pentagon", 5, 0),
)
"""Markers that are told apart without colour, one for each of
`explgraph.drawing.graph.draw.COLORS`."""


class Overlay:
    """A photo, or an object's box in it, to be marked; lengths are pixels of the result.

    Parameters
    ----------
    loaded
        The photo. Places are in the unit square of the whole photo, (y, x).
    room
        Longest side of the result.
    """

    def __init__(self, loaded: LoadedImage, room: int) -> None:
        width, height = loaded.image.size
        scale = room / max(width, height)
        self.size = max(round(height * scale), 1), max(round(width * scale), 1)
        fine = self.size[1] * _FINER, self.size[0] * _FINER
        self._image = loaded.image.convert("RGB").resize(fine, Image.Resampling.BICUBIC)
        self._frame = loaded.frame

    def finish(self) -> Image.Image:
        """Return the marked photo."""
        return self._image.resize((self.size[1], self.size[0]), Image.Resampling.LANCZOS)

    def pixel(self, place: F8) -> F8:
        """Return (2,) where a place is in the result, (y, x) pixels."""
        x, y = self._point(place)
        return np.array([y, x]) / _FINER

    def dim(self, region: NDArray[np.bool_], edges: F8) -> None:
        """Darken all but a region; for its arguments see `outline`."""
        y, x = (self._fine(edges[axis], axis) for axis in (0, 1))
        mask = Image.new("L", self._image.size, 0)
        draw = ImageDraw.Draw(mask)
        for i, j in np.argwhere(region).tolist():
            draw.rectangle((x[j], y[i], x[j + 1], y[i + 1]), 255)
        dark = ImageEnhance.Brightness(self._image).enhance(_DIMMED)
        self._image = Image.composite(self._image, dark, mask)

    def fade(self) -> None:
        """Turn the photo grey and pale."""
        grey = self._image.convert("L").convert("RGB")
        self._image = Image.blend(grey, Image.new("RGB", grey.size, _LIGHT), 0.45)

    def outline(self, region: NDArray[np.bool_], edges: F8, color: str, width: float) -> None:
        """Draw the border of a set of cells.

        Parameters
        ----------
        region
            (G, G) the cells.
        edges
            (2, G + 1) where they begin and end, per axis (y, x), unit square of the photo.
        color, width
            Of the line.
        """
        y, x = (self._fine(edges[axis], axis) for axis in (0, 1))
        padded = np.pad(region, 1)
        upright = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]).tolist()
        level = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]).tolist()
        lines = [((x[j], y[i]), (x[j], y[i + 1])) for i, j in upright]
        lines += [((x[j], y[i]), (x[j + 1], y[i])) for i, j in level]
        for shade, extra in ((_DARK, 0.8), (color, 0.0)):
            for line in lines:
                self._stroke(line, shade, width + extra)

    def line(self, start: F8, end: F8, color: str, width: float) -> None:
        """Draw a line from one place to another."""
        ends = (self._point(start), self._point(end))
        for shade, extra in ((_DARK, 1.0), (color, 0.0)):
            self._stroke(ends, shade, width + extra)

    def disc(self, place: F8, radius: float, color: str) -> None:
        """Draw a disc with a light rim."""
        x, y = self._point(place)
        draw = ImageDraw.Draw(self._image)
        for shade, r in ((_DARK, radius + 1.6), (_LIGHT, radius + 1.1), (color, radius)):
            r *= _FINER
            draw.ellipse((x - r, y - r, x + r, y + r), fill=shade)

    def ring(self, place: F8, radius: float, color: str, width: float) -> None:
        """Draw a circle with a dark rim on both sides."""
        x, y = self._point(place)
        draw = ImageDraw.Draw(self._image)
        for shade, extra in ((_DARK, 1.0), (color, 0.0)):
            r = (radius + width / 2 + extra) * _FINER
            stroke = max(round((width + 2 * extra) * _FINER), 1)
            draw.ellipse((x - r, y - r, x + r, y + r), outline=shade, width=stroke)

    @contextmanager
    def faded(self, opacity: float) -> Iterator[None]:
        """Let what was there before show through what is drawn meanwhile; 1 is opaque."""
        before = self._image.copy()
        yield
        self._image = Image.blend(before, self._image, opacity)

    def dot(self, place: F8, radius: float, color: str) -> None:
        """Draw a plain disc, for places of which there are many."""
        x, y = self._point(place)
        r = radius * _FINER
        ImageDraw.Draw(self._image).ellipse((x - r, y - r, x + r, y + r), fill=color)

    def marker(self, place: F8, radius: float, color: str, shape: Shape) -> None:
        """Draw a filled shape of the area of a disc of this radius, with a light and a dark rim."""
        if shape.sides == 0:
            self.disc(place, radius, color)
            return
        draw = ImageDraw.Draw(self._image)
        for shade, extra in ((_DARK, 1.7), (_LIGHT, 1.2), (color, 0.0)):
            corners = shape.corners(*self._point(place), radius * _FINER, extra * _FINER)
            draw.polygon(corners, fill=shade)

    def label(self, place: F8, text: str, size: int, offset: tuple[float, float]) -> None:
        """Write text, white on dark, with its middle ``offset`` (y, x) from a place."""
        x, y = self._point(place)
        middle = (x + offset[1] * _FINER, y + offset[0] * _FINER)
        font = font_for(text, size * _FINER)
        ImageDraw.Draw(self._image).text(
            *(middle, text, _LIGHT, font, "mm"), stroke_width=round(1.5 * _FINER), stroke_fill=_DARK
        )

    def ellipse(self, centre: F8, radii: F8, color: str, width: float) -> None:
        """Draw an ellipse with (y, x) ``radii``, unit square of the photo."""
        (left, top), (right, bottom) = self._point(centre - radii), self._point(centre + radii)
        ImageDraw.Draw(self._image).ellipse(
            (left, top, right, bottom), outline=color, width=round(width * _FINER)
        )

    def cross(self, place: F8, reach: float, color: str, width: float) -> None:
        """Draw an upright cross."""
        x, y = self._point(place)
        r = reach * _FINER
        for shade, extra in ((_DARK, 2.0), (color, 0.0)):
            e = extra * _FINER / 2
            self._stroke(((x - r - e, y), (x + r + e, y)), shade, width + extra)
            self._stroke(((x, y - r - e), (x, y + r + e)), shade, width + extra)

    def box(self, centre: F8, size: F8, color: str, width: float) -> None:
        """Draw a box of (height, width) ``size``, unit square of the photo."""
        (left, top), (right, bottom) = (
            self._point(centre - size / 2),
            self._point(centre + size / 2),
        )
        draw = ImageDraw.Draw(self._image)
        for shade, extra in ((_DARK, 2.0), (color, 0.0)):
            e = (width + extra) * _FINER / 2
            corners = (left - e, top - e, right + e, bottom + e)
            draw.rectangle(corners, outline=shade, width=round((width + extra) * _FINER))

    def _stroke(
        self, line: tuple[tuple[float, float], tuple[float, float]], color: str, width: float
    ) -> None:
        ImageDraw.Draw(self._image).line(line, fill=color, width=max(round(width * _FINER), 1))

    def _fine(self, places: F8, axis: int) -> list[float]:
        """Take coordinates along an axis to pixels of the enlarged picture."""
        start, length = self._frame[axis]
        result = (np.asarray(places, dtype=np.float64) - start) / length
        return [float(v) for v in result * self.size[axis] * _FINER]

    def _point(self, place: F8) -> tuple[float, float]:
        (y,), (x,) = self._fine(place[:1], 0), self._fine(place[1:], 1)
        return x, y


def hidden_area(
    centre: F8,
    half: F8,
    taken: Sequence[tuple[float, ...]],
    size: tuple[int, int],
) -> float:
    """Return how much a box covers of others, (y, x, half y, half x), and of the outside."""
    boxes = np.array(taken)
    overlap = np.minimum(centre + half, boxes[:, :2] + boxes[:, 2:]) - np.maximum(
        centre - half, boxes[:, :2] - boxes[:, 2:]
    )
    outside = np.maximum(half - centre, 0) + np.maximum(centre + half - size, 0)
    return float(np.maximum(overlap, 0).prod(axis=1).sum() + 100 * outside.sum())
