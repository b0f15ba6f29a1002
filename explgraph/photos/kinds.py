"""Which names, in a folder, an archive or a bucket, are meant as photos."""

from __future__ import annotations

import logging
from collections import Counter

SUFFIXES = (
    ".bmp", ".gif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip

OTHER_PICTURES = frozenset({  # by these suffixes; files of any other are not meant as photos
    ".avif", ".cr2", ".cr3", ".dng", ".arw", ".eps", ".heic", ".heif", ".ico", ".j2k", ".jfif",
    ".jpf", ".jpx", ".jxl", ".mpo", ".nef", ".orf", ".pnm", ".psd", ".raf", ".rw2", ".svg", ".tga",
})  # fmt: skip

TAR = ".tar"

_log = logging.getLogger("explgraph")


def suffix_of(name: str) -> str:
    """Return a name's suffix, in small letters.

    >>> suffix_of("a.b/c.d.JPG"), suffix_of("a.b/.jpg")
    ('.jpg', '')
    """
    base = name[name.rfind("/") + 1 :]
    dot = base.rfind(".")
    return base[dot:].lower() if dot > 0 else ""


def is_hidden(name: str) -> bool:
    """Say whether a relative path leads through a hidden folder, or to a hidden file."""
    return name.startswith(".") or "/." in name


def warn_of_others(suffixes: Counter[str], where: object) -> None:
    """Say once how many pictures are of kinds that are not read."""
    if suffixes:
        _log.warning(
            "%d pictures in %s are of kinds that are not read, and left out: %s",
            suffixes.total(),
            where,
            ", ".join(f"{suffix} {count}" for suffix, count in sorted(suffixes.items())),
        )
