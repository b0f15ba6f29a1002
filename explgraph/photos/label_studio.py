"""Label Studio's JSON: part annotations as it exports them, and predictions for review there.

A file is a list of tasks, one for each photo, with ``annotations`` (people's) and ``predictions``
(a model's), each with a ``result``. Positions are percents of the photo's sides from its outer
corner. What is a part there: ``keypointlabels``, a point of unknown size, and ``rectanglelabels``,
the centre and the sides; of a turned one what covers it. The rest is passed over.

**Names of photos.** A task has the address of its photo, such as
``/data/local-files/?d=photos/a.jpg`` or ``/data/upload/7/1f2e3d4c-a.jpg``. What tells photos apart
is taken as the name: the path, without an upload's folder and the eight digits that Label Studio
puts before the name, and without the folders that all tasks of the file have in common. Tasks that
`write_label_studio` made have their photo's name besides, in ``data``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote

import numpy as np
from msgspec import Meta, Struct

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import PathLike
from explgraph.base.json_text import decode_json, typed
from explgraph.base.writing import write_bytes

from .annotations import FARTHEST, UNKNOWN_SIZE, Mark, PhotoSize, turned_size
from .part_places import CONFIDENCE_DIGITS, PREDICTED, PartPlaces, by_photo

LOCAL_FILES = "/data/local-files/?d="
"""What stands before a path in the address of a file that Label Studio serves from its disk."""

_OWN_NAME = "explgraph_photo"
_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what makes names of uploads different
_POINT, _BOX = "keypointlabels", "rectanglelabels"
_POINT_PERCENT = 0.75  # how large a point is shown, in percent of the photo's width
_EXPECTED = (
    "a file of Label Studio, exported as 'JSON' (not 'JSON-MIN'), is a list of tasks with 'data' "
    "(the photo's address) and 'annotations' (result: type, value, original_width, "
    "original_height). A COCO file of key points is an object with 'images', 'categories' and "
    "'annotations'"
)

_Side = Annotated[float, Meta(gt=0, le=FARTHEST)]
_Label = Annotated[str, Meta(min_length=1)]


class _Region(Struct):
    type: str = ""
    value: Any = None
    original_width: _Side | None = None
    original_height: _Side | None = None
    image_rotation: float | None = 0


class _Annotation(Struct):
    result: list[_Region]
    was_cancelled: bool | None = False


class _Task(Struct):
    data: dict[str, Any]
    annotations: list[_Annotation] = []
    predictions: list[Any] = []


class _Place(Struct):
    x: float
    y: float
    width: float = 0
    height: float = 0
    rotation: float = 0
    keypointlabels: list[_Label] = []
    rectanglelabels: list[_Label] = []


def decode_label_studio(text: bytes, source: Path) -> list[Mark]:
    """Read a text in Label Studio's JSON.

    Parameters
    ----------
    text
        Tasks. Predictions in them mark nothing, and so do annotations that were cancelled; of
        several annotations of a task all are taken.
    source
        Where it comes from, for errors.

    Returns
    -------
    Marks in the order of the file. The photo is the group.

    Raises
    ------
    ExplGraphError
        If it is none of this, or marks a photo that was turned there.
    """
    try:
        tasks: list[_Task] = decode_json(text, str(source), list[_Task])
    except ExplGraphError as error:
        raise ExplGraphError(f"{error}. Expected: {_EXPECTED}") from error
    require(len(tasks) > 0, f"{source} holds no tasks. Expected: {_EXPECTED}")
    names = _names(source, tasks)
    marks = [
        mark
        for number, (task, name) in enumerate(zip(tasks, names, strict=True), start=1)
        for annotation in task.annotations
        if not annotation.was_cancelled
        for region in annotation.result
        for mark in _marks(f"{source}, task {number}, {name!r}", region, name)
    ]
    require(
        len(marks) > 0 or not any(task.predictions for task in tasks),
        f"{source} holds predictions alone: submit them in Label Studio as annotations, and export "
        "again",
    )
    return marks


def _marks(where: str, region: _Region, image: str) -> Iterator[Mark]:
    if region.type not in (_POINT, _BOX):
        return
    place: _Place = typed(region.value, f"{where}, its {region.type}", _Place)
    height, width = region.original_height, region.original_width
    if height is None or width is None:
        raise ExplGraphError(f"{where}: expected 'original_width' and 'original_height' in pixels")
    require(
        not region.image_rotation,
        f"{where}: the photo was turned in Label Studio, so that its places are those of another "
        "picture: turn the photo itself before",
    )
    x, y = place.x / 100 * width, place.y / 100 * height
    size = UNKNOWN_SIZE
    if region.type == _BOX:
        sides = place.height / 100 * height, place.width / 100 * width
        require(min(sides) >= 0, f"{where}: a box has negative sides")
        angle = math.radians(place.rotation)  # about its first corner
        cosine, sine = math.cos(angle), math.sin(angle)
        x += (sides[1] * cosine - sides[0] * sine) / 2
        y += (sides[1] * sine + sides[0] * cosine) / 2
        size = turned_size(*sides, angle)
    for part in place.keypointlabels if region.type == _POINT else place.rectanglelabels:
        yield Mark(image, part, (y - 0.5, x - 0.5), size, image)


def _names(source: Path, tasks: Sequence[_Task]) -> list[str]:
    """Return the name of each task's photo."""
    paths = [_path(source, number, task) for number, task in enumerate(tasks, start=1)]
    own = [task.data.get(_OWN_NAME) for task in tasks]
    shared = 0  # folders that all paths have in common
    while {len(path) > shared + 1 and path[shared] == paths[0][shared] for path in paths} == {True}:
        shared += 1
    return [
        name if isinstance(name, str) and name else "/".join(path[shared:])
        for name, path in zip(own, paths, strict=True)
    ]


