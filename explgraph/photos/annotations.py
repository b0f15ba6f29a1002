"""Part annotations: where a person marked which part in which photo."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from explgraph.base.arrays import F8, frozen
from explgraph.base.errors import check_finite, check_shape, require, unknown_name
from explgraph.base.records import Record

PhotoSize = tuple[int, int] | Mapping[str, tuple[int, int]]


UNKNOWN_SIZE = (float("nan"), float("nan"))
FARTHEST = 1e9
"""Pixels from the photo's corner that a file may name, at most: beyond, sums lose whole pixels."""


class Mark(NamedTuple):
    """One marked part, in the terms of `explgraph.photos.annotations.Annotations`.

    ``yx`` is the centre and ``size`` the full height and width, in pixels whose integers are their
    centres; ``size`` is NaN where unknown.
    """

    image: str
    part: str
    yx: tuple[float, float]
    size: tuple[float, float]
    group: str


def photo_of(item: str) -> str:
    """Return the photo's name of an item: "a.jpg" for "a.jpg#2", which is its box number 2.

    >>> photo_of("a.jpg#2"), photo_of("#2 of 5.jpg"), photo_of("#2")
    ('a.jpg', '#2 of 5.jpg', '#2')
    """
    return re.sub(r"(?s)(?<=.)#\d+$", "", item)


def photo_shapes(photo_size: PhotoSize, items: Sequence[str]) -> F8:
    """Return (A, 2) the heights and widths of the photos of A items.

    Parameters
    ----------
    photo_size
        (height, width) of all photos in pixels, or one pair by the name of a photo or item.
    items
        A names of photos, or of boxes in them ("photo#k").

    Raises
    ------
    ExplGraphError
        If a photo's size is unknown or not positive.
    """
    if isinstance(photo_size, Mapping):
        known = {photo_of(name): size for name, size in photo_size.items()}
        for item in items:
            if photo_of(item) not in known:
                raise unknown_name("photo", item, known, "Its size in pixels is needed")
        shapes = np.array([known[photo_of(item)] for item in items], dtype=np.float64)
    else:
        shapes = np.tile(np.array(photo_size, dtype=np.float64), (len(items), 1))
    shapes = shapes.reshape(-1, 2)
    for item, shape in zip(items, shapes.tolist(), strict=True):
        require(
            min(shape) > 0,
            f"the size of {photo_of(item)!r} must be (height, width) above 0, got {shape}",
        )
    return shapes


def pixel_yx(unit: NDArray[np.floating], shapes: ArrayLike) -> F8:
    """Take positions (A, 2) of unit squares to pixels whose integers are their centres.

    ``shapes`` are the photos' heights and widths: (A, 2), or (2,) of all.
    """
    return np.asarray(unit * np.asarray(shapes) - 0.5, dtype=np.float64)


def turned_size(height: float, width: float, angle: float) -> tuple[float, float]:
    """Return height and width of what covers a rectangle that is turned by an angle in radians.

    >>> turned_size(2.0, 3.0, 0.0)
    (2.0, 3.0)
    """
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    return height * cosine + width * sine, width * cosine + height * sine


@dataclass(frozen=True, eq=False, slots=True)
class Annotations(Record):
    """A marked parts in images; an image may have several of the same part, or none.

    Attributes
    ----------
    image
        A names of images.
    part
        A names of parts.
    yx
        (A, 2) centres in pixels of the upright photo, where an integer is the *centre* of a pixel:
        ``unit = (yx + 0.5) / (height, width)``. `unit` and `pixel_yx` take there and back.
    size
        (A, 2) full height and width in the same pixels; NaN where unknown.
    group
        A names of what belongs together when images are divided into halves: crops of one photo
        share it. The photo's own name where nothing else is known.
    """

    image: tuple[str, ...]
    part: tuple[str, ...]
    yx: F8
    size: F8
    group: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.image)
        require(
            len(self.part) == count == len(self.group),
            f"Annotations has {count} images, {len(self.part)} parts and {len(self.group)} groups: "
            "expected one each per annotation",
        )
        for name in ("yx", "size"):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            check_shape(f"Annotations.{name}", array, (count, 2))
            object.__setattr__(self, name, frozen(array, np.float64))
        check_finite("Annotations.yx", self.yx)

    def __len__(self) -> int:
        return len(self.image)

    @property
    def yx_from_corner(self) -> F8:
        """(A, 2) centres in pixels from the photo's corner: an integer lies between two pixels."""
        return self.yx + 0.5

    def unit(self, photo_size: PhotoSize) -> F8:
        """Return (A, 2) centres in the unit squares of their photos.

        Parameters
        ----------
        photo_size
            (height, width) of all photos in pixels, or one pair by the name of a photo or item.

        Raises
        ------
        ExplGraphError
            If a photo's size is unknown or not positive.
        """
        return np.asarray(self.yx_from_corner / photo_shapes(photo_size, self.image))

    def parts(self) -> tuple[str, ...]:
        """Return the different part names, sorted."""
        return tuple(sorted(set(self.part)))

    def of(self, part: str) -> Annotations:
        """Select the annotations of one part.

        Raises
        ------
        ExplGraphError
            If there are none.
        """
        if part not in self.part:
            raise unknown_name("part", part, self.parts())
        return self.take(np.array([name == part for name in self.part]))

    def take(self, rows: NDArray[np.generic]) -> Annotations:
        """Select annotations by index or by boolean mask."""
        index = np.arange(len(self))[rows]
        return Annotations(
            image=tuple(self.image[i] for i in index),
            part=tuple(self.part[i] for i in index),
            yx=self.yx[index],
            size=self.size[index],
            group=tuple(self.group[i] for i in index),
        )
