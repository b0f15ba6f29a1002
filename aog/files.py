"""Answers of `locate` as files for other tools: a table, or what COCO, CVAT and Label Studio read.

All but Label Studio's can be read again as annotations of parts, so that corrected answers serve as
new clicks; there, predictions become annotations when somebody submits them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from explgraph.base.files import PathLike
from explgraph.base.tables import write_table
from explgraph.photos.annotations import Annotations, PhotoSize
from explgraph.photos.part_places import CONFIDENCE_DIGITS, PREDICTED, PartPlaces
from explgraph.photos.place_files import pixel_cell, place_format, write_places

if TYPE_CHECKING:
    from aog import Localizations


COLUMNS = (
    "image", "part", "x", "y", "width", "height", "confidence", "visible", "template", "mirrored",
)  # fmt: skip
"""Of the table."""


def write_answers(
    path: PathLike,
    where: Localizations,
    photo_size: PhotoSize,
    *,
    format: str | None = None,
    images: PathLike | None = None,
) -> None:
    """Write where parts are, for other tools; equal answers give equal bytes.

    Parameters
    ----------
    path
        A ``.csv``: one line for each photo and part with `COLUMNS`; x, y, width and height in
        pixels to two digits, the size empty where unknown; ``visible`` and ``mirrored`` 0 or 1. A
        ``.json``: COCO key points, where a part that is not visible has v = 1 and ``score`` is the
        confidence. An ``.xml``: CVAT's. See the notes on formats in docs/files.md.
    where
        M answers of `locate`.
    photo_size
        (height, width) of all photos in pixels, or one pair by name: `Matches.photo_sizes`.
    format
        "csv", "coco", "cvat" or, also a ``.json``, "label-studio": tasks with predictions for
        review there. Default: by the path's ending.
    images
        The folder of photos, or its address: Label Studio's tasks say where the photos are.

    Raises
    ------
    ExplGraphError
        If there is no such format, the ending is another, or a photo's size is unknown.
    """
    format = place_format(path, format)
    places = predicted_places(where)
    if format == "csv":
        write_table(path, COLUMNS, _rows(where, places.annotations(photo_size)))
    else:
        write_places(path, places, photo_size, format, images)


def predicted_places(answers: Localizations) -> PartPlaces:
    """Return answers as places that are predicted."""
    return PartPlaces(
        images=answers.images,
        parts=answers.parts,
        yx=answers.yx.astype(np.float64),
        size=answers.size.astype(np.float64),
        answers=(PREDICTED,) * len(answers),
        confidence=answers.confidence.astype(np.float64),
        visible=answers.visible.astype(bool),
    )


def _rows(answers: Localizations, marks: Annotations) -> Iterator[tuple[str | float, ...]]:
    for row, (image, part) in enumerate(zip(marks.image, marks.part, strict=True)):
        numbers = (*marks.yx[row, ::-1].tolist(), *marks.size[row, ::-1].tolist())
        yield (
            image,
            part,
            *map(pixel_cell, numbers),
            f"{answers.confidence[row]:.{CONFIDENCE_DIGITS}f}",
            int(answers.visible[row]),
            int(answers.template[row]),
            int(answers.mirrored[row]),
        )
