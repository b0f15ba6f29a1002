"""Part annotations: where a person marked which part in which image."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import ExplGraphError, check_finite, check_shape, require, unknown_name
from .storage import PathLike, write_bytes
from .structures import F8, frozen
from .tables import Row, read_table

_PLAIN = ("image", "part", "x", "y")
_SIZE = ("width", "height")
_ANIMALPART = ("image", "imagenet_id", "part", "visible", "x0", "y0", "x1", "y1", "cx", "cy")


@dataclass(frozen=True, eq=False, slots=True)
class Annotations:
    """A marked parts in images; an image may have several of the same part, or none.

    Attributes
    ----------
    image
        A names of images.
    part
        A names of parts.
    yx
        (A, 2) centres in pixels of the upright photo, where an integer is the *centre* of a pixel:
        ``unit = (yx + 0.5) / (height, width)``.
    size
        (A, 2) full height and width in the same pixels; NaN where unknown.
    group
        A names of what belongs together when images are divided into halves: crops of one photo
        share it. The image's own name where nothing else is known.
    """

    image: tuple[str, ...]
    part: tuple[str, ...]
    yx: F8
    size: F8
    group: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.image)
        require(
            len(self.part) == count == len(self.group),
            f"Annotations has {count} images, {len(self.part)} parts and {len(self.group)} groups: "
            "expected one each per annotation",
        )
        for name in ("yx", "size"):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            check_shape(f"Annotations.{name}", array, (count, 2))
            object.__setattr__(self, name, frozen(array, np.float64))
        check_finite("Annotations.yx", self.yx)

    def __len__(self) -> int:
        return len(self.image)

    def parts(self) -> tuple[str, ...]:
        """Return the different part names, sorted."""
        return tuple(sorted(set(self.part)))

    def of(self, part: str) -> Annotations:
        """Select the annotations of one part.

        Raises
        ------
        ExplGraphError
            If there are none.
        """
        if part not in self.part:
            raise unknown_name("part", part, self.parts())
        return self.take(np.array([name == part for name in self.part]))

    def take(self, rows: NDArray[np.generic]) -> Annotations:
        """Select annotations by index or by boolean mask."""
        index = np.arange(len(self))[rows]
        return Annotations(
            image=tuple(self.image[i] for i in index),
            part=tuple(self.part[i] for i in index),
            yx=self.yx[index],
            size=self.size[index],
            group=tuple(self.group[i] for i in index),
        )


def read_annotations(path: PathLike) -> Annotations:
    """Read part annotations from a CSV file.

    Parameters
    ----------
    path
        One of two formats, told apart by the header:

        - ``image,part,x,y[,width,height][,group]``: the part's centre and full size in pixels of
        the
          upright photo, an integer is the centre of a pixel; width and height may be empty;
        - ``annotations.csv`` of the Animal-Part crops, with ``imagenet_id`` as the group. Its rows
          with ``visible`` 0 mark nothing and are left out.

    Returns
    -------
    One annotation per row, in the order of the file.

    Raises
    ------
    ExplGraphError
        If the file is missing, of another format or without annotations, or a value is missing or
        no number (with its line).
    """
    columns, rows = read_table(path)
    names = set(columns)
    parse: Callable[[Row], _Parsed]
    if names.issuperset(_ANIMALPART):
        parse = _animalpart
        rows = [row for row in rows if row.number("visible") != 0]
    elif names.issuperset(_PLAIN) and names.isdisjoint(_ANIMALPART[4:]):
        parse = _plain
    else:
        raise ExplGraphError(
            f"{path} has the columns {','.join(columns)}. Expected "
            f"{','.join(_PLAIN)}[,{','.join(_SIZE)}][,group], or those of the Animal-Part crops "
            f"({','.join(_ANIMALPART)})"
        )
    require(len(rows) > 0, f"{path} holds no annotations below its header")
    parsed = [parse(row) for row in rows]
    return Annotations(
        image=tuple(row.text("image") for row in rows),
        part=tuple(row.text("part") for row in rows),
        yx=np.array([p[0] for p in parsed]),
        size=np.array([p[1] for p in parsed]),
        group=tuple(p[2] for p in parsed),
    )


_Parsed = tuple[tuple[float, float], tuple[float, float], str]  # yx, size, group


def _plain(row: Row) -> _Parsed:
    height, width = row.optional_number("height"), row.optional_number("width")
    # A comparison with NaN, an unknown size, is false.
    require(not (height < 0 or width < 0), f"{row.where}: width and height may not be negative")
    group = row.cells.get("group") or row.text("image")
    return (row.number("y"), row.number("x")), (height, width), group


def _animalpart(row: Row) -> _Parsed:
    size = (row.number("y1") - row.number("y0"), row.number("x1") - row.number("x0"))
    return (row.number("cy"), row.number("cx")), size, row.text("imagenet_id")


def write_annotations(path: PathLike, annotations: Annotations) -> None:
    """Write annotations as ``image,part,x,y,width,height,group``: read again, they are the same."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_PLAIN, *_SIZE, "group"])
    for image, part, yx, size, group in zip(
        annotations.image,
        annotations.part,
        annotations.yx.tolist(),
        annotations.size.tolist(),
        annotations.group,
        strict=True,
    ):
        numbers = (_cell(value) for value in (yx[1], yx[0], size[1], size[0]))
        writer.writerow([image, part, *numbers, group])
    write_bytes(path, text.getvalue().encode())


def _cell(value: float) -> str:
    """Write a number with all its digits; NaN as an empty cell."""
    return "" if np.isnan(value) else repr(value).removesuffix(".0")
