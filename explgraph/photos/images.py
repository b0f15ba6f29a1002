"""Collections of images in a fixed order: folders, files, arrays, datasets, boxes in photos."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explgraph.base.arrays import F8
from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.files import PathLike

from .addresses import expanded, is_address, placed
from .annotations import photo_of
from .boxes import Box, read_boxes
from .decoding import UnreadableImageError
from .kinds import OTHER_PICTURES, SUFFIXES, TAR, is_hidden, warn_of_others
from .opening import pixel_limit
from .packed import is_tar, packed_photos
from .readers import FileReader, Indexed, JoinedReader, SequenceReader, some_photos
from .remote import photos_at, photos_listed
from .stored import LocalFile

_log = logging.getLogger("explgraph")


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One unit of work: a whole photo, or an object box in it.

    Attributes
    ----------
    name
        The photo's name; "photo#k" for its k-th box.
    photo
        Index of the photo.
    box
        What is cut out, or None for the whole photo.
    """

    name: str
    photo: int
    box: Box | None = None


@dataclass(frozen=True, eq=False, slots=True)
class LoadedImage:
    """An item's pixels, and where they lie in the photo.

    Attributes
    ----------
    image
        Upright RGB.
    frame
        (2, 2) from the unit square of `image` to that of the whole photo, per axis (y, x):
        ``photo = frame[:, 0] + frame[:, 1] * unit``.
    photo_size
        (height, width) of the whole upright photo, pixels.
    """

    image: Image.Image
    frame: F8
    photo_size: tuple[int, int]


class ImageSource:
    """Images in a fixed order, decoded one by one when asked for; any thread may ask.

    Parameters
    ----------
    items
        What the images are.
    read
        Gives a photo as upright RGB, by its index. Must be safe to call from several threads.
    """

    def __init__(self, items: Sequence[ImageItem], read: Callable[[int], Image.Image]) -> None:
        self.items = tuple(items)
        self._read = read

    def __len__(self) -> int:
        return len(self.items)

    @property
    def names(self) -> tuple[str, ...]:
        """The items' names, in order."""
        return tuple(item.name for item in self.items)

    def load(self, index: int) -> LoadedImage:
        """Decode one item.

        A box is cut out along whole pixels: every pixel that it touches, as far as the photo goes.
        The frame is that of the pixels, not of the box as given.

        Raises
        ------
        UnreadableImageError
            If the photo cannot be decoded.
        ExplGraphError
            If the box lies outside of the photo.
        """
        item = self.items[index]
        try:
            photo = self._read(item.photo)
        except UnreadableImageError as error:  # which bears the name that the photo once had
            raise UnreadableImageError(item.name, error.reason) from error
        width, height = photo.size
        if item.box is None:
            return LoadedImage(photo, np.array([[0.0, 1.0], [0.0, 1.0]]), (height, width))
        y0, x0, y1, x1 = item.box.pixels(height, width)
        require(
            y0 < y1 and x0 < x1,
            f"the box {item.name!r} (columns {item.box.x0:g} to {item.box.x1:g}, rows "
            f"{item.box.y0:g} to {item.box.y1:g}) lies outside of its photo, which is {width} wide "
            f"and {height} high once upright. Mend or remove it in the boxes file",
        )
        frame = np.array([[y0 / height, (y1 - y0) / height], [x0 / width, (x1 - x0) / width]])
        return LoadedImage(photo.crop((x0, y0, x1, y1)), frame, (height, width))

    def take(self, indices: Iterable[int]) -> ImageSource:
        """Return some of the images, in the order of their indices."""
        return ImageSource([self.items[index] for index in indices], self._read)

    def named(self, names: Iterable[str], of: str) -> ImageSource:
        """Return the images of some names, in that order.

        Parameters
        ----------
        names
            Of images.
        of
            What has the names, for the error: "matches" for those that were matched.

        Raises
        ------
        ExplGraphError
            If there is none of a name, naming the nearest.
        """
        index = {name: i for i, name in enumerate(self.names)}
        wanted = list(names)
        for name in wanted:
            if name not in index:
                hint = f"{len(index)} images were given. Give those of the {of}"
                raise unknown_name(f"photo of the {of}:", name, index, hint)
        return self.take(index[name] for name in wanted)

    def renamed(self, names: Sequence[str]) -> ImageSource:
        """Return the same images under other names, one for each; errors, too, use them."""
        items = zip(self.items, names, strict=True)
        return ImageSource([replace(item, name=name) for item, name in items], self._read)

    def __add__(self, other: ImageSource) -> ImageSource:
        """Return the images of both, this source's first. Let their names differ."""
        first = 1 + max((item.photo for item in self.items), default=-1)
        moved = [replace(item, photo=first + item.photo) for item in other.items]

        return ImageSource([*self.items, *moved], JoinedReader(self._read, other._read, first))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle what is needed of the photos of these items alone."""
        photos = sorted({item.photo for item in self.items})
        place = {photo: i for i, photo in enumerate(photos)}
        items = tuple(replace(item, photo=place[item.photo]) for item in self.items)
        return ImageSource, (items, some_photos(self._read, photos))

    def photo_sizes(self, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Decode photos for their sizes.

        Parameters
        ----------
        names
            Of items, or of photos that boxes are cut out of. What is not here is left out.

        Returns
        -------
        By name, (height, width) of the whole upright photo, pixels; in the order of the items.
        """
        index: dict[str, int] = {}
        for i, item in enumerate(self.items):
            index.setdefault(photo_of(item.name), i)
        index |= {item.name: i for i, item in enumerate(self.items)}
        known = sorted((index[name], name) for name in set(names) if name in index)
        return {name: self.load(i).photo_size for i, name in known}


