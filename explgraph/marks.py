"""One marked part as a file gives it, and the photo that a name belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .errors import require, unknown_name
from .structures import F8
from .truth import PhotoSize

UNKNOWN_SIZE = (float("nan"), float("nan"))


class Mark(NamedTuple):
    """One marked part, in the terms of `explgraph.annotations.Annotations`.

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

    >>> photo_of("a.jpg#2"), photo_of("#2 of 5.jpg")
    ('a.jpg', '#2 of 5.jpg')
    """
    return re.sub(r"#\d+$", "", item)


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
