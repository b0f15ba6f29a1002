"""Object boxes from CSV, COCO and VOC files, in one set of coordinates.

====== ============================================ =======================
format what a box is there                          pixels 2, 3, 4 of a row
====== ============================================ =======================
CSV    centre and full size; an integer is the      ``x = 3, width = 3``
       centre of a pixel
COCO   corner and full size; (0, 0) is the outer    ``bbox x = 2, width = 3``
       corner of the first pixel
VOC    first and last pixel, counted from 1         ``xmin = 3, xmax = 5``
here   outer corners, (0, 0) as in COCO             ``x0 = 2, x1 = 5``
====== ============================================ =======================

All refer to the photo as a person sees it, with its EXIF orientation applied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.foreign import decimal, read_foreign, read_xml
from explgraph.base.json_text import decode_json
from explgraph.base.tables import read_table

from .annotations import FARTHEST

_SLACK_PX = 1e-6  # x + width of decimal fractions may end a hair beyond a whole pixel
_CSV_COLUMNS = ("image", "x", "y", "width", "height")
_VOC_EDGES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in continuous pixels of the upright photo; (0, 0) is its outer corner.

    Attributes
    ----------
    y0, x0, y1, x1
        Outer corners, ``y0 < y1``, ``x0 < x1``. They may lie outside the photo.
    """

    y0: float
    x0: float
    y1: float
    x1: float

    def pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the whole pixels that the box touches, clipped to the photo.

        Returns
        -------
        (y0, x0, y1, x1): rows y0..y1-1 and columns x0..x1-1. No row or no column where the box lies
        outside of the photo.
        """
        y0, x0 = (max(0, math.floor(v + _SLACK_PX)) for v in (self.y0, self.x0))
        y1, x1 = (math.ceil(v - _SLACK_PX) for v in (self.y1, self.x1))
        return y0, x0, min(height, y1), min(width, x1)


def box_masks(
    boxes: Mapping[str, Sequence[Box]],
    images: Sequence[str],
    photo_size: Mapping[str, tuple[int, int]],
) -> list[NDArray[np.bool_]]:
    """Mark the pixels of photos that lie in one of their boxes.

    Parameters
    ----------
    boxes
        By name of the photo, as `read_boxes` gives them.
    images
        Names of N photos.
    photo_size
        By name, (height, width) of the upright photo, pixels.

    Returns
    -------
    N arrays (height, width).

    Raises
    ------
    ExplGraphError
        If a photo has no box.
    """
    masks = []
    for name in images:
        require(name in boxes, f"there is no box of {name!r}: every photo needs one")
        mask = np.zeros(photo_size[name], dtype=bool)
        for box in boxes[name]:
            y0, x0, y1, x1 = box.pixels(*mask.shape)
            mask[y0 : max(y1, 0), x0 : max(x1, 0)] = True
        masks.append(mask)
    return masks


@dataclass(frozen=True, slots=True)
class _Entry:
    image: str
    label: str | None
    box: Box


def read_boxes(path: PathLike, label: str | None = None) -> dict[str, list[Box]]:
    """Read object boxes.

    Parameters
    ----------
    path
        A CSV file with the columns ``image,x,y,width,height[,label]``, a COCO ``.json`` (boxes of
        crowds are left out), a VOC ``.xml`` or a folder of them: an annotation in a sub-folder
        belongs to the photo of the same sub-folder.
    label
        Take only the boxes with this label (COCO: category name, VOC: object name).

    Returns
    -------
    The boxes of each image, by its name and in the order of the file.

    Raises
    ------
    ExplGraphError
        If the file is missing or of another format, has a bad number or an empty box, or no box
        with the label.
    """
    source = Path(path)
    require(source.exists(), f"the boxes file {source} does not exist")
    entries = list(_entries(source))
    require(len(entries) > 0, f"{source} holds no boxes")
    if label is not None:
        labels = sorted({e.label for e in entries if e.label is not None})
        if label not in labels:
            raise unknown_name(f"label in {source}:", label, labels)
        entries = [e for e in entries if e.label == label]
    boxes: dict[str, list[Box]] = {}
    for entry in entries:
        boxes.setdefault(entry.image, []).append(entry.box)
    return boxes


def _entries(source: Path) -> Iterator[_Entry]:
    suffix = source.suffix.lower()
    if source.is_dir() or suffix == ".xml":
        return _voc(source)
    if suffix == ".csv":
        return _csv(source)
    if suffix == ".json":
        return _coco(source)
    raise ExplGraphError(
        f"{source} must be a .csv with the columns {','.join(_CSV_COLUMNS)}[,label], a COCO .json, "
        "a VOC .xml or a folder of VOC .xml files"
    )


def _box(where: str, *, x0: float, y0: float, width: float, height: float) -> Box:
    require(
        0 < width <= FARTHEST
        and 0 < height <= FARTHEST
        and abs(x0) <= FARTHEST
        and abs(y0) <= FARTHEST,
        f"{where}: the box is empty or out of bounds (width {width:g}, height {height:g})",
    )
    box = Box(y0, x0, y0 + height, x0 + width)
    require(
        box.y1 > box.y0 and box.x1 > box.x0,
        f"{where}: the box is empty, so small is it (width {width:g}, height {height:g})",
    )
    return box


def _csv(source: Path) -> Iterator[_Entry]:
    columns, rows = read_table(source)
    missing = [column for column in _CSV_COLUMNS if column not in columns]
    require(
        not missing,
        f"{source} has the columns {','.join(columns)}, expected {','.join(_CSV_COLUMNS)}[,label]",
    )
    for row in rows:
        image = row.text("image")
        width, height = row.number("width"), row.number("height")
        box = _box(
            f"{row.where}, image {image!r}",
            x0=row.number("x") + 0.5 - width / 2,
            y0=row.number("y") + 0.5 - height / 2,
            width=width,
            height=height,
        )
        yield _Entry(image, row.cells.get("label") or None, box)


_Id = int | str
_Pixels = Annotated[float, Meta(ge=-FARTHEST, le=FARTHEST)]


class _CocoImage(Struct):
    id: _Id
    file_name: Annotated[str, Meta(min_length=1)]


class _CocoCategory(Struct):
    id: _Id
    name: str


class _CocoObject(Struct):
    image_id: _Id
    id: _Id | None = None
    category_id: _Id | None = None
    bbox: tuple[_Pixels, _Pixels, _Pixels, _Pixels] | None = None
    iscrowd: bool | float | None = False


class _Coco(Struct):
    images: list[_CocoImage]
    annotations: list[_CocoObject]
    categories: list[_CocoCategory] = []


def _coco(source: Path) -> Iterator[_Entry]:
    try:
        content: _Coco = decode_json(read_foreign(source), str(source), _Coco)
    except ExplGraphError as error:
        raise ExplGraphError(
            f"{error}. A COCO file is an object with the lists 'images' (id, file_name), "
            "'annotations' (image_id, category_id, bbox: [x, y, width, height]) and 'categories' "
            "(id, name)"
        ) from error
    images = {image.id: image.file_name for image in content.images}
    labels = {category.id: category.name for category in content.categories}
    for found in content.annotations:
        if found.iscrowd:
            continue
        where = f"{source}, annotation {found.id}"
        image = images.get(found.image_id)
        if image is None:
            raise ExplGraphError(f"{where}: there is no image {found.image_id!r} in 'images'")
        if found.bbox is None:
            raise ExplGraphError(f"{where}, image {image!r}: there is no 'bbox'")
        x0, y0, width, height = found.bbox
        box = _box(f"{where}, image {image!r}", x0=x0, y0=y0, width=width, height=height)
        label = None if found.category_id is None else labels.get(found.category_id)
        yield _Entry(image, label, box)


def _voc(source: Path) -> Iterator[_Entry]:
    if not source.is_dir():
        yield from _voc_file(source, "")
        return
    files = sorted(p for p in source.rglob("*") if p.suffix.lower() == ".xml")
    require(len(files) > 0, f"the folder {source} holds no VOC .xml file")
    for file in files:
        folder = file.parent.relative_to(source).as_posix()
        yield from _voc_file(file, "" if folder == "." else f"{folder}/")


def _voc_file(source: Path, prefix: str) -> Iterator[_Entry]:
    root = read_xml(source)
    name = (root.findtext("filename") or "").strip()
    require(
        root.tag == "annotation" and name != "",
        f"{source} is not a VOC file: expected <annotation> with a <filename>",
    )
    for element in root.findall("object"):
        where = f"{source}, image {name!r}"
        edges = [decimal(element.findtext(f"bndbox/{e}", "")) for e in _VOC_EDGES]
        require(
            all(map(math.isfinite, edges)),
            f"{where}: an object's <bndbox> must hold the numbers {', '.join(_VOC_EDGES)}",
        )
        x0, y0, x1, y1 = edges
        box = _box(where, x0=x0 - 1, y0=y0 - 1, width=x1 - x0 + 1, height=y1 - y0 + 1)
        label = element.findtext("name")
        yield _Entry(prefix + name, None if label is None else label.strip(), box)