def open_images(
    images: object,
    *,
    boxes: PathLike | None = None,
    label: str | None = None,
    max_pixels: int | None = None,
) -> ImageSource:
    """Open a collection of images in a deterministic order; nothing is decoded yet.

    Parameters
    ----------
    images
        A folder (searched with its sub-folders, sorted by relative path, hidden files left out;
        pictures of kinds that are not read, such as .heic, are counted in a warning), a
        file, a list of files in the order given, tar archives (one file, a list, a folder that
        holds them and no photos, or a pattern such as "train-{000000..000009}.tar"), the same at
        addresses that fsspec knows ("s3://bucket/photos"), an array (N, H, W[, 1|3|4]) of uint8 or
        of floats in 0..1, a map-style torch Dataset or any sequence whose items are PIL images,
        arrays, tensors (C, H, W) or tuples that begin with one of them, or an `ImageSource`. A
        sequence is asked for one item at a time, and must give the same item each time.
    boxes
        A file for `read_boxes`: then every object box in a photo is one item, "photo#0", "photo#1",
        ..., and photos without a box give none.
    label
        Take only the boxes with this label.
    max_pixels
        How many pixels a picture file may have: a larger one counts as unreadable, before it is
        decoded. Default: the environment variable ``EXPLGRAPH_MAX_PIXELS``, else Pillow's own limit
        ``PIL.Image.MAX_IMAGE_PIXELS``, 89 million. A higher one raises Pillow's for the whole
        process. While it is decoded, a picture takes up to 13 bytes a pixel (WebP and JPEG 2000:
        25), in each thread.

    Returns
    -------
    Names are paths relative to the folder (for a list of files: to the innermost folder that holds
    all of them), with "/" between; six-digit indices for arrays and sequences. Photos of one
    archive have their paths in it, in its order; of several, the archive's own name comes before.

    Raises
    ------
    ExplGraphError
        If there are no images, a file does not exist, or the boxes do not belong to the images.
    """
    if isinstance(images, ImageSource):
        require(boxes is None and label is None, "give `boxes` when the images are first opened")
        return images
    require(
        label is None or boxes is not None, f"label={label!r} chooses among boxes: give `boxes`"
    )
    given, read = _photos(images, pixel_limit(max_pixels))
    names = [_as_text(name) for name in given]
    if boxes is None:
        items = [ImageItem(name, photo) for photo, name in enumerate(names)]
    else:
        items = _box_items(names, boxes, label)
    return ImageSource(items, read)


_Photos = tuple[Sequence[str], Callable[[int], Image.Image]]


def _photos(images: object, limit: int | None) -> _Photos:
    if isinstance(images, (str, os.PathLike)):
        place = placed(images)
        path, several = Path(place), expanded(place)
        if several != [place] and (is_address(place) or not path.exists()):
            return _listed(several, limit)
        if is_address(place):
            return photos_at(place, limit)
        if path.is_dir():
            return _in_folder(path, limit)
        what = "is neither" if path.exists() else "does not exist"
        require(path.is_file(), f"{path} {what}: expected a folder of images or an image file")
        if is_tar(path.name):
            return packed_photos([LocalFile.of(path)], [""], limit)
        return _files([path], path.parent, limit)
    if isinstance(images, np.ndarray):
        return _sequence(_checked_array(images))
    if not isinstance(images, Indexed):
        raise ExplGraphError(
            "images must be a folder, a file, a list of files, an array, a Dataset with a length, "
            f"or an ImageSource; got {type(images).__name__}"
        )
    require(len(images) > 0, f"there are no images in an empty {type(images).__name__}")
    if isinstance(images, (list, tuple)) and all(isinstance(i, (str, os.PathLike)) for i in images):
        return _listed([placed(image) for image in images], limit)
    return _sequence(images)


