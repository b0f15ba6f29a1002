"""Where parts are, as people said and as was predicted: what files for other tools are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import F8, frozen
from explgraph.base.errors import check_shape, require
from explgraph.base.records import Record

from .annotations import Annotations, PhotoSize, photo_of, photo_shapes, pixel_yx

HERE, RIGHT, HIDDEN, PREDICTED = ANSWERS = ("here", "right", "hidden", "predicted")
"""Who said it, and what: a person marked the place, called the predicted one right, or said that
the part is not to be seen; or nobody did, and the place is predicted."""

PIXEL_DIGITS, CONFIDENCE_DIGITS = 2, 4
"""That files have."""


@dataclass(frozen=True, eq=False, slots=True)
class PartPlaces(Record):
    """M places of parts in photos; a photo may have several of the same part, or none.

    Attributes
    ----------
    images, parts
        M names of photos, or of boxes in them ("photo#k"), and of parts.
    yx
        (M, 2) centre, unit square of the photo as given; NaN where a person said that the part is
        hidden.
    size
        (M, 2) full height and width, unit square of the photo; NaN where unknown.
    answers
        M of `ANSWERS`.
    confidence
        (M,) in 0..1, of what is predicted; 1 of what a person said.
    visible
        (M,) whether the part is to be seen; False where a person said that it is hidden.
    """

    images: tuple[str, ...]
    parts: tuple[str, ...]
    yx: F8
    size: F8
    answers: tuple[str, ...]
    confidence: F8
    visible: NDArray[np.bool_]

    def __post_init__(self) -> None:
        m = len(self.images)
        require(
            len(self.parts) == m == len(self.answers) and {*self.answers} <= {*ANSWERS},
            f"PartPlaces has {m} images: expected as many parts and answers, each one of "
            f"{', '.join(ANSWERS)}",
        )
        for name, shape in (("yx", (m, 2)), ("size", (m, 2)), ("confidence", (m,))):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            check_shape(f"PartPlaces.{name}", array, shape)
            object.__setattr__(self, name, frozen(array, np.float64))
        check_shape("PartPlaces.visible", np.asarray(self.visible), (m,))
        object.__setattr__(self, "visible", frozen(self.visible, np.bool_))
        require(
            np.array_equal(self.known, [answer != HIDDEN for answer in self.answers]),
            f"PartPlaces.yx must be NaN exactly where a person said {HIDDEN!r}",
        )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(M,) whether there is a place at all: not where a person called the part hidden."""
        return np.asarray(np.isfinite(self.yx).all(axis=1))

    @property
    def told(self) -> NDArray[np.bool_]:
        """(M,) whether a person said it."""
        return np.array([answer != PREDICTED for answer in self.answers], dtype=bool)

    def take(self, rows: NDArray[np.generic]) -> Self:
        """Select places by index or by boolean mask."""
        index = np.arange(len(self))[rows]
        return type(self)(
            images=tuple(self.images[i] for i in index),
            parts=tuple(self.parts[i] for i in index),
            yx=self.yx[index],
            size=self.size[index],
            answers=tuple(self.answers[i] for i in index),
            confidence=self.confidence[index],
            visible=self.visible[index],
        )

    def annotations(self, photo_size: PhotoSize) -> Annotations:
        """Return places, all of which must be known, in pixels to `PIXEL_DIGITS`.

        Parameters
        ----------
        photo_size
            (height, width) of all photos in pixels, or one pair by name.

        Raises
        ------
        ExplGraphError
            If a photo's size is unknown.
        """
        shape = photo_shapes(photo_size, self.images)
        return Annotations(
            image=self.images,
            part=self.parts,
            yx=np.round(pixel_yx(self.yx, shape), PIXEL_DIGITS) + 0.0,  # no "-0.0"
            size=np.round(self.size * shape, PIXEL_DIGITS),
            group=tuple(photo_of(image) for image in self.images),
        )


def told_places(
    marks: Annotations,
    answers: Sequence[str],
    hidden: Sequence[tuple[str, str]],
    photo_size: PhotoSize,
) -> PartPlaces:
    """Return what people said as places.

    Parameters
    ----------
    marks
        A places that they marked, pixels.
    answers
        A of `ANSWERS`: which of them they called right, and which they marked themselves.
    hidden
        Photo and part of what they called hidden.
    photo_size
        (height, width) of all photos in pixels, or one pair by name.
    """
    a, h = len(marks), len(hidden)
    nowhere = np.full((h, 2), np.nan)
    size = marks.size / photo_shapes(photo_size, marks.image)
    return PartPlaces(
        images=(*marks.image, *(image for image, _ in hidden)),
        parts=(*marks.part, *(part for _, part in hidden)),
        yx=np.vstack([marks.unit(photo_size), nowhere]),
        size=np.vstack([size, nowhere]),
        answers=(*answers, *[HIDDEN] * h),
        confidence=np.ones(a + h),
        visible=np.arange(a + h) < a,
    )


def joined(each: Sequence[PartPlaces], images: Sequence[str] = ()) -> PartPlaces:
    """Put places together: by photo, in the order of ``images``, all parts of a photo side by side.

    Photos that are not among ``images`` come in the order in which they are met, after the others.
    """
    named = [*images, *(name for one in each for name in one.images)]
    order = {name: row for row, name in enumerate(dict.fromkeys(named))}
    whole = PartPlaces(
        images=tuple(name for one in each for name in one.images),
        parts=tuple(name for one in each for name in one.parts),
        yx=np.vstack([np.zeros((0, 2)), *(one.yx for one in each)]),
        size=np.vstack([np.zeros((0, 2)), *(one.size for one in each)]),
        answers=tuple(name for one in each for name in one.answers),
        confidence=np.concatenate([np.zeros(0), *(one.confidence for one in each)]),
        visible=np.concatenate([np.zeros(0, dtype=bool), *(one.visible for one in each)]),
    )
    row = np.array([order[name] for name in whole.images], dtype=np.int64)
    return whole.take(np.argsort(row, kind="stable"))


def by_photo(
    places: PartPlaces, photo_size: PhotoSize
) -> Iterator[tuple[str, tuple[int, int], list[int]]]:
    """Yield each photo's name, its (height, width) in pixels, and the rows of its places.

    Photos are sorted by name; if ``photo_size`` has names, photos without a place are among them.
    """
    rows: dict[str, list[int]] = {}
    if isinstance(photo_size, Mapping):
        rows = {photo_of(name): [] for name in photo_size}
    for row, image in enumerate(places.images):
        rows.setdefault(photo_of(image), []).append(row)
    names: Sequence[str] = sorted(rows)
    for name, shape in zip(names, photo_shapes(photo_size, names).tolist(), strict=True):
        yield name, (int(shape[0]), int(shape[1])), rows[name]
