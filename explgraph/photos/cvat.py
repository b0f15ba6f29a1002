"""CVAT's XML, "CVAT for images 1.1": part annotations and predictions as that tool keeps them.

CVAT's positions count from the photo's outer corner, as those of our boxes do, so the middle of the
first pixel is .5, .5 in the file and 0, 0 as an annotation. What is a part there:

============ ==================================================================
element      mark
============ ==================================================================
``points``   one for each of its points, of unknown size
``box``      its centre and its sides; of a turned one what covers it
``skeleton`` one for each of its points that is not ``outside``
============ ==================================================================

The rest (polygons, masks, tags, ...) is passed over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from explgraph.base.errors import require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.foreign import decimal, read_xml
from explgraph.base.writing import write_bytes

from .annotations import UNKNOWN_SIZE, Annotations, Mark, PhotoSize, turned_size
from .part_places import CONFIDENCE_DIGITS, PIXEL_DIGITS, PREDICTED, PartPlaces, by_photo

_EDGES = ("xtl", "ytl", "xbr", "ybr")
_EXPECTED = "expected <annotations> with an <image> for each photo, as 'CVAT for images 1.1' has it"
# What XML 1.0 has no way to write.
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def read_cvat(source: Path, label: str | None = None) -> list[Mark]:
    """Read an XML file of CVAT.

    Parameters
    ----------
    source
        "CVAT for images 1.1"; one for video is refused.
    label
        Take only the skeletons with this label.

    Returns
    -------
    Marks in the order of the file. The photo is the group.

    Raises
    ------
    ExplGraphError
        If the file is missing or is none of this, or no skeleton has the label.
    """
    root = read_xml(source)
    images = root.findall("image")
    require(root.tag == "annotations", f"{source} is no file of CVAT: {_EXPECTED}")
    require(
        len(images) > 0 or root.find("track") is None,
        f"{source} is 'CVAT for video': export the task as 'CVAT for images 1.1'",
    )
    if label is not None:
        labels = sorted({one.get("label", "") for one in root.findall("image/skeleton")})
        if label not in labels:
            raise unknown_name(f"label of a skeleton in {source}:", label, labels)
    return [mark for image in images for mark in _marks(source, image, label)]


def _marks(source: Path, image: ElementTree.Element, label: str | None) -> Iterator[Mark]:
    name = image.get("name", "")
    require(name != "", f"{source}: an <image> has no name: {_EXPECTED}")
    where = f"{source}, image {name!r}"
    for shape in image:
        if shape.tag == "skeleton" and label in (None, shape.get("label")):
            for points in shape.findall("points"):
                yield from _points(where, points, name)
        elif shape.tag == "points" and label is None:
            yield from _points(where, shape, name)
        elif shape.tag == "box" and label is None:
            yield _box(where, shape, name)


def _points(where: str, element: ElementTree.Element, image: str) -> Iterator[Mark]:
    part = _part(where, element)
    if element.get("outside") == "1":
        return
    for pair in element.get("points", "").split(";"):
        numbers = [decimal(text) for text in pair.split(",")]
        require(
            len(numbers) == 2 and all(map(math.isfinite, numbers)),
            f"{where}: the points of {part!r} must be x,y;x,y;..., got {pair!r}",
        )
        x, y = numbers
        yield Mark(image, part, (y - 0.5, x - 0.5), UNKNOWN_SIZE, image)


def _box(where: str, element: ElementTree.Element, image: str) -> Mark:
    part = _part(where, element)
    x0, y0, x1, y1 = edges = [decimal(element.get(name, "")) for name in _EDGES]
    angle = math.radians(decimal(element.get("rotation", "0")))
    require(
        all(map(math.isfinite, (*edges, angle))) and x0 <= x1 and y0 <= y1,
        f"{where}: the box of {part!r} must have the numbers {', '.join(_EDGES)}, the former two "
        "not above the latter, and a number as rotation if any",
    )
    centre = (y0 + y1) / 2 - 0.5, (x0 + x1) / 2 - 0.5
    return Mark(image, part, centre, turned_size(y1 - y0, x1 - x0, angle), image)


def _part(where: str, element: ElementTree.Element) -> str:
    part = element.get("label", "")
    require(part != "", f"{where}: a <{element.tag}> has no label")
    return part


def write_cvat(path: PathLike, places: PartPlaces, photo_size: PhotoSize) -> None:
    """Write places for CVAT, which reads them with "Upload annotations".

    A part of known size is a ``box``, another one ``points`` with one point. ``source`` is "manual"
    where a person said it, "auto" where it is predicted, then with an attribute ``confidence``. A
    predicted part that is not visible is ``occluded``; one that a person called hidden is left out.
    Photos are sorted by name, equal places give equal bytes.

    Parameters
    ----------
    path
        The file; missing folders are made.
    places
        What to write.
    photo_size
        (height, width) of all photos in pixels, or one pair by name; then photos without a place
        are listed, too.

    Raises
    ------
    ExplGraphError
        If a photo's size is unknown, or a name has characters that XML cannot hold.
    """
    places = places.take(places.known)
    marks = places.annotations(photo_size)
    root = ElementTree.Element("annotations")
    _add(root, "version", text="1.1")
    labels = _add(_add(_add(root, "meta"), "task"), "labels")
    for part in marks.parts():
        label = _add(labels, "label")
        _add(label, "name", text=part)
        attribute = _add(_add(label, "attributes"), "attribute")
        for name, text in (("name", "confidence"), ("mutable", "False"), ("input_type", "text")):
            _add(attribute, name, text=text)
    for number, (name, (height, width), rows) in enumerate(by_photo(places, photo_size)):
        image = _add(root, "image", id=number, name=name, width=width, height=height)
        for row in rows:
            _add_shape(image, places, marks, row)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    write_bytes(path, data + b"\n")


def _add(
    parent: ElementTree.Element, tag: str, text: str = "", **said: object
) -> ElementTree.Element:
    element = ElementTree.SubElement(
        parent, tag, {name: _writable(str(value)) for name, value in said.items()}
    )
    element.text = _writable(text) or None
    return element


def _writable(text: str) -> str:
    require(
        not _IMPOSSIBLE.search(text),
        f"XML cannot hold the characters of the name {text!r}: rename it, or write another format",
    )
    return text


def _add_shape(
    image: ElementTree.Element, places: PartPlaces, marks: Annotations, row: int
) -> None:
    predicted = places.answers[row] == PREDICTED
    said: dict[str, Any] = {
        "label": marks.part[row],
        "source": "auto" if predicted else "manual",
        "occluded": 0 if places.visible[row] else 1,
    }
    (y, x), (height, width) = marks.yx_from_corner[row], marks.size[row]
    if math.isnan(height + width):
        shape = _add(image, "points", **said, points=f"{_pixels(x)},{_pixels(y)}", z_order=0)
    else:
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        corners = dict(zip(_EDGES, map(_pixels, edges), strict=True))
        shape = _add(image, "box", **said, **corners, z_order=0)
    if predicted:
        confidence = f"{places.confidence[row]:.{CONFIDENCE_DIGITS}f}"
        _add(shape, "attribute", name="confidence", text=confidence)


def _pixels(value: float) -> str:
    """Half of a last digit is one, too: a box has its centre and size as they are."""
    return f"{value:.{PIXEL_DIGITS + 1}f}"
