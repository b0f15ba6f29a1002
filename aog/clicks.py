"""Clicks: the annotations of one part, checked against the photos that they are to be used with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, frozen
from explgraph.base.errors import ExplGraphError, check_finite, check_shape, require, unknown_name
from explgraph.base.frames import is_inside
from explgraph.photos.annotations import PhotoSize, photo_of, photo_shapes

if TYPE_CHECKING:
    from explgraph.photos.annotations import Annotations


@dataclass(frozen=True, eq=False, slots=True)
class Clicks:
    """Where one part was marked in A different images of a collection.

    Attributes
    ----------
    part
        Name of the part.
    index
        (A,) the image's row in the collection.
    yx
        (A, 2) the part's centre, unit square of the photo.
    size
        (A, 2) its full height and width in the same units; NaN where unknown.
    hidden
        (B,) rows of photos in which it was said not to be visible; none of them is clicked.
    """

    part: str
    index: NDArray[np.int64]
    yx: F8
    size: F8
    hidden: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        count = len(self.index)
        check_shape("Clicks.index", np.asarray(self.index), (count,))
        object.__setattr__(self, "index", frozen(self.index, np.int64))
        object.__setattr__(self, "hidden", frozen(np.unique(self.hidden), np.int64))
        for name in ("yx", "size"):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            check_shape(f"Clicks.{name}", array, (count, 2))
            object.__setattr__(self, name, frozen(array, np.float64))
        check_finite("Clicks.yx", self.yx)
        both = np.intersect1d(self.index, self.hidden)
        require(
            len(both) == 0,
            f"the part {self.part!r} is both clicked and hidden in {len(both)} photos: keep one",
        )

    def __len__(self) -> int:
        return len(self.index)


def check_clicks(
    annotations: Annotations, part: str, images: Sequence[str], photo_size: PhotoSize
) -> Clicks:
    """Find the images that the annotations of one part belong to, and check their positions.

    Parameters
    ----------
    annotations
        Of this and possibly other parts, which are passed over.
    part
        The part.
    images
        Names in order, e.g. those of `Matches`. Boxes in photos are called "photo#k": then an
        annotation names its box, or just the photo if that has only one.
    photo_size
        (height, width) of all photos in pixels, or one pair by name.

    Returns
    -------
    `Clicks`, in the order of the annotations.

    Raises
    ------
    ExplGraphError
        If there are no annotations or none of this part, an image is not among ``images`` or has
        several boxes, a point lies outside of its photo, a photo has two clicks, or its size is
        unknown.
    """
    require(len(annotations) > 0, "there are no annotations: mark the part in at least one photo")
    marks = annotations.of(part)
    index = _rows(marks.image, images)
    _check_single(part, [images[row] for row in index])
    yx, shape = marks.unit(photo_size), photo_shapes(photo_size, marks.image)
    _check_inside(marks, yx, shape)
    return Clicks(part, np.array(index, dtype=np.int64), yx, marks.size / shape)


def hidden_rows(names: Sequence[str], images: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows of images in which a part is hidden, by their names as in `check_clicks`.

    Raises
    ------
    ExplGraphError
        If one is not among ``images``, or has several boxes.
    """
    return np.array(_rows(names, images), dtype=np.int64)


def _rows(names: Sequence[str], images: Sequence[str]) -> list[int]:
    row_of = {name: row for row, name in enumerate(images)}
    boxes: dict[str, list[int]] = {}
    for row, name in enumerate(images):
        boxes.setdefault(photo_of(name), []).append(row)
    return [_row(name, row_of, boxes, images) for name in names]


def _row(
    name: str, row_of: Mapping[str, int], boxes: Mapping[str, list[int]], images: Sequence[str]
) -> int:
    if name in row_of:
        return row_of[name]
    rows = boxes.get(name, [])
    if len(rows) == 1:
        return rows[0]
    if rows:
        raise ExplGraphError(
            f"the photo {name!r} has {len(rows)} boxes: write in the annotation which of them it "
            f"belongs to, {images[rows[0]]!r} to {images[rows[-1]]!r}"
        )
    raise unknown_name(
        "image in the annotations:", name, images, "Names are relative to the folder of photos"
    )


def _check_single(part: str, images: Sequence[str]) -> None:
    """Check that no image is clicked twice."""
    seen: set[str] = set()
    for image in images:
        require(
            image not in seen,
            f"there are two clicks for the part {part!r} in {image!r}: keep one of them, or cut "
            "the photo into one box for each object and give each click the name of its box "
            f"({photo_of(image)}#0, {photo_of(image)}#1)",
        )
        seen.add(image)


def _check_inside(marks: Annotations, yx: F8, shape: F8) -> None:
    for row in np.flatnonzero(~is_inside(yx)):
        y, x = marks.yx[row]
        height, width = shape[row]
        raise ExplGraphError(
            f"the point x = {x:g}, y = {y:g} of the part {marks.part[row]!r} lies outside of its "
            f"photo {marks.image[row]!r}, which is {width:g} wide and {height:g} high once "
            "upright. Are x and y swapped, or counted on a photo of another size?"
        )
