"""Answers of `locate` as files for other tools: a table, or COCO key points.

Both count pixels of the upright photo, and an integer is the *centre* of a pixel, as in annotations
of parts: either file can be read again as such, so that corrected answers serve as new clicks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from explgraph.base.errors import require
from explgraph.base.files import PathLike
from explgraph.base.tables import write_table
from explgraph.photos.annotations import Annotations, PhotoSize, photo_of, photo_shapes, pixel_yx
from explgraph.photos.keypoints import write_keypoints

if TYPE_CHECKING:
    from aog import Localizations


COLUMNS = (
    "image", "part", "x", "y", "width", "height", "confidence", "visible", "template", "mirrored",
)  # fmt: skip
"""Of the table."""

SUFFIXES = (".csv", ".json")

_PIXEL_DIGITS, _CONFIDENCE_DIGITS = 2, 4


def check_answer_file(path: PathLike) -> None:
    """Raise `ExplGraphError` if a path is none that `write_answers` can write."""
    target = Path(path)
    require(
        target.suffix.lower() in SUFFIXES and not target.is_dir(),
        f"{target} must be a .csv file, or a .json file for COCO key points",
    )


def write_answers(path: PathLike, where: Localizations, photo_size: PhotoSize) -> None:
    """Write where parts are, as the ending of the path says; equal answers give equal bytes.

    Parameters
    ----------
    path
        A ``.csv``: one line for each photo and part with `COLUMNS`; x, y, width and height in
        pixels to two digits, the size empty where unknown; ``visible`` and ``mirrored`` 0 or 1. Or
        a ``.json``: COCO key points, see `explgraph.photos.keypoints`, where a part that is not
        visible has v = 1 and ``score`` is the confidence.
    where
        M answers of `locate`.
    photo_size
        (height, width) of all photos in pixels, or one pair by name: `Matches.photo_sizes`.

    Raises
    ------
    ExplGraphError
        If the ending is another, or a photo's size is unknown.
    """
    check_answer_file(path)
    marks = to_annotations(where, photo_size)
    if Path(path).suffix.lower() == ".csv":
        write_table(path, COLUMNS, _rows(where, marks))
        return
    confidence = np.round(where.confidence.astype(np.float64), _CONFIDENCE_DIGITS)
    write_keypoints(path, marks, photo_size, scores=confidence, visible=where.visible)


def to_annotations(answers: Localizations, photo_size: PhotoSize) -> Annotations:
    """Return answers in the terms of annotations: pixels, here to two digits.

    Parameters
    ----------
    answers
        M answers.
    photo_size
        As for `write_answers`.

    Raises
    ------
    ExplGraphError
        If a photo's size is unknown.
    """
    shape = photo_shapes(photo_size, answers.images)
    return Annotations(
        image=answers.images,
        part=answers.parts,
        yx=np.round(pixel_yx(answers.yx, shape), _PIXEL_DIGITS) + 0.0,  # no "-0.0"
        size=np.round(answers.size * shape, _PIXEL_DIGITS),
        group=tuple(photo_of(image) for image in answers.images),
    )


def _rows(answers: Localizations, marks: Annotations) -> Iterator[tuple[str | float, ...]]:
    for row, (image, part) in enumerate(zip(marks.image, marks.part, strict=True)):
        numbers = (*marks.yx[row, ::-1].tolist(), *marks.size[row, ::-1].tolist())
        yield (
            image,
            part,
            *map(_cell, numbers),
            f"{answers.confidence[row]:.{_CONFIDENCE_DIGITS}f}",
            int(answers.visible[row]),
            int(answers.template[row]),
            int(answers.mirrored[row]),
        )


def _cell(value: float) -> str:
    """Write a number of pixels; NaN as an empty cell."""
    return "" if np.isnan(value) else f"{value:.{_PIXEL_DIGITS}f}"
