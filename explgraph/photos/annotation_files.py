"""Part annotations in files: CSV here, others in `keypoints`, `cvat`, `label_studio`, `folders`."""

from __future__ import annotations

import codecs
from collections.abc import Collection
from pathlib import Path

import numpy as np

from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.foreign import read_foreign
from explgraph.base.tables import Row, read_table, write_table

from .annotations import FARTHEST, Annotations, Mark, photo_of
from .cvat import read_cvat
from .folders import read_part_folder
from .keypoints import decode_keypoints
from .label_studio import decode_label_studio

_PLAIN = ("image", "part", "x", "y")
_SIZE = ("width", "height")
_HEAD = 4096  # bytes in which a text begins
_ANIMALPART = ("image", "imagenet_id", "part", "visible", "x0", "y0", "x1", "y1", "cx", "cy")


def read_annotations(
    path: PathLike, *, parts: Collection[str] | None = None, label: str | None = None
) -> Annotations:
    """Read part annotations from a file or a folder.

    Parameters
    ----------
    path
        One of these formats:

        - a CSV file ``image,part,x,y[,width,height][,group]``: the part's centre and full size in
          pixels of the upright photo, an integer is the centre of a pixel; width and height may be
          empty. Other columns are passed over, but rows with ``visible`` 0, as ``explgraph locate``
          writes them, are left out;
        - ``annotations.csv`` of the Animal-Part crops, with ``imagenet_id`` as the group. Its rows
          with ``visible`` 0 mark nothing and are left out;
        - a COCO file of key points, ``.json``: see `explgraph.photos.keypoints`;
        - a Label Studio file, ``.json``: see `explgraph.photos.label_studio`;
        - a CVAT file, ``.xml``: see `explgraph.photos.cvat`;
        - a folder, CUB-200-2011 or VOC-Part: see `explgraph.photos.folders`.
    parts
        Names of the parts to take; default: all.
    label
        Take only objects of this class (COCO: category, CUB-200-2011: species, CVAT: label of the
        skeleton). CSV and Label Studio files have none.

    Returns
    -------
    One annotation for each marked part, in the order of the file. Where the format knows no groups,
    the photo is the group: the same for all of its boxes ("photo#k").

    Raises
    ------
    ExplGraphError
        If the file is missing, of another format or without annotations, a value is missing or no
        number (with its line), or the label or a part does not occur.
    """
    source = Path(path)
    marks = read_part_folder(source, label) if source.is_dir() else _read_file(source, label)
    require(len(marks) > 0, f"{source} holds no annotations of parts")
    for mark in marks:
        require(
            not any(abs(value) > FARTHEST for value in (*mark.yx, *mark.size)),
            f"{source}: the part {mark.part!r} in {mark.image!r} lies more than {FARTHEST:g} "
            f"pixels from the photo's corner, or is larger",
        )
    if parts is not None:
        names = sorted({mark.part for mark in marks})
        for part in parts:
            if part not in names:
                raise unknown_name("part", part, names)
        marks = [mark for mark in marks if mark.part in parts]
    return Annotations(
        image=tuple(mark.image for mark in marks),
        part=tuple(mark.part for mark in marks),
        yx=np.array([mark.yx for mark in marks]),
        size=np.array([mark.size for mark in marks]),
        group=tuple(mark.group for mark in marks),
    )


def _read_file(source: Path, label: str | None) -> list[Mark]:
    suffix = source.suffix.lower()
    if suffix == ".xml":
        return read_cvat(source, label)
    text = read_foreign(source) if suffix == ".json" else b""
    if suffix == ".json" and not _is_list(text):
        return decode_keypoints(text, source, label)
    require(label is None, f"{source} has no labels to choose {label!r} from: leave `label` out")
    return decode_label_studio(text, source) if suffix == ".json" else _read_csv(source)


def _is_list(text: bytes) -> bool:
    """Whether a JSON text is a list, as Label Studio's are; COCO's are objects."""
    return text[:_HEAD].removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _read_csv(path: Path) -> list[Mark]:
    columns, rows = read_table(path)
    names = set(columns)
    if names.issuperset(_ANIMALPART):
        return [_animalpart(row) for row in rows if row.number("visible") != 0]
    if names.issuperset(_PLAIN) and names.isdisjoint(_ANIMALPART[4:]):
        # As `explgraph locate` writes them: a part that is not to be seen is no annotation.
        return [_plain(row) for row in rows if row.optional_number("visible") != 0]
    raise ExplGraphError(
        f"{path} has the columns {','.join(columns)}. Expected "
        f"{','.join(_PLAIN)}[,{','.join(_SIZE)}][,group], or those of the Animal-Part crops "
        f"({','.join(_ANIMALPART)})"
    )


def _plain(row: Row) -> Mark:
    image = row.text("image")
    return Mark(
        image=image,
        part=row.text("part"),
        yx=(row.number("y"), row.number("x")),
        size=_size(row, row.optional_number("height"), row.optional_number("width")),
        group=row.cells.get("group") or photo_of(image),
    )


def _animalpart(row: Row) -> Mark:
    return Mark(
        image=row.text("image"),
        part=row.text("part"),
        yx=(row.number("cy"), row.number("cx")),
        size=_size(row, row.number("y1") - row.number("y0"), row.number("x1") - row.number("x0")),
        group=row.text("imagenet_id"),
    )


def _size(row: Row, height: float, width: float) -> tuple[float, float]:
    # A comparison with NaN, an unknown size, is false.
    require(not (height < 0 or width < 0), f"{row.where}: width and height may not be negative")
    return height, width


def write_annotations(path: PathLike, annotations: Annotations) -> None:
    """Write annotations as ``image,part,x,y,width,height,group``: read again, they are the same.

    Parameters
    ----------
    path
        The ``.csv`` to write; missing folders are made.
    annotations
        What to write: pixels of the photos, an integer is the centre of a pixel.
    """
    rows = (
        (image, part, *map(_cell, (x, y, width, height)), group)
        for image, part, (y, x), (height, width), group in zip(
            annotations.image,
            annotations.part,
            annotations.yx.tolist(),
            annotations.size.tolist(),
            annotations.group,
            strict=True,
        )
    )
    write_table(path, (*_PLAIN, *_SIZE, "group"), rows)


def _cell(value: float) -> str:
    """Write a number with all its digits; NaN as an empty cell."""
    return "" if np.isnan(value) else repr(value).removesuffix(".0")
