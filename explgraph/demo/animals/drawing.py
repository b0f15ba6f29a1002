"""Procedurally drawn animals with exact part masks: the built-in demo data.

Six species in random poses, sizes, coats and surroundings, made from a seed. A drawing depends on
its species, seed and size alone. Seeds are handed out in `SEEDS`, once: nothing that is measured
was seen in training or mining.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, NONE, U1
from explgraph.base.errors import require, unknown_name

from .paint import Picture, Placement
from .scene import cast_shadow, develop, scatter, start_picture
from .shapes import Figure
from .species import ANATOMY

SPECIES: tuple[str, ...] = tuple(ANATOMY)
"""The species that can be drawn, in the order of the demo network's outputs."""

SEEDS = MappingProxyType(
    {
        "train": range(1000),
        "test": range(10_000, 10_200),
        "mine": range(20_000, 20_400),
        "measure": range(30_000, 30_400),
    }
)
"""Seeds of the drawings that train the network, test it, are mined, and measure the graph."""

_BACKGROUND_STREAM = len(ANATOMY)
_SMALLEST_SIDE = 32


@dataclass(frozen=True, eq=False, slots=True)
class Drawing:
    """A drawn animal and where its parts are seen.

    Attributes
    ----------
    image
        (S, S, 3) uint8, RGB.
    part_mask
        (S, S) int8: which of ``parts`` is seen at a pixel, `NONE` for anything else.
    parts
        The species' parts.
    centres
        (len(parts), 2) float64: centroid of each part's visible pixels, yx in the unit square; NaN
        where nothing of it is seen.
    mirrored
        Whether the animal faces right; otherwise it faces left.
    """

    image: U1
    part_mask: NDArray[np.int8]
    parts: tuple[str, ...]
    centres: F8
    mirrored: bool

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(len(parts),) whether any pixel of a part is seen."""
        return ~np.isnan(self.centres[:, 0])


def draw_animal(species: str, seed: int, *, size: int = 128) -> Drawing:
    """Draw an animal.

    Parameters
    ----------
    species
        One of `SPECIES`.
    seed
        Non-negative; see `SEEDS`.
    size
        S, side of the picture in pixels, at least 32.

    Raises
    ------
    ExplGraphError
        For an unknown species, a negative seed or a picture too small to draw on.

    Examples
    --------
    >>> drawing = draw_animal("cat", seed=7)
    >>> drawing.image.shape, drawing.parts[0]
    ((128, 128, 3), 'head')
    """
    if species not in ANATOMY:
        raise unknown_name("species", species, SPECIES)
    rng = _stream(SPECIES.index(species), seed, size)
    anatomy = ANATOMY[species]
    picture = start_picture(rng, size)
    figure = anatomy.draw(rng)
    placement = _place(rng, figure, size)
    if figure.stands:
        _put_shadow(figure, placement, picture)
    for shape in figure.shapes:
        picture.put(shape, placement, anatomy.parts.index(shape.part))
    if rng.uniform() < 0.6:
        scatter(rng, picture, int(rng.integers(1, 4)), (0.04, 0.15), rng.uniform())
    # Grain comes last: it takes as many numbers as there are pixels, all else is free of the size.
    mirrored = bool(rng.uniform() < 0.5)
    image, mask = develop(rng, picture.colour), picture.labels
    if mirrored:
        image, mask = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    return Drawing(image, mask, anatomy.parts, _centres(mask, len(anatomy.parts)), mirrored)


def draw_background(seed: int, *, size: int = 128) -> U1:
    """Draw a scene without an animal, with as much clutter as the others have.

    Parameters
    ----------
    seed
        Non-negative; see `SEEDS`.
    size
        S, side of the picture in pixels, at least 32.

    Returns
    -------
    (S, S, 3) uint8, RGB.

    Raises
    ------
    ExplGraphError
        For a negative seed or a picture too small to draw on.
    """
    rng = _stream(_BACKGROUND_STREAM, seed, size)
    picture = start_picture(rng, size)
    scatter(rng, picture, int(rng.integers(0, 8)), (0.05, 0.35), rng.uniform())
    return develop(rng, picture.colour)


def _stream(stream: int, seed: int, size: int) -> np.random.Generator:
    require(seed >= 0, f"seed must not be negative, got {seed}")
    require(size >= _SMALLEST_SIDE, f"size must be at least {_SMALLEST_SIDE} pixels, got {size}")
    return np.random.Generator(np.random.PCG64([stream, seed]))


def _place(rng: np.random.Generator, figure: Figure, size: int) -> Placement:
    """Choose how the animal leans, how much of the picture it fills, and where it is."""
    u = rng.uniform
    lean = np.deg2rad(u(-8, 8) if figure.stands else u(-35, 35))
    stretch = np.diag(np.exp(u(-0.1, 0.1) * np.array([1.0, -1.0])))
    turned = stretch @ np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]])
    points = Placement(turned, np.zeros(2)).to_pixels(_all_points(figure))
    low, high = points.min(axis=0), points.max(axis=0)
    scale = u(0.62, 0.97) * size / (high - low).max()
    extent = (high - low) * scale
    # Up to 6 % of the picture's side may hang out of it.
    slack = np.maximum(size - extent, 0.0) / 2 + 0.06 * size
    middle = size / 2 + u(-1.0, 1.0, 2) * slack
    return Placement(turned * scale, middle - (low + high) / 2 * scale)


def _put_shadow(figure: Figure, placement: Placement, picture: Picture) -> None:
    points = placement.to_pixels(_all_points(figure))
    low, high = points.min(axis=0), points.max(axis=0)
    centre = float(low[0] + high[0]) / 2, float(high[1])
    cast_shadow(picture, centre, (float(high[0] - low[0]) * 0.5, 0.07 * picture.size))


def _all_points(figure: Figure) -> NDArray[np.complex128]:
    return np.concatenate([outline for shape in figure.shapes for outline in shape.outlines])


def _centres(mask: NDArray[np.int8], n_parts: int) -> F8:
    """Return the (n_parts, 2) centroids of the labels, yx in the unit square, NaN where absent."""
    y, x = np.nonzero(mask != NONE)
    label = mask[y, x]
    count = np.bincount(label, minlength=n_parts)
    with np.errstate(invalid="ignore"):
        sums = [np.bincount(label, weights=at + 0.5, minlength=n_parts) for at in (y, x)]
        return np.stack(sums, axis=1) / count[:, None] / len(mask)