def _in_folder(folder: Path, limit: int | None) -> _Photos:
    wanted = {*SUFFIXES, *OTHER_PICTURES, TAR}
    files = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in wanted
        and not is_hidden(path.relative_to(folder).as_posix())
        and path.is_file()
    ]
    files.sort(key=lambda path: path.relative_to(folder).as_posix())
    kinds = Counter(path.suffix.lower() for path in files)
    warn_of_others(Counter({s: n for s, n in kinds.items() if s in OTHER_PICTURES}), folder)
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    archives = [path for path in files if path.suffix.lower() == TAR]
    require(
        len(found) > 0 or len(archives) > 0,
        f"there are no images in the folder {folder} or below: looked for {' '.join(SUFFIXES)} "
        f"and {TAR}",
    )
    if not found:
        return _packed(archives, folder, limit)
    if archives:
        _log.warning(
            "%d %s files in %s are left out, since there are photos beside them: for those in "
            "them, give a list of the %s files",
            len(archives),
            TAR,
            folder,
            TAR,
        )
    return _files(found, folder, limit)


def _listed(places: Sequence[str], limit: int | None) -> _Photos:
    remote = sum(map(is_address, places))
    require(
        remote in (0, len(places)),
        f"{remote} of the {len(places)} listed images are addresses, the others are files: open "
        "each by itself, and add them up",
    )
    if remote:
        return photos_listed(places, limit)
    paths = [Path(place) for place in places]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise ExplGraphError(
            f"{len(missing)} of the {len(paths)} listed images are not files, the first is "
            f"{missing[0]}"
        )
    absolute = [path.absolute() for path in paths]
    root = Path(os.path.commonpath([path.parent for path in absolute]))
    packed = sum(is_tar(path.name) for path in absolute)
    require(
        packed in (0, len(paths)),
        f"{packed} of the {len(paths)} listed files end in {TAR}, the others do not: give photos, "
        "or archives",
    )
    return _packed(absolute, root, limit) if packed else _files(absolute, root, limit)


def _packed(paths: Sequence[Path], root: Path, limit: int | None) -> _Photos:
    names = [f"{path.relative_to(root).as_posix()}/" for path in paths]
    return packed_photos([LocalFile.of(path) for path in paths], names, limit)


def _files(paths: Sequence[Path], root: Path, limit: int | None) -> _Photos:
    names = [path.relative_to(root).as_posix() for path in paths]
    return names, FileReader(tuple(paths), tuple(names), limit)


def _checked_array(images: NDArray[Any]) -> NDArray[Any]:
    single = images.ndim == 3 and images.shape[-1] in (3, 4)
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3, 4))
    require(
        fits and not single,
        f"an array of images must have shape (N, H, W) or (N, H, W, 1|3|4), got {images.shape}. "
        "One image: images[None]; channels first: numpy.moveaxis(images, 1, -1)",
    )
    require(images.size > 0, f"there are no images in an array of shape {images.shape}")
    return images


def _sequence(images: Indexed) -> _Photos:
    names = [f"{index:06d}" for index in range(len(images))]
    return names, SequenceReader(images, tuple(names))


def _as_text(name: str) -> str:
    r"""Return a file's name as text that a file can hold: bytes that are no UTF-8 are told.

    >>> _as_text("caf\udce9.png")
    'caf\\xe9.png'
    """
    if name.isascii():  # as most are: then there is one text for all who know it
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _box_items(names: Sequence[str], path: PathLike, label: str | None) -> list[ImageItem]:
    boxes = read_boxes(path, label)
    known = set(names)
    for image in boxes:
        if image not in known:
            hint = f"Names in {os.fspath(path)} are relative to the folder of images"
            raise unknown_name("image in the boxes file:", image, names, hint)
    without = [name for name in names if name not in boxes]
    if without:
        _log.warning(
            "%d of %d photos have no box%s in %s and are left out, the first is %s",
            len(without),
            len(names),
            "" if label is None else f" with the label {label!r}",
            os.fspath(path),
            without[0],
        )
    return [
        ImageItem(f"{name}#{k}", photo, box)
        for photo, name in enumerate(names)
        for k, box in enumerate(boxes.get(name, ()))
    ]
