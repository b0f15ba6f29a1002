"""COCO key points: part annotations and predictions as other tools read and write them.

A key point is ``x, y, v``. The file's positions count pixels from 0 and an integer is taken as the
*centre* of a pixel, as in our CSV: nothing is shifted. COCO *boxes* are another matter: they begin
at the pixel's outer corner (see `explgraph.photos.boxes`), so the key point 0, 0 lies in the box 0,
0, 1, 1. ``v`` is 0 where nothing is marked, 1 where a hidden part is marked, 2 where the part is
seen.

COCO has no sizes of parts, no groups and no names for boxes in photos. `write_keypoints` puts them
into each annotation's field ``explgraph``, an object that other tools pass over:

========== =======================================================================
entry      meaning
========== =======================================================================
``sizes``  full width and height of each key point's part; null where unknown
``scores`` of each key point; null where the key point is not marked
``item``   name of the box in the photo ("photo#k"), or the photo's
``group``  what belongs together
========== =======================================================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import ArrayLike

from explgraph.base.arrays import F8
from explgraph.base.errors import ExplGraphError, check_finite, check_shape, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.json_text import decode_json
from explgraph.base.writing import write_bytes

from .annotations import FARTHEST, Mark, PhotoSize, photo_of, photo_shapes

if TYPE_CHECKING:
    from .annotations import Annotations


_HIDDEN, _SEEN = 1, 2
_CATEGORY = 1


def decode_keypoints(text: bytes, source: Path, label: str | None = None) -> list[Mark]:
    """Read a text in COCO's format of key points.

    Parameters
    ----------
    text
        A JSON object with ``images`` (id, file_name), ``categories`` (id, name, keypoints) and
        ``annotations`` (image_id, category_id, keypoints). Annotations without key points, such as
        plain boxes, are passed over. An annotation's ``bbox`` is the object's, not a part's.
    source
        Where it comes from, for errors.
    label
        Take only the annotations of the category with this name.

    Returns
    -------
    One mark for each key point with v > 0, also of hidden parts (v = 1), in the order of the file.

    Raises
    ------
    ExplGraphError
        If it is none of this, or there is no such category.
    """
    content = _content(text, source)
    images = {image.id: image.file_name for image in content.images}
    categories = {category.id: category for category in content.categories}
    labels = [category.name for category in categories.values()]
    if label is not None and label not in labels:
        raise unknown_name(f"category in {source}:", label, labels)
    marks: list[Mark] = []
    for annotation in content.annotations:
        where = f"{source}, annotation {annotation.id}"
        category = categories.get(annotation.category_id)
        photo = images.get(annotation.image_id)
        if category is None or photo is None:
            raise ExplGraphError(
                f"{where}: image_id {annotation.image_id!r} or category_id "
                f"{annotation.category_id!r} is not among the ids of 'images', 'categories'"
            )
        if annotation.keypoints and label in (None, category.name):
            marks.extend(_marks(where, annotation, category.keypoints or [], photo))
    return marks


_Id = int | str
_Name = Annotated[str, Meta(min_length=1)]
_Pixel = Annotated[float, Meta(ge=-FARTHEST, le=FARTHEST)]
_Length = Annotated[float, Meta(ge=0, le=FARTHEST)]


class _Image(Struct):
    id: _Id
    file_name: _Name


class _Category(Struct):
    id: _Id
    name: str
    keypoints: list[_Name] | None = None


class _Own(Struct):
    sizes: list[_Length | None] | None = None
    item: _Name | None = None
    group: _Name | None = None


class _Object(Struct):
    image_id: _Id
    category_id: _Id
    id: _Id | None = None
    keypoints: list[_Pixel | None] | None = None
    explgraph: _Own | None = None


class _Content(Struct):
    images: list[_Image]
    categories: list[_Category]
    annotations: list[_Object]


def _content(text: bytes, source: Path) -> _Content:
    try:
        content: _Content = decode_json(text, str(source), _Content)
    except ExplGraphError as error:
        raise ExplGraphError(
            f"{error}. A COCO file of key points is an object with the lists 'images' (id, "
            "file_name), 'categories' (id, name, keypoints) and 'annotations' (image_id, "
            "category_id, keypoints)"
        ) from error
    return content


def _marks(where: str, annotation: _Object, parts: Sequence[str], photo: str) -> Iterator[Mark]:
    own = annotation.explgraph or _Own()
    points = _numbers(f"{where}: 'keypoints'", annotation.keypoints or [], len(parts), 3)
    no_sizes = [None] * (2 * len(parts))
    sizes = _numbers(f"{where}: the sizes", own.sizes or no_sizes, len(parts), 2)
    for part, (x, y, visibility), (width, height) in zip(parts, points, sizes, strict=True):
        if visibility > 0:
            require(
                math.isfinite(x + y),
                f"{where}: the key point {part!r} must have numbers as position, got {x}, {y}",
            )
            yield Mark(
                image=own.item or photo,
                part=part,
                yx=(float(y), float(x)),
                size=(float(height), float(width)),
                group=own.group or photo,
            )


def _numbers(where: str, values: Sequence[float | None], rows: int, columns: int) -> F8:
    """Return a flat list as rows of numbers, one for each key point of the category."""
    require(
        len(values) == rows * columns,
        f"{where} must hold {columns} numbers for each of the {rows} key points of its category, "
        f"got {len(values)} numbers",
    )
    return np.array(values, dtype=np.float64).reshape(rows, columns)  # None becomes NaN


def write_keypoints(
    path: PathLike,
    annotations: Annotations,
    photo_size: PhotoSize,
    *,
    scores: ArrayLike | None = None,
    visible: ArrayLike | None = None,
    category: str = "object",
) -> None:
    """Write part annotations or predictions as COCO key points.

    The parts of one image, or of one box in a photo ("photo#k"), are the key points of one COCO
    annotation; a second instance of a part begins another one. Its ``bbox`` covers the boxes of its
    parts, a part of unknown size counting as one pixel. Photos and annotations are numbered from 1,
    sorted by photo; equal input gives equal bytes. Read again, the marks are the same, sorted by
    photo, then by instance, then by part.

    Parameters
    ----------
    path
        The file; missing folders are made.
    annotations
        A marked parts.
    photo_size
        (height, width) of all photos in pixels, or one pair by name; then photos on which nothing
        is marked are listed too.
    scores
        (A,) confidences. A COCO annotation has the mean of its parts' as ``score``.
    visible
        (A,) whether the part is seen (v = 2) or only its place is known (v = 1). Default: all seen.
    category
        The name of the one category.

    Raises
    ------
    ExplGraphError
        If a photo's size is unknown, or ``scores`` or ``visible`` do not fit.
    """
    score = None if scores is None else _column("scores", scores, annotations)
    seen = (
        np.ones(len(annotations)) if visible is None else _column("visible", visible, annotations)
    )
    photos = {photo_of(image) for image in annotations.image}
    if isinstance(photo_size, Mapping):
        photos |= {photo_of(name) for name in photo_size}
    names, parts = sorted(photos), annotations.parts()
    ids = {name: k + 1 for k, name in enumerate(names)}
    shapes = photo_shapes(photo_size, names).astype(int).tolist()
    content = {
        "images": [
            {"id": ids[name], "file_name": name, "width": width, "height": height}
            for name, (height, width) in zip(names, shapes, strict=True)
        ],
        "categories": [
            {"id": _CATEGORY, "name": category, "supercategory": category,
             "keypoints": list(parts), "skeleton": []}
        ],
        "annotations": [
            {"id": k + 1, "image_id": ids[photo_of(annotations.image[rows[0]])],
             **_instance(annotations, rows, score, seen)}
            for k, rows in enumerate(_instances(annotations))
        ],
    }  # fmt: skip
    write_bytes(path, (json.dumps(content, allow_nan=False) + "\n").encode())


def _column(name: str, values: ArrayLike, annotations: Annotations) -> F8:
    """Return (A,) one finite number for each annotation."""
    column = np.asarray(values, dtype=np.float64)
    check_shape(name, column, (len(annotations),))
    check_finite(name, column)
    return column


def _instances(annotations: Annotations) -> list[list[int]]:
    """Return the rows of each COCO annotation: at most one of a part, sorted by photo."""
    found: dict[tuple[str, str, int], list[int]] = {}
    count: dict[tuple[str, str, str], int] = {}
    for row, key in enumerate(
        zip(annotations.image, annotations.group, annotations.part, strict=True)
    ):
        instance = count.get(key, 0)
        count[key] = instance + 1
        found.setdefault((*key[:2], instance), []).append(row)
    return sorted(found.values(), key=lambda rows: photo_of(annotations.image[rows[0]]))


def _instance(
    annotations: Annotations, rows: Sequence[int], score: F8 | None, seen: F8
) -> dict[str, Any]:
    """Return the fields of one COCO annotation."""
    parts = annotations.parts()
    points = np.zeros((len(parts), 3))
    sizes: list[list[float | None]] = [[None, None] for _ in parts]
    scores: list[float | None] = [None for _ in parts]
    for row in rows:
        k = parts.index(annotations.part[row])
        points[k] = *annotations.yx[row, ::-1], _SEEN if seen[row] else _HIDDEN
        sizes[k] = [None if math.isnan(v) else v for v in annotations.size[row, ::-1].tolist()]
        scores[k] = None if score is None else float(score[row])
    own = {
        "sizes": [value for pair in sizes for value in pair],
        "item": annotations.image[rows[0]],
        "group": annotations.group[rows[0]],
    }
    fields = {
        "category_id": _CATEGORY,
        "keypoints": [int(v) if v.is_integer() else v for v in points.ravel().tolist()],
        "num_keypoints": len(rows),
        **_box(annotations, rows),
        "iscrowd": 0,
        "explgraph": own,
    }
    if score is not None:
        fields["score"] = float(score[rows].mean())
        own["scores"] = scores
    return fields


def _box(annotations: Annotations, rows: Sequence[int]) -> dict[str, Any]:
    """Return ``bbox`` and ``area``: what covers the parts, from corner to corner."""
    centre, size = annotations.yx_from_corner[rows], np.fmax(annotations.size[rows], 1.0)
    y0, x0 = (centre - size / 2).min(axis=0).tolist()
    y1, x1 = (centre + size / 2).max(axis=0).tolist()
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
