"""Places of parts as files for other tools: a table, and what COCO, CVAT and Label Studio read.

A table and COCO key points count pixels of the upright photo, an integer being the *centre* of a
pixel, as annotations do; the others as these tools do. Each can be read again by
`explgraph.photos.annotation_files`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from explgraph.base.errors import require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.tables import write_table

from .annotations import PhotoSize
from .cvat import write_cvat
from .keypoints import write_keypoints
from .label_studio import write_label_studio
from .part_places import CONFIDENCE_DIGITS, PIXEL_DIGITS, PREDICTED, PartPlaces

FORMATS = {"csv": ".csv", "coco": ".json", "cvat": ".xml", "label-studio": ".json"}
"""Names of formats, and how their files end: an ending stands for the first one that has it."""

COLUMNS = ("image", "part", "x", "y", "width", "height", "confidence", "visible", "answer")
"""Of a table of places."""


def place_format(path: PathLike, format: str | None = None) -> str:
    """Return the name of the format that a path's ending or the caller asks for.

    Raises
    ------
    ExplGraphError
        If there is no such format, the ending is none of it, or the path is a folder.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if format is None:
        format = next((name for name, ending in FORMATS.items() if ending == suffix), "")
        require(
            format != "" and not target.is_dir(),
            f"{target} must be a .csv file, a .json file for COCO key points (or, if you ask for "
            "the format 'label-studio', for Label Studio), or an .xml file for CVAT",
        )
    elif format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    require(
        suffix == FORMATS[format] and not target.is_dir(),
        f"{target} must be a {FORMATS[format]} file, as the format {format!r} has it",
    )
    return format


def write_places(
    path: PathLike,
    places: PartPlaces,
    photo_size: PhotoSize,
    format: str | None = None,
    images: PathLike | None = None,
) -> None:
    """Write places of parts; equal places give equal bytes.

    Parameters
    ----------
    path
        The file; missing folders are made.
    places
        What to write.
    photo_size
        (height, width) of all photos in pixels, or one pair by name.
    format
        "csv": a line for each place with `COLUMNS`; what a person called hidden has ``visible`` 0
        and no place. "coco": key points, see `explgraph.photos.keypoints`, what is not visible with
        v = 1, or 0 where a person called it hidden. "cvat": see `explgraph.photos.cvat`.
        "label-studio": see `explgraph.photos.label_studio`. Default: by the path's ending.
    images
        The folder of photos, or its address, for Label Studio: see there.

    Raises
    ------
    ExplGraphError
        If there is no such format, the ending is another, or a photo's size is unknown.
    """
    format = place_format(path, format)
    if format == "csv":
        write_table(path, COLUMNS, _rows(places, photo_size))
    elif format == "coco":
        known = places.take(places.known)
        write_keypoints(
            path,
            known.annotations(photo_size),
            photo_size,
            scores=np.round(known.confidence, CONFIDENCE_DIGITS),
            visible=known.visible,
        )
    elif format == "cvat":
        write_cvat(path, places, photo_size)
    else:
        write_label_studio(path, places, photo_size, images)


def _rows(places: PartPlaces, photo_size: PhotoSize) -> Iterator[tuple[str | float, ...]]:
    known = np.flatnonzero(places.known)
    marks = places.take(known).annotations(photo_size)
    pixels = np.full((len(places), 4), np.nan)
    pixels[known] = np.hstack([marks.yx[:, ::-1], marks.size[:, ::-1]])
    for row, (image, part) in enumerate(zip(places.images, places.parts, strict=True)):
        answer, confidence = places.answers[row], places.confidence[row]
        yield (
            image,
            part,
            *map(pixel_cell, pixels[row].tolist()),
            f"{confidence:.{CONFIDENCE_DIGITS}f}" if answer == PREDICTED else "",
            int(places.visible[row]),
            answer,
        )


def pixel_cell(value: float) -> str:
    """Write a number of pixels; NaN as an empty cell."""
    return "" if np.isnan(value) else f"{value:.{PIXEL_DIGITS}f}"
