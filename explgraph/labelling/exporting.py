"""What a session knows, as annotations and as places for files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aog import Localizations
from aog.files import predicted_places
from explgraph.photos.annotations import UNKNOWN_SIZE, Annotations, PhotoSize, photo_of
from explgraph.photos.part_places import PartPlaces, joined, told_places

from .structures import Answer


def marks(part: str, answers: Sequence[Answer]) -> Annotations:
    """Return answers that have a place as annotations of a part."""
    return to_annotations({part: answers})


def to_annotations(answers: Mapping[str, Sequence[Answer]]) -> Annotations:
    """Return the answers that have a place, by part, as annotations."""
    rows = [(part, one) for part, given in answers.items() for one in given if one.yx is not None]
    places = [one.yx for _, one in rows]
    sizes = [one.size or UNKNOWN_SIZE for _, one in rows]
    return Annotations(
        image=tuple(one.image for _, one in rows),
        part=tuple(part for part, _ in rows),
        yx=np.array(places, dtype=np.float64).reshape(-1, 2),
        size=np.array(sizes, dtype=np.float64).reshape(-1, 2),
        group=tuple(photo_of(one.image) for _, one in rows),
    )


def with_answers(
    part: str, answers: Sequence[Answer], where: Localizations | None, photo_size: PhotoSize
) -> PartPlaces:
    """Return what people said of a part, and where it is predicted in all other photos.

    Parameters
    ----------
    part
        Its name.
    answers
        That stand for it; photos that were skipped have none.
    where
        Predictions; None: there are none.
    photo_size
        Of all photos by name.
    """
    given = [one for one in answers if one.kind != "skipped"]
    hidden = [one.image for one in given if one.kind == "hidden"]
    own = told_places(
        marks(part, given),
        [one.kind for one in given if one.yx is not None],
        [(image, part) for image in hidden],
        photo_size,
    )
    if where is None:
        return own
    told = {one.image for one in given}
    rest = np.array([image not in told for image in where.images], dtype=bool)
    return joined([own, predicted_places(where).take(rest)])
