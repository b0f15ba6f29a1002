"""Photos as the page shows them: JPEG made once when it is first asked for, by number."""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Lock

from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.base.writing import write_bytes
from explgraph.photos.images import ImageSource

THUMBNAIL, LARGE = 320, 1600
"""Longest sides, pixels."""

_QUALITY = {THUMBNAIL: 80, LARGE: 88}
_KEPT = 24  # large photos in memory: those asked for next are made before they are looked at
_BEGINNING = b"\xff\xd8\xff"  # of a JPEG


class Pictures:
    """Photos of a session as JPEG; any thread may ask.

    Parameters
    ----------
    source
        The session's photos, in its order.
    folder
        Where thumbnails are kept, by number; it is made when the first one is.
    """

    def __init__(self, source: ImageSource, folder: Path) -> None:
        self.source = source
        self._folder = folder
        self._large: OrderedDict[int, bytes] = OrderedDict()
        self._lock = Lock()

    def thumbnail(self, index: int) -> bytes:
        """Return a small photo.

        Where it cannot be kept, as on a full disk, it is made anew each time.

        Raises
        ------
        ExplGraphError
            If the photo cannot be read.
        """
        path = self._folder / f"{index:06d}.jpg"
        kept = _kept(path)
        if kept is not None:
            return kept
        made = self._jpeg(index, THUMBNAIL)
        with suppress(ExplGraphError):
            write_bytes(path, made)
        return made

    def large(self, index: int) -> bytes:
        """Return a photo as large as a screen.

        Raises
        ------
        ExplGraphError
            If it cannot be read.
        """
        with self._lock:
            if index in self._large:
                self._large.move_to_end(index)
                return self._large[index]
        made = self._jpeg(index, LARGE)
        with self._lock:
            self._large[index] = made
            if len(self._large) > _KEPT:
                self._large.popitem(last=False)
        return made

    def _jpeg(self, index: int, side: int) -> bytes:
        picture = self.source.load(index).image
        scale = min(1.0, side / max(picture.size))
        if scale < 1:
            size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
            picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        buffer = BytesIO()
        picture.save(buffer, "JPEG", quality=_QUALITY[side])
        return buffer.getvalue()


def _kept(path: Path) -> bytes | None:
    """Return a thumbnail that was made before: an ordinary file here, and no link to another."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        data = file.read()
    return data if data.startswith(_BEGINNING) else None
