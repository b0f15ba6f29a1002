"""What a session knows, as annotations and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from aog import Localizations
from aog.files import write_answers
from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.photos.annotations import (
    UNKNOWN_SIZE,
    Annotations,
    PhotoSize,
    photo_of,
    photo_shapes,
)

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
) -> Localizations:
    """Return predictions of a part with what people said in their place.

    Parameters
    ----------
    part
        Its name.
    answers
        That stand for it.
    where
        One prediction for each photo; None: there is none, and the answers alone are returned.
    photo_size
        Of all photos by name.

    Returns
    -------
    Answers have confidence 1; a part that is hidden is not visible, and stays where it is predicted
    to be. Photos that were skipped stay as they are predicted.
    """
    placed = [one for one in answers if one.yx is not None]
    result = _nowhere(part, [one.image for one in placed]) if where is None else where
    row = {image: i for i, image in enumerate(result.images)}
    yx, size = result.yx.copy(), result.size.copy()
    confidence, visible = result.confidence.copy(), result.visible.copy()
    rows = [row[one.image] for one in placed]
    own = marks(part, placed)
    yx[rows] = own.unit(photo_size)
    size[rows] = own.size / photo_shapes(photo_size, own.image)
    visible[rows] = 1
    hidden = [row[one.image] for one in answers if one.kind == "hidden" and one.image in row]
    visible[hidden] = 0
    confidence[rows + hidden] = 1
    return replace(result, yx=yx, size=size, confidence=confidence, visible=visible)


def _nowhere(part: str, images: Sequence[str]) -> Localizations:
    """Return answers that say nothing yet."""
    m = len(images)
    none, rows = np.zeros(m), np.zeros((m, 2))
    return Localizations(
        images=tuple(images),
        parts=(part,) * m,
        yx=rows,
        size=rows,
        confidence=none,
        evidence=none,
        visible=none,
        template=none,
        mirrored=none,
        probability=np.zeros((m, 1, 1)),
        frames=np.zeros((m, 2, 2)),
    )


def export_labels(path: PathLike, each: Sequence[Localizations], photo_size: PhotoSize) -> None:
    """Write what is known of parts, one entry each, as `write_answers` does."""
    held = [one for one in each if len(one)]
    require(len(held) > 0, "there is nothing to export yet: click a part in one photo at least")
    write_answers(path, together(held), photo_size)


def together(each: Sequence[Localizations]) -> Localizations:
    """Put several parts together, all parts of a photo side by side, photos by their names."""
    order = sorted(
        ((image, k, row) for k, one in enumerate(each) for row, image in enumerate(one.images))
    )
    n = len(order)
    arrays = {
        name: np.array([getattr(each[k], name)[row] for _, k, row in order])
        for name in ("yx", "size", "confidence", "evidence", "visible", "template", "mirrored")
    }
    return Localizations(
        images=tuple(image for image, _, _ in order),
        parts=tuple(each[k].parts[row] for _, k, row in order),
        probability=np.zeros((n, 1, 1)),  # no file has it
        frames=np.array([each[k].frames[row] for _, k, row in order]),
        **arrays,
    )
