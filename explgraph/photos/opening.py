"""The one place where picture files are opened, on disk or in memory.

Files come from anywhere, so formats are named: Pillow knows forty, and one of them starts
Ghostscript with what is in the file. Only regular files are opened, and before a pixel is decoded
the picture's size is known and bounded: a file of some kilobytes can hold a billion pixels.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.files import PathLike
from explgraph.base.foreign import decimal, open_regular

MAX_PIXELS = "EXPLGRAPH_MAX_PIXELS"
"""The environment variable with the number of pixels that a picture may have."""

# By what the file begins with; MPO, of several JPEG in one file, comes with JPEG.
_FORMATS = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    BmpImagePlugin.BmpImageFile,
    GifImagePlugin.GifImageFile,
    Jpeg2KImagePlugin.Jpeg2KImageFile,
    PpmImagePlugin.PpmImageFile,
    TiffImagePlugin.TiffImageFile,
    WebPImagePlugin.WebPImageFile,
)


def pixel_limit(max_pixels: int | None = None) -> int | None:
    """Return how many pixels a picture may have.

    Parameters
    ----------
    max_pixels
        If it is given. Else the environment variable `MAX_PIXELS` counts, else Pillow's own limit,
        ``PIL.Image.MAX_IMAGE_PIXELS``: 89 million.

    Returns
    -------
    The number; None for any. Pillow looks at its own limit once more while it decodes and cuts out,
    so that is raised for the whole process if it is lower.

    Raises
    ------
    ExplGraphError
        If it is no whole number above 0.
    """
    told = os.environ.get(MAX_PIXELS, "")
    if max_pixels is None and not told:
        return Image.MAX_IMAGE_PIXELS
    limit = decimal(told) if max_pixels is None else max_pixels
    require(
        limit >= 1 and limit == int(limit),
        f"{MAX_PIXELS if max_pixels is None else 'max_pixels'} must be a whole number above 0, got "
        f"{told if max_pixels is None else max_pixels!r}",
    )
    if Image.MAX_IMAGE_PIXELS is not None and limit > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = int(limit)
    return int(limit)


@contextmanager
def opened_picture(path: PathLike, limit: int | None) -> Iterator[ImageFile.ImageFile]:
    """Open a picture file; it is decoded by ``load()``, within the block.

    Parameters
    ----------
    path
        A regular file: BMP, GIF, JPEG, JPEG 2000, MPO, PNG, PPM, TIFF or WebP.
    limit
        How many pixels it may have, as `pixel_limit` gives it.

    Raises
    ------
    ExplGraphError
        If it is no regular file, in no such format or larger.
    OSError
        If there is none, or it may not be read. What `load` raises for damaged files is anything.
    """
    with open_regular(path) as file, picture_in(file, limit) as image:
        yield image


@contextmanager
def picture_in(file: BinaryIO, limit: int | None) -> Iterator[ImageFile.ImageFile]:
    """Open the picture that is in an open file, or in memory, as `opened_picture` does."""
    how = f"set the environment variable {MAX_PIXELS}, or give open_images(..., max_pixels=...)"
    try:
        image = _identified(file)
        width, height = image.size
        require(
            limit is None or width * height <= limit,
            f"{width} x {height} are {width * height} pixels, more than the {limit} that a "
            f"picture may have. If it is meant to be so large, {how}",
        )
        yield image
    except Image.DecompressionBombError as error:  # of some decoders by themselves
        raise ExplGraphError(f"{error} If it is meant to be so large, {how}") from error


def _identified(file: BinaryIO) -> ImageFile.ImageFile:
    """Do what `PIL.Image.open` does, but for the warning of large pictures: that is ours to say."""
    start, reasons = file.read(16), []
    for kind in _FORMATS:
        factory, accept = Image.OPEN[kind.format]
        fits = accept is None or accept(start)
        if isinstance(fits, str):  # a format that Pillow was built without
            reasons.append(fits)
        elif fits:
            file.seek(0)
            try:
                return factory(file, "")
            except (SyntaxError, IndexError, TypeError, struct.error) as error:
                reasons.append(f"{kind.format}: {error}")
    names = ", ".join(kind.format for kind in _FORMATS)
    raise ExplGraphError("; ".join([f"it is no picture in any of the formats {names}", *reasons]))