def _path(source: Path, number: int, task: _Task) -> tuple[str, ...]:
    """Return the folders and the file's name in the address of a task's photo."""
    texts = [value for value in task.data.values() if isinstance(value, str)]
    address = task.data.get("image", texts[0] if len(texts) == 1 else None)
    path = file_of(address) if isinstance(address, str) else ()
    if not path:
        raise ExplGraphError(
            f"{source}, task {number}: its 'data' must have the photo's address as 'image', or as "
            f"its only text. It has {', '.join(map(repr, task.data)) or 'nothing'}"
        )
    return path


def file_of(address: str) -> tuple[str, ...]:
    """Return the folders and the file's name in an address, without what Label Studio adds.

    >>> file_of("/data/local-files/?d=photos/a%20b.jpg")
    ('photos', 'a b.jpg')
    >>> file_of("https://example.org/data/upload/7/1f2e3d4c-a.jpg")
    ('a.jpg',)
    >>> file_of("s3://bucket/photos/a.jpg"), file_of("a?.jpg")
    (('photos', 'a.jpg'), ('a?.jpg',))
    """
    head, local, path = address.partition(LOCAL_FILES)
    if not local:
        path = _HOST.sub("", head)
        if path != head or path.startswith("/data/"):
            path = path.partition("?")[0]
    is_plain = not local and path == head and not path.startswith("/data/")
    parts = (path if is_plain else unquote(path)).replace("\\", "/").split("/")
    if "/data/upload/" in head:
        parts = [_UPLOADED.sub("", parts[-1])]
    return tuple(part for part in parts if part not in ("", "."))


def write_label_studio(
    path: PathLike, places: PartPlaces, photo_size: PhotoSize, images: PathLike | None = None
) -> None:
    """Write places for Label Studio, to be imported there as tasks.

    What people said about a photo is its one annotation, which is empty where they called all parts
    hidden; what is predicted and visible is its one prediction, with the mean confidence as
    ``score``. A part of known size is a ``rectanglelabels``, another one a ``keypointlabels``, by
    the controls "box" and "point" for the picture "image" with ``value="$image"``. Photos are
    sorted by name, equal places give equal bytes.

    Parameters
    ----------
    path
        The file; missing folders are made.
    places
        What to write.
    photo_size
        (height, width) of all photos in pixels, or one pair by name; then photos without a place
        are tasks, too.
    images
        The folder of photos, or its address ("s3://bucket/photos"). Photos of a folder have the
        addresses that Label Studio gives them if the folder that holds it is its document root;
        without a folder, its document root is where photos lie.

    Raises
    ------
    ExplGraphError
        If a photo's size is unknown, or a name's bytes are not UTF-8.
    """
    tasks: list[dict[str, Any]] = []
    before = LOCAL_FILES if images is None else _address_of(os.fspath(images))
    for name, shape, rows in by_photo(places, photo_size):
        told = [row for row in rows if places.answers[row] != PREDICTED]
        predicted = [
            row for row in rows if places.answers[row] == PREDICTED and places.visible[row]
        ]
        task: dict[str, Any] = {
            "id": len(tasks) + 1,
            "data": {"image": before + _quoted(name), _OWN_NAME: name},
            "annotations": [{"result": _result(places, told, shape)}] if told else [],
            "predictions": [],
        }
        if predicted:
            score = round(float(places.confidence[predicted].mean()), CONFIDENCE_DIGITS)
            result = _result(places, predicted, shape)
            task["predictions"].append(
                {"model_version": "explgraph", "score": score, "result": result}
            )
        tasks.append(task)
    write_bytes(path, (json.dumps(tasks, allow_nan=False) + "\n").encode())


def _address_of(photos: str) -> str:
    """Return what stands before photos' names in their addresses."""
    if _HOST.match(photos):
        return f"{photos.rstrip('/')}/"
    folder = Path(photos).resolve()
    return f"{LOCAL_FILES}{_quoted(folder.name)}/" if folder.is_dir() else LOCAL_FILES


def _quoted(name: str) -> str:
    try:
        return quote(name)
    except UnicodeEncodeError as error:
        raise ExplGraphError(
            f"no address can hold the name {name!r}: its bytes are not UTF-8. Rename the file"
        ) from error


def _result(
    places: PartPlaces, rows: Sequence[int], shape: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return the regions of a photo's places, as far as they are known."""
    some = places.take(np.array(rows, dtype=np.int64)[places.known[rows]])
    marks = some.annotations(shape)
    sides = np.array(shape) / 100
    found = []
    for row, part in enumerate(some.parts):
        (y, x), (height, width) = (marks.yx_from_corner[row] / sides, marks.size[row] / sides)
        value: dict[str, Any] = {"x": x, "y": y, "width": _POINT_PERCENT, _POINT: [part]}
        kind, control = _POINT, "point"
        if not math.isnan(height + width):
            kind, control = _BOX, "box"
            corner = {"x": x - width / 2, "y": y - height / 2}
            value = {**corner, "width": width, "height": height, "rotation": 0, _BOX: [part]}
        region = {
            "id": f"{control}-{row + 1}",
            "type": kind,
            "from_name": control,
            "to_name": "image",
            "original_width": shape[1],
            "original_height": shape[0],
            "image_rotation": 0,
            "value": value,
        }
        if some.answers[row] == PREDICTED:
            region["score"] = round(float(some.confidence[row]), CONFIDENCE_DIGITS)
        found.append(region)
    return found
