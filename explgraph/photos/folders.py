"""Part annotations in folders as their makers distribute them: CUB-200-2011 and VOC-Part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.foreign import decimal, read_text

from .annotations import FARTHEST, UNKNOWN_SIZE, Mark
from .matlab import read_matlab

_VOC_FOLDER = "Annotations_Part"
_CUB_LOCATIONS = Path("parts", "part_locs.txt")
_LAYOUTS = (
    f"images.txt, parts/parts.txt and {_CUB_LOCATIONS.as_posix()} (CUB-200-2011), or .mat files in "
    f"it or in its sub-folder {_VOC_FOLDER} (VOC-Part)"
)

_Part = tuple[str, tuple[float, float], tuple[float, float]]  # name, centre (y, x), size


def read_part_folder(folder: Path, label: str | None = None) -> list[Mark]:
    """Read a folder of part annotations.

    Parameters
    ----------
    folder
        One of two, told apart by the files in it:

        - CUB-200-2011 (``images.txt``, ``parts/parts.txt``, ``parts/part_locs.txt``): points of
          visible parts, without sizes. Pixels are taken as counted from 0, which the data set
          does not say. Names of images are relative to its folder ``images``;
        - VOC-Part (Chen et al., "Detect What You Can"): one ``.mat`` file for each photo, here or
          in ``Annotations_Part``, with a mask for each part of each object. The part's box is that
          of its mask, and the image is called like the file, with ``.jpg``.
    label
        The objects to take. CUB-200-2011: a class, such as "001.Black_footed_Albatross"; VOC-Part:
        a class, such as "dog". Default: all.

    Returns
    -------
    Marks by image, then in the order of the files. The image is the group.

    Raises
    ------
    ExplGraphError
        If the folder holds neither, a file is broken, or nothing has the label.
    """
    if (folder / _CUB_LOCATIONS).is_file():
        return _cub(folder, label)
    inner = folder / _VOC_FOLDER
    files = sorted((inner if inner.is_dir() else folder).glob("*.mat"))
    require(len(files) > 0, f"the folder {folder} holds no part annotations: expected {_LAYOUTS}")
    return _voc(files, label)


def _cub(folder: Path, label: str | None) -> list[Mark]:
    images = {number: name for _, (number, name) in _lines(folder / "images.txt", 2)}
    parts = {number: name for _, (number, name) in _lines(folder / "parts" / "parts.txt", 2)}
    classes = {number: name.rpartition("/")[0] for number, name in images.items()}
    if label is not None and label not in classes.values():
        raise unknown_name(f"class in {folder}:", label, sorted(set(classes.values())))
    marks = []
    for where, (image, part, *values) in _lines(folder / _CUB_LOCATIONS, 5):
        require(image in images, f"{where}: images.txt has no image {image}")
        require(part in parts, f"{where}: parts.txt has no part {part}")
        x, y, visible = map(decimal, values)
        require(
            abs(x) <= FARTHEST and abs(y) <= FARTHEST and visible in (0, 1),
            f"{where}: expected the numbers x, y, visible, got {' '.join(values)!r}",
        )
        if visible and label in (None, classes[image]):
            name = images[image]
            marks.append(Mark(name, parts[part], (y, x), UNKNOWN_SIZE, name))
    return marks


def _lines(path: Path, columns: int) -> Iterator[tuple[str, list[str]]]:
    """Yield where a line is and its cells; the last one may hold blanks, as in "left eye"."""
    require(path.is_file(), f"{path} is missing: expected {_LAYOUTS}")
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells = line.split(maxsplit=columns - 1)
        where = f"{path}, line {number}"
        require(
            len(cells) in (0, columns),
            f"{where}: expected {columns} values with blanks between, got {line!r}",
        )
        if cells:
            yield where, [cell.rstrip() for cell in cells]


def _voc(files: list[Path], label: str | None) -> list[Mark]:
    marks: list[Mark] = []
    classes: set[str] = set()
    for path in files:
        image = f"{path.stem}.jpg"
        for name, parts in _voc_objects(path):
            classes.add(name)
            if label in (None, name):
                marks.extend(Mark(image, part, yx, size, image) for part, yx, size in parts)
    if label is not None and label not in classes:
        raise unknown_name(f"class in {files[0].parent}:", label, sorted(classes))
    return marks


def _voc_objects(path: Path) -> list[tuple[str, list[_Part]]]:
    """Return each object's class and parts; in place of no parts stands an empty array."""
    try:
        anno = read_matlab(path, "anno")
        return [(_text(item["class"]), [*_voc_parts(item["parts"])]) for item in anno[0]["objects"]]
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ExplGraphError(
            f"{path} is not a VOC-Part file ({type(error).__name__}: {error}). Expected a struct "
            "'anno' with 'objects', which have 'class' and 'parts' (part_name, mask)"
        ) from error


def _voc_parts(parts: Sequence[Mapping[str, Any]]) -> Iterator[_Part]:
    for part in parts:
        rows, columns = part["mask"].nonzero()
        if len(rows):
            y0, y1, x0, x1 = (
                float(edge) for pixels in (rows, columns) for edge in (pixels.min(), pixels.max())
            )
            centre, size = ((y0 + y1) / 2, (x0 + x1) / 2), (y1 - y0 + 1, x1 - x0 + 1)
            yield _text(part["part_name"]), centre, size


def _text(value: object) -> str:
    require(isinstance(value, str) and value != "", f"expected a name, got {str(value)[:60]}")
    return str(value)
